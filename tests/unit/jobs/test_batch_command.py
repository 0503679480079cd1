"""`springboard batch`: what it scores, what its parts are, and what it says."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from springboard.cli.app import app
from springboard.front import schema
from springboard.jobs.asking import Answer
from springboard.jobs.job import Job
from springboard.jobs.store import Store
from tests.unit.jobs.shop import Said, Shop, dive_or_not, lines

pytestmark = pytest.mark.usefixtures("quick")


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
    with shop.working(lambda _: Said(dive_or_not)):
        done = _command(shop.folder, *words)
    assert done.exit_code == 1, done.output
    summary = json.loads(done.stdout)
    assert (summary["videos"], summary["scored"], summary["failed"]) == (2, 1, {"not_a_dive": 1})
    assert summary["cost"] >= 0
    assert {"seconds_p50", "seconds_p99", "videos_per_second", "cost_per_thousand"} <= summary.keys()
    (line,) = lines(Store(), f"{shop.folder}/out", "part")
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
        failures = lines(Store(), str(out), "failures")
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
    with shop.working(lambda _: Said(dive_or_not)):
        done = _command(
            shop.folder, f"{shop.folder}/in", f"{shop.folder}/out", "--manifest", f"{shop.folder}/these"
        )
    assert done.exit_code == 0, done.output
    names = [one["input"].rpartition("/")[2] for one in lines(Store(), f"{shop.folder}/out", "part")]
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
    with shop.working(lambda _: Said(dive_or_not)):
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
