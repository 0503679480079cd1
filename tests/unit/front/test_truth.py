"""Judges' scores joined with what was answered: late, repeated, corrected, unknown; figures by release."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from springboard.endpoint.truth import Truth
from springboard.front.truth.figures import live_figures, rank_correlation
from springboard.front.truth.ledger import Counting, Ledger
from springboard.front.truth.lines import NoTruth, Told, read_body, read_ground_truth
from springboard.front.truth.store import Answered, TruthStore
from springboard.jobs.store import Store
from tests.stands.cloud import cloud, environment
from tests.stands.scoring import Scoring, scoring
from tests.stands.waiting import wait_until

PATH = "/endpoints/dive-scoring/truth"


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Scoring]:
    """A front that remembers what it answers; its model gives 61.5 points."""
    with scoring() as one:
        _remember(one, tmp_path)
        yield one
        one.front.truth.close()


def _remember(model: Scoring, folder: Path, **more: Any) -> None:
    truth = Truth(folder=str(folder), **more)
    model.front.use(model.front.endpoint.model_copy(update={"truth": truth}))


def _ask(model: Scoring, name: str = "", **headers: str) -> str:
    if name:
        headers["X-Amzn-SageMaker-Inference-Id"] = name
    answer = model.post("/invocations", b"a dive", headers=headers)
    assert answer.status_code == 200
    return answer.headers["x-amzn-RequestId"]


def _tell(model: Scoring, *told: tuple[str, float]) -> dict[str, Any]:
    lines = "\n".join(json.dumps({"inference_id": name, "score": score}) for name, score in told)
    answer = model.post(PATH, lines.encode())
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def _figures(model: Scoring) -> dict[str, float]:
    page = model.client.get("/metrics").text.splitlines()
    kinds = ("springboard_truth", "springboard_live")
    return {line.rpartition(" ")[0]: float(line.split()[-1]) for line in page if line.startswith(kinds)}


def test_a_truth_finds_its_answer_by_inference_id_or_request_id(model: Scoring) -> None:
    named = _ask(model, "dive 1")
    request_id = _ask(model)
    assert _tell(model, ("dive 1", 60.0), (request_id, 65.5))["matched"] == 2
    assert _tell(model, (named, 60.0))["repeated"] == 1  # the other name of the first
    told = _figures(model)
    of = '{release="1.0.0",variant="stable"}'
    assert told[f"springboard_live_truths{of}"] == 2
    assert told[f"springboard_live_absolute_error_points{of}"] == pytest.approx((1.5 + 4.0) / 2)
    assert told[f"springboard_truth_error_points_total{of}"] == pytest.approx(5.5)
    assert told[f"springboard_truth_square_error_points_total{of}"] == pytest.approx(1.5**2 + 4.0**2)


def test_repeated_corrected_and_unknown_truths_are_told_apart(model: Scoring) -> None:
    _ask(model, "a")
    assert _tell(model, ("a", 60.0), ("b", 70.0)) == {
        "matched": 1,
        "corrected": 0,
        "repeated": 0,
        "unknown": 1,
        "unknown_ids": ["b"],
    }
    assert _tell(model, ("a", 60.0))["repeated"] == 1
    assert _tell(model, ("a", 51.5))["corrected"] == 1
    told, of = _figures(model), '{release="1.0.0",variant="stable"}'
    assert told[f"springboard_live_absolute_error_points{of}"] == 10.0
    assert told[f"springboard_live_truths{of}"] == 1
    assert told[f"springboard_truths_matched_total{of}"] == 1  # what a canary is judged by counts it once
    outcomes = [told[f'springboard_truths_total{{outcome="{one}"}}'] for one in ("matched", "unknown")]
    assert outcomes == [1, 1]


def test_a_truth_that_comes_after_a_restart_still_counts(model: Scoring, tmp_path: Path) -> None:
    _ask(model, "late")
    model.front.truth.close()
    with scoring() as next_one:
        _remember(next_one, tmp_path)
        assert _tell(next_one, ("late", 60.0))["matched"] == 1
        next_one.front.truth.close()


def test_figures_are_there_again_after_a_restart(model: Scoring, tmp_path: Path) -> None:
    _ask(model, "a")
    _tell(model, ("a", 60.0))
    model.front.truth.close()
    with scoring() as next_one:
        _remember(next_one, tmp_path)
        wait_until(lambda: bool(next_one.front.truth.figures), "the figures")
        assert next_one.front.truth.figures["1.0.0"].error == 1.5
        next_one.front.truth.close()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"[]", "inference_id"),
        (b'{"inference_id": "a"}', "inference_id"),
        (b'{"inference_id": "a", "score": "60"}', "number"),
        (b'{"inference_id": "a", "score": NaN}', "0 to 1000"),
        (b'{"inference_id": "a", "score": 1' + 400 * b"0" + b"}", "0 to 1000"),
        (20_000 * b"[", "line 1 is no JSON"),
        (b'{"inference_id": "a", "score": -1}', "0 to 1000"),
        (b'{"inference_id": "", "score": 1}', "id"),
        (b'{"inference_id": "a", "score": 60}\nnonsense', "line 2"),
    ],
)
def test_of_a_body_with_a_fault_nothing_is_taken(model: Scoring, body: bytes, said: str) -> None:
    _ask(model, "a")
    answer = model.post(PATH, body)
    assert answer.status_code == 400
    assert answer.headers["x-amzn-ErrorType"] == "ValidationError"
    assert said in answer.json()["Message"]
    assert _tell(model, ("a", 60.0))["matched"] == 1


def test_without_truth_in_the_endpoint_file_none_is_taken_and_nothing_remembered() -> None:
    with scoring() as model:
        answer = model.post(PATH, b'{"inference_id": "a", "score": 60}')
        assert answer.status_code == 400
        assert "truth" in answer.json()["Message"]


def test_a_file_that_cannot_be_used_costs_no_caller_anything(model: Scoring, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _remember(model, tmp_path / "file")
    _ask(model, "a")
    assert model.post(PATH, b'{"inference_id": "a", "score": 60}').status_code == 503
    assert model.post("/endpoints/other/truth", b'{"inference_id": "a", "score": 60}').status_code == 400


def test_the_oldest_answers_are_forgotten_first(tmp_path: Path) -> None:
    store = TruthStore(tmp_path, 1000)
    store.remember(Answered(str(n), f"r{n}", "stable", "1.0.0", 60.0, 0.0) for n in range(1500))
    outcomes, _ = store.tell([Told("499", 1.0), Told("500", 1.0), Told("r1499", 1.0)])
    assert outcomes == ["unknown", "matched", "matched"]
    store.close()


def test_each_release_is_measured_over_the_truths_that_came_last(tmp_path: Path) -> None:
    store = TruthStore(tmp_path, 1000)
    for release, off in (("1.0.0", 1.0), ("1.1.0", 8.0)):
        store.remember(
            Answered(f"{n} {release}", "", "stable", release, 60.0 + off * (n >= 20), 0.0) for n in range(40)
        )
    store.tell(Told(f"{n} {release}", 60.0) for n in range(40) for release in ("1.0.0", "1.1.0"))
    errors = {release: live_figures(pairs).error for release, pairs in store.pairs(20).items()}
    assert errors == {"1.0.0": 1.0, "1.1.0": 8.0}
    store.close()


def test_rank_correlation_is_spearmans() -> None:
    pairs = [(1.0, 10.0), (2.0, 30.0), (2.0, 20.0), (4.0, 40.0), (5.0, 5.0)]
    # Mid-ranks 1, 2.5, 2.5, 4, 5 and 2, 4, 3, 5, 1: by hand, -0.5 / sqrt(9.5 * 10).
    assert rank_correlation(pairs) == pytest.approx(-0.5 / (9.5 * 10) ** 0.5)
    assert rank_correlation([(1, 3), (2, 5), (3, 9)]) == pytest.approx(1.0)
    assert rank_correlation([(1, 3), (1, 5), (1, 9)]) is None
    assert rank_correlation(pairs[:2]) is None


def test_sagemakers_ground_truth_is_read_and_its_faults_are_told() -> None:
    def line(data: Any, name: Any = "a") -> str:
        truth = {"groundTruthData": {"data": data, "encoding": "CSV"}, "eventVersion": "0"}
        return json.dumps({**truth, "eventMetadata": {"eventId": name}})

    found = list(read_ground_truth("\n".join((line("71.5"), line("x"), "{", "", line("1", 5))).encode()))
    assert found[0] == Told("a", 71.5)
    assert [isinstance(one, NoTruth) for one in found] == [False, True, True, True]
    assert read_body(b'{"inference_id": "a", "score": 60}') == [Told("a", 60.0)]


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where ground truth may lie."""
    if request.param == "folder":
        yield str(tmp_path / "truths")
        return
    with cloud() as aws, environment(**aws.environment):
        aws.client("s3").create_bucket(Bucket="dives-truth")
        yield "s3://dives-truth/live"


def test_ground_truth_is_looked_for_by_the_hour_and_read_once(place: str, tmp_path: Path) -> None:
    counts, judged = list[str](), list[float]()
    ledger = Ledger(Counting(counts.append, lambda one: judged.append(one.error)))
    store, now = Store(), datetime.now(UTC)

    def write(at: datetime, name: str) -> None:
        truth = {"groundTruthData": {"data": "65", "encoding": "CSV"}, "eventMetadata": {"eventId": name}}
        store.put_new(f"{place}/{at:%Y/%m/%d/%H}/{name}.jsonl", f"{json.dumps(truth)}\n".encode())

    settings = Truth(folder=str(tmp_path / "kept"), ground_truth=place, look_seconds=1, look_back_hours=48)
    for name in ("old", "yesterday", "now", "next"):
        ledger.remember(Answered(name, "", "stable", "1.0.0", 60.0, 0.0))  # off: none of these is remembered
    for days, name in ((10, "old"), (1, "yesterday"), (0, "now"), (0, "stranger")):
        write(now - timedelta(days=days), name)
    ledger._settings = settings  # before the first look
    for name in ("old", "yesterday", "now", "next"):
        ledger.remember(Answered(name, "", "stable", "1.0.0", 60.0, 0.0))
    ledger._settings = None
    ledger.use(settings, "dive-scoring")
    wait_until(lambda: (len(counts), len(judged)) == (3, 2), "the files to be read")
    assert sorted(counts) == ["matched", "matched", "unknown"]
    write(now, "next")
    wait_until(lambda: len(judged) >= 3, "the next file", 30)
    assert counts[3:] == ["matched"]  # nothing is read twice
    assert judged == [5.0, 5.0, 5.0]
    ledger.close()


def test_a_worse_release_is_seen_by_its_live_error(tmp_path: Path) -> None:
    chance, store = random.Random(7), TruthStore(tmp_path, 1000)
    truths = {f"dive {n}": chance.uniform(40, 95) for n in range(400)}
    for n, (name, truth) in enumerate(truths.items()):
        release, sd = (("1.0.0", 4.0), ("1.1.0", 9.0))[n % 2]
        store.remember([Answered(name, "", "stable", release, truth + chance.gauss(0, sd), 0.0)])
    store.tell(Told(name, truth) for name, truth in truths.items())
    live = {release: live_figures(pairs) for release, pairs in store.pairs(500).items()}
    assert live["1.1.0"].error > 1.5 * live["1.0.0"].error
    assert (live["1.1.0"].correlation or 0) < (live["1.0.0"].correlation or 0)
    store.close()
