"""The GPU check's runner: stages end in time, and what they found is kept."""

import json
import sys
import zipfile
from pathlib import Path

import pytest

from bench.gpu import __main__ as runner
from bench.gpu import material, room, stages
from model_handler import checkpoint


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (runner, room):
        monkeypatch.setattr(module, "OUT", tmp_path)
    return tmp_path


def test_every_stage_that_is_run_is_there_to_be_run() -> None:
    assert [stage.name for stage in runner.STAGES] == list(
        dict.fromkeys([*(one.name for one in runner.STAGES), *stages.STAGES])
    )


def test_what_is_out_of_time_is_ended_and_said_and_later_stages_are_left_out(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = iter([100, 100, 0.2, 5, 5, 5])
    monkeypatch.setattr(runner, "seconds_left", lambda: next(left))
    monkeypatch.setattr(runner, "STAGES", (runner.Stage("slow", 40, 10), runner.Stage("later", 40, 10)))
    monkeypatch.setattr(sys, "argv", ["bench.gpu"])
    monkeypatch.setattr(runner, "COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    with pytest.raises(SystemExit) as ended:
        runner.main()
    assert ended.value.code == 1
    assert json.loads((out / "results.json").read_text())["stages"]["slow"]["ended"] == "out of time"
    said = capsys.readouterr().out
    assert "later: left out, 5 s are left of 10" in said
    assert "not well: slow" in said


def test_a_stage_that_is_unknown_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.gpu", "httpp"])
    with pytest.raises(SystemExit, match="no stage httpp"):
        runner.main()


def test_a_measurement_that_fails_is_a_line_and_what_was_found_is_read_again(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = room.attempt("bf16", lambda: [][0])
    room.keep("parity", {"bf16": found})
    assert room.read("parity") == {"bf16": {"error": "IndexError: list index out of range"}}
    assert room.read("nets") == {}
    assert "bf16: FAILED IndexError" in capsys.readouterr().out


def test_a_jar_loses_what_nobody_calls(tmp_path: Path) -> None:
    jar = tmp_path / "model-server.jar"
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as made:
        for name in ("org/pytorch/serve/ModelServer.class", "org/codehaus/groovy/Any.class"):
            made.writestr(name, name)
    material.shrink(jar)
    with zipfile.ZipFile(jar) as small:
        assert small.namelist() == ["org/pytorch/serve/ModelServer.class"]


def test_the_rehearsals_weights_are_a_small_checkpoint_with_a_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICK", "1")
    material.weights(tmp_path)
    loaded = checkpoint.load(tmp_path)
    assert loaded.width == 1 / 16
    assert sorted(loaded.parts) == ["backbone", "dive", "fc6", "gate", "score"]
