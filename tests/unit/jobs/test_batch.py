"""A batch: each video once, whatever stops it, in memory that does not grow; a second run does nothing."""

import json
import os
import shutil
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from springboard.cli.app import app
from springboard.front import schema
from springboard.jobs import batch as batches
from springboard.jobs.asking import Answer
from springboard.jobs.batch import Batch, OtherBatch, Tally
from springboard.jobs.job import Job
from springboard.jobs.store import Store, StoreAway
from tests.stands.cloud import Cloud
from tests.unit.jobs.shop import Said, Shop


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(batches, "_AWAY_SECONDS", 0.02)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    one = Shop(tmp_path, {"lease_seconds": 30.0, "max_concurrent": 8})
    yield one
    one.queue.close()


def _answer(job: Job) -> Answer:
    if "bad" in job.input:
        return Answer.failure("not_a_dive", "This is no dive.")
    return Answer(json.dumps({"score": 50, "of": job.input}).encode())


def _places(count: int) -> list[str]:
    return [f"s3://dives/{'bad' if n % 10 == 9 else 'good'}/{n:04}.mp4" for n in range(count)]


def _batch(shop: Shop, places: list[str], store: Store | None = None, root: str = "", **more: Any) -> Batch:
    work = Batch(
        root or f"{shop.folder}/out", "dive-scoring", shop.queue, store or Store(), at_once=8, part=10, **more
    )
    work.prepare("these", lambda after: (one for one in places if one > after))
    return work


def _lines(store: Store, root: str, kind: str) -> list[dict[str, Any]]:
    names = sorted(name for name in store.names(root, ".jsonl") if name.startswith(kind))
    return [json.loads(line) for name in names for line in (store.get(f"{root}/{name}") or b"").splitlines()]


def test_each_video_is_a_line_of_a_part_or_of_the_failures(shop: Shop) -> None:
    places, root = sorted(_places(45)), f"{shop.folder}/out"
    said = Said(_answer)
    work = _batch(shop, places)
    with shop.working(lambda _: said):
        assert work.run(threading.Event())
    results, failures = (_lines(Store(), root, kind) for kind in ("part", "failures"))
    assert [one["input"] for one in results] == [one for one in places if "good" in one]
    assert all(one["of"] == one["input"] and one["score"] == 50 for one in results)
    assert [one["input"] for one in failures] == [one for one in places if "bad" in one]
    assert {(one["code"], one["message"]) for one in failures} == {("not_a_dive", "This is no dive.")}
    assert (work.tally.scored, work.tally.failed) == (41, {"not_a_dive": 4})
    assert len(said.asked) == len(set(said.asked)) == 45
    assert [path for path in Path(root, ".batch", "work").rglob("*") if path.is_file()] == []
    again = _batch(shop, [*places, "s3://dives/new"])  # nobody works, and nothing is left to do
    assert again.run(threading.Event())
    assert (again.tally.scored, again.tally.failed, again.total) == (41, {"not_a_dive": 4}, 45)
    assert shop.queue.backlog().waiting == 0


def test_results_are_kept_by_whoever_asks_for_them_as_they_are(shop: Shop) -> None:
    kept: dict[str, bytes | dict[str, Any]] = {}

    def keep(_: int, results: list[tuple[str, bytes]], failures: list[tuple[str, dict[str, Any]]]) -> None:
        if not kept:
            kept[""] = b""
            raise StoreAway("the first time")
        kept.update(results)
        kept.update(failures)

    places = sorted(_places(20))
    with shop.working(lambda _: Said(_answer)):
        assert _batch(shop, places, timeout=7, keep=keep).run(threading.Event())
    del kept[""]
    assert kept == {
        place: {"code": "not_a_dive", "message": "This is no dive."}
        if "bad" in place
        else json.dumps({"score": 50, "of": place}).encode()
        for place in places
    }
    assert _lines(Store(), f"{shop.folder}/out", "part") == []


def _until(work: Batch, done: int) -> bool:
    """Run it until so many are done; no more than 8 are from one look to the next."""
    stop = threading.Event()

    def told(so_far: Tally) -> None:
        if so_far.done >= done:
            stop.set()

    return work.run(stop, told)


def test_one_that_is_stopped_again_and_again_goes_on_elsewhere_and_scores_nothing_twice(
    shop: Shop, aws: Cloud
) -> None:
    aws.client("s3").create_bucket(Bucket="batches")
    store, root, places = Store(aws.client("s3")), "s3://batches/out", sorted(_places(40))
    asked: Counter[str] = Counter()

    def answer(job: Job) -> Answer:
        asked[job.input] += 1
        return _answer(job)

    with shop.working(lambda _: Said(answer), store):
        stopped = [_until(_batch(shop, places, store, root), done) for done in (6, 16, 26, 1000)]
    assert stopped == [False, False, False, True]
    assert set(asked.values()) == {1}
    found = [one["input"] for kind in ("part", "failures") for one in _lines(store, root, kind)]
    assert sorted(found) == places


def test_no_more_jobs_wait_than_are_allowed(shop: Shop) -> None:
    work, stop, seen = _batch(shop, sorted(_places(40))), threading.Event(), []

    def told(_: Tally) -> None:
        seen.append(shop.queue.backlog().waiting)
        if len(seen) == 5:
            stop.set()

    assert not work.run(stop, told)
    assert set(seen) == {8}


def test_a_store_that_is_away_now_and_then_costs_nothing(shop: Shop) -> None:
    class Flaky(Store):
        calls = 0

        def put_new(self, place: str, content: bytes, media_type: str = "application/json") -> bool:
            self.calls += 1
            if (
                self.calls % 3 == 2
                and "listed" not in place
                and not place.endswith((".list", "source.json", "/name"))
            ):
                raise StoreAway(f"{place} is away")
            return super().put_new(place, content, media_type)

        def remove(self, place: str) -> None:
            self.calls += 1
            if self.calls % 7 == 0:
                raise StoreAway(f"{place} is away")
            super().remove(place)

    places = sorted(_places(30))
    work = _batch(shop, places, Flaky())
    with shop.working(lambda _: Said(_answer)):
        assert work.run(threading.Event())
    assert (work.tally.scored, work.tally.failed.total()) == (27, 3)
    found = [
        one["input"] for kind in ("part", "failures") for one in _lines(Store(), f"{shop.folder}/out", kind)
    ]
    assert sorted(found) == places


def test_a_listing_that_was_cut_off_goes_on_where_it_was(shop: Shop) -> None:
    places = [f"s3://dives/{n:04}" for n in range(35)]

    def cut_off(after: str) -> Iterator[str]:
        yield from places[:25]
        raise StoreAway("S3 cannot be reached")

    work = Batch(f"{shop.folder}/out", "dive-scoring", shop.queue, Store(), at_once=8, part=10)
    with pytest.raises(StoreAway):
        work.prepare("these", cut_off)
    since: list[str] = []
    work.prepare("these", lambda after: since.append(after) or iter(places[20:]))  # type: ignore[func-returns-value]
    assert (since, work.total) == ([places[19]], 35)
    with pytest.raises(OtherBatch):
        work.prepare("others", lambda _: iter(()))


def test_a_listing_takes_the_memory_of_a_part_of_it(shop: Shop) -> None:
    work = Batch(f"{shop.folder}/out", "dive-scoring", shop.queue, Store(), at_once=8)
    tracemalloc.start()
    try:
        work.prepare("these", lambda _: (f"s3://dives/heat/{n:09}.mp4" for n in range(50_000)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert work.total == 50_000
    assert most < 2_000_000


def test_files_are_listed_in_one_order_from_anywhere(tmp_path: Path, aws: Cloud) -> None:
    names = ["a/1", "a/b/2", "a/b/3", "a-/4", "b", "c/5"]
    client = aws.client("s3")
    client.create_bucket(Bucket="listed")
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
        client.put_object(Bucket="listed", Key=f"in/{name}", Body=b"")
    client.put_object(Bucket="listed", Key="in/folder/", Body=b"")
    for place in (str(tmp_path / "in"), "s3://listed/in"):
        found = list(Store(client).below(place))
        assert sorted(found) == sorted(names)
        for number, name in enumerate(found):
            assert list(Store(client).below(place, name)) == found[number + 1 :]


def test_quantiles_are_known_to_a_tenth() -> None:
    tally = Tally()
    for seconds in range(1, 101):
        tally.took(seconds)
    other = Tally.read(tally.written())
    for share, exact in ((0.5, 50), (0.99, 99)):
        assert other.quantile(share) == pytest.approx(exact, rel=0.1)
    assert Tally().quantile(0.5) is None


def _command(folder: Path, *words: str) -> Any:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "endpoint.yml").write_text(
        f"variants: []\nallowed_buckets: [dives]\n"
        f"async: {{output: {folder}/scores, queue: {folder}/queue, inputs: [{folder}/in]}}\n"
    )
    return CliRunner().invoke(app, ["batch", *words, "--endpoint-file", f"{folder}/endpoint.yml"])


def test_the_command_scores_a_folder_and_sums_up(shop: Shop) -> None:
    place = shop.folder / "in" / "heat 3"
    place.mkdir(parents=True)
    for name in ("good.mp4", "bad.mp4", "notes.txt", ".hidden.mp4"):
        (place / name).write_bytes(b"x")
    words = (f"{shop.folder}/in", f"{shop.folder}/out", "--filter", "*.mp4", "--price-per-hour", "2")
    with shop.working(lambda _: Said(_answer)):
        done = _command(shop.folder, *words)
    assert done.exit_code == 1, done.output
    summary = json.loads(done.stdout)
    assert (summary["videos"], summary["scored"], summary["failed"]) == (2, 1, {"not_a_dive": 1})
    assert summary["cost"] >= 0
    assert {"seconds_p50", "seconds_p99", "videos_per_second", "cost_per_thousand"} <= summary.keys()
    (line,) = _lines(Store(), f"{shop.folder}/out", "part")
    assert line["input"] == f"file://{shop.folder}/in/heat%203/good.mp4"
    began = time.monotonic()
    again = _command(shop.folder, *words)  # nobody works any more
    assert json.loads(again.stdout)["scored"] == 1
    assert time.monotonic() - began < 30
    other = _command(shop.folder, *words[:2], "--filter", "*")
    assert (other.exit_code, "another batch" in other.stderr) == (2, True)


def _score_of(place: str) -> dict[str, Any]:
    """Whole points and nothing of what may be missing, or all of it, as JSON has them."""
    whole = "whole" in place
    clip = {
        "start_frame": 0,
        "end_frame": 16,
        "start_s": 0,
        "end_s": 0.6,
        "contribution": 50 if whole else 50.5,
    }
    position = {"label": "tuck", "probability": 1}
    dive = {"number": None, "position": position, "rotation": position, "somersaults": 1, "twists": 0.5}
    video = {"frames": 40, "fps": 25, "duration_s": 1.6, "width": 320, "height": 240, "scored_frames": 40}
    return {
        "prediction": 50,
        "score": 50 if whole else 50.5,
        "dive": None if whole else {**dive, "armstand": False},
        "clips": [clip],
        "video": video,
        "warnings": [] if whole else ["short"],
        "notes": [],
        "model": {"name": "dive", "version": "1.0.0"},
        "of a later release": 1,
    }


def _score(job: Job) -> Answer:
    return Answer(json.dumps(_score_of(job.input)).encode())


def test_parts_are_parquet_with_the_same_columns_whatever_is_in_them(shop: Shop) -> None:
    outs = []
    for name in ("whole", "half"):
        (shop.folder / "in" / name).mkdir(parents=True)
        (shop.folder / "in" / name / f"{name}.mp4").write_bytes(b"x")
        outs.append(shop.folder / f"out-{name}")
        words = (f"{shop.folder}/in/{name}", str(outs[-1]))
        with shop.working(lambda _: Said(_score)):
            done = _command(shop.folder, *words, "--parquet")
        assert done.exit_code == 0, done.output
        assert "--parquet differ" in _command(shop.folder, *words).stderr
    whole, half = (parquet.read_table(out / "part-000000.parquet") for out in outs)
    assert whole.schema == half.schema
    assert set(schema.Score.model_fields) - set(whole.column_names) == {"strip"}
    (row,) = half.to_pylist()
    assert row["input"] == f"file://{shop.folder}/in/half/half.mp4"
    assert (row["score"], row["prediction"], row["dive"]["twists"], row["warnings"]) == (
        50.5,
        50,
        0.5,
        ["short"],
    )
    assert row["model"] == {"name": "dive", "version": "1.0.0", "trained_on": None}
    assert (whole.to_pylist()[0]["score"], whole.to_pylist()[0]["dive"]) == (50.0, None)


@pytest.mark.parametrize(
    ("result", "said", "in_lines"),
    [
        (b'{"score": "high"}', "prediction: Field required", True),
        (b'{"predictions": [{"score": 57.5}]}', "prediction: Field required", True),
        (json.dumps({**_score_of("half"), "prediction": 50.9}).encode(), "prediction: Input should be", True),
        (json.dumps({**_score_of("half"), "prediction": 2**70}).encode(), "too large", True),
        (json.dumps({**_score_of("half"), "warnings": ["\ud800"]}).encode(), "surrogates not allowed", True),
        (b"[1]", "Input should be a valid dictionary", False),
        (b"no json", "Expecting value", False),
    ],
)
def test_a_result_that_no_part_can_have_is_a_failure_and_not_lost(
    shop: Shop, result: bytes, said: str, in_lines: bool
) -> None:
    (shop.folder / "in").mkdir()
    for name in ("odd", "half"):
        (shop.folder / "in" / f"{name}.mp4").write_bytes(b"x")

    def answer(job: Job) -> Answer:
        return Answer(result) if "odd" in job.input else _score(job)

    for form in ("--parquet", "--json-lines"):
        out = shop.folder / f"out{form}"
        with shop.working(lambda _: Said(answer)):
            done = _command(shop.folder, f"{shop.folder}/in", str(out), form)
        failures = _lines(Store(), str(out), "failures")
        if form == "--json-lines" and in_lines:
            assert (done.exit_code, failures) == (0, []), done.output
            continue
        assert json.loads(done.stdout)["failed"] == {"unreadable_result": 1}
        assert json.loads(done.stdout)["scored"] == 1
        (failure,) = failures
        assert failure["input"].endswith("odd.mp4")
        assert failure["result"].encode() == result
        assert said in failure["message"] or form == "--json-lines"


def test_without_pyarrow_it_is_said_what_to_install(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = _command(shop.folder, f"{shop.folder}/in", f"{shop.folder}/out", "--parquet")
    assert (done.exit_code, "pip install pyarrow" in done.stderr) == (2, True), done.output


def test_the_same_videos_are_scored_again_for_another_output_and_for_one_that_was_removed(shop: Shop) -> None:
    said, places = Said(_answer), sorted(_places(5))
    with shop.working(lambda _: said):
        for name in ("out", "other", "out"):
            if (shop.folder / name).exists():
                shutil.rmtree(shop.folder / name)
            work = _batch(shop, places, root=f"{shop.folder}/{name}")
            assert work.run(threading.Event())
            assert work.tally.scored == 5
    assert len(said.asked) == 15


def test_a_name_that_no_result_could_tell_is_said(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/\xff.mp4")).write_bytes(b"x")
    done = _command(tmp_path, f"{tmp_path}/in", f"{tmp_path}/out")
    assert (done.exit_code, "no UTF-8" in done.stderr) == (2, True), done.output


def test_a_manifest_says_which(shop: Shop) -> None:
    (shop.folder / "in").mkdir()
    for name in ("1.mp4", "2.mp4", "3.mp4"):
        (shop.folder / "in" / name).write_bytes(b"x")
    (shop.folder / "these").write_text("3.mp4\n\n1.mp4\n")
    with shop.working(lambda _: Said(_answer)):
        done = _command(
            shop.folder, f"{shop.folder}/in", f"{shop.folder}/out", "--manifest", f"{shop.folder}/these"
        )
    assert done.exit_code == 0, done.output
    names = [one["input"].rpartition("/")[2] for one in _lines(Store(), f"{shop.folder}/out", "part")]
    assert names == ["3.mp4", "1.mp4"]


def test_the_command_is_stopped_while_it_lists_and_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop.folder / "in").mkdir()
    (shop.folder / "in" / "1.mp4").write_bytes(b"x")
    words, stopped = (f"{shop.folder}/in", f"{shop.folder}/out"), threading.Event()
    stopped.set()
    with monkeypatch.context() as patched:
        patched.setattr("springboard.cli.batch.stop_event", lambda: stopped)
        done = _command(shop.folder, *words)
    assert (done.exit_code, "goes on" in done.stderr) == (130, True), done.output
    assert not list((shop.folder / "out").rglob("*.list"))
    with shop.working(lambda _: Said(_answer)):
        assert json.loads(_command(shop.folder, *words).stdout)["scored"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("s3://other/in", "s3://dives/out"), "not among allowed_buckets"),
        (("@/absent", "@/out"), "is no folder"),
        (("@", "@/out"), "none of the folders of async.inputs"),
        (("@/in", "@/in/out"), "results would be taken for videos"),
        (("s3://dives/in", "s3://dives/in/out"), "results would be taken for videos"),
    ],
)
def test_a_batch_that_cannot_be_is_said(tmp_path: Path, words: tuple[str, str], said: str) -> None:
    done = _command(tmp_path, *(word.replace("@", str(tmp_path)) for word in words))
    assert (done.exit_code, said in done.stderr) == (2, True), done.output
