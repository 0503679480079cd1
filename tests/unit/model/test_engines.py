"""Engines compute the same scores; which one is taken is measured once, and what cannot be had is said."""

import json
import logging
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from model_handler import checkpoint
from model_handler.engines import Networks, choice
from model_handler.engines.choice import choose
from model_handler.engines.in_openvino import OpenVinoNetworks
from model_handler.pipeline import Settings
from model_handler.scoring import Scorer
from tests.conftest import small_checkpoint

CPU = torch.device("cpu")


def random_frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 112, 112, 3), np.uint8)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.03)])
def test_openvino_gives_the_scores_and_the_gates_verdict_of_torch(
    dtype: torch.dtype, tolerance: float
) -> None:
    # Noise on random weights; of real dives at full width tests/serving/model/test_parity.py tells.
    weights = small_checkpoint()
    exact = Scorer(weights, CPU, torch.float32)
    other = Scorer(weights, CPU, dtype, OpenVinoNetworks(weights, dtype, 2))
    clips = exact.clips([random_frames(n, n) for n in (20, 103)])
    assert [one.score for one in other.score(clips)] == pytest.approx(
        [one.score for one in exact.score(clips)], rel=tolerance
    )
    assert other.refusals(clips) == exact.refusals(clips)
    ours, theirs = (one.features(clips[1]) for one in (exact, other))
    assert (ours - theirs).norm() / ours.norm() < tolerance


def test_a_gate_that_sees_no_diving_refuses_in_openvino_too() -> None:
    weights = small_checkpoint(gate_class=7)
    scorer = Scorer(weights, CPU, torch.float32, OpenVinoNetworks(weights, torch.float32, 1))
    refusal = scorer.refusals(scorer.clips([random_frames(20)]))[0]
    assert refusal is not None
    assert refusal.details["gate"]["class"] == 7


def test_without_a_gate_openvino_refuses_nothing() -> None:
    weights = small_checkpoint(gate_class=None)
    scorer = Scorer(weights, CPU, torch.float32, OpenVinoNetworks(weights, torch.float32, 1))
    assert scorer.refusals(scorer.clips([random_frames(20)])) == [None]


def measured(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> list[str]:
    """Have the measurement find these times; returns the engines that were measured."""
    asked: list[str] = []

    def took(networks: Networks) -> float:
        asked.append(networks.engine)
        return seconds[networks.engine]

    monkeypatch.setattr(choice, "_seconds", took)
    return asked


@pytest.mark.parametrize(
    ("openvino", "taken"), [(0.5, "openvino"), (0.99, "torch"), (1.5, "torch")], ids=["less", "alike", "more"]
)
def test_auto_takes_the_faster_engine_and_measures_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, openvino: float, taken: str
) -> None:
    asked, cache = measured(monkeypatch, openvino=openvino, torch=1.0), tmp_path / "cache"
    weights = small_checkpoint()
    for _ in range(2):
        assert choose(weights, CPU, torch.float32, "auto", cache).engine == taken
    assert sorted(asked) == ["openvino", "torch"]
    (kept,) = cache.iterdir()
    assert json.loads(kept.read_text())["engine"] == taken


def test_auto_measures_anew_on_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = measured(monkeypatch, openvino=0.5, torch=1.0)
    weights = small_checkpoint()
    choose(weights, CPU, torch.float32, "auto", tmp_path)
    monkeypatch.setattr(choice, "_processor", lambda: "model name: another")
    choose(weights, CPU, torch.float32, "auto", tmp_path)
    assert len(asked) == 4


def test_workers_that_measure_at_once_agree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = small_checkpoint()

    def another_is_first(networks: Networks) -> float:
        if networks.engine == "torch":
            measured(monkeypatch, openvino=0.5, torch=1.0)
            assert choose(weights, CPU, torch.float32, "auto", tmp_path).engine == "openvino"
        return {"openvino": 1.0, "torch": 0.5}[networks.engine]

    monkeypatch.setattr(choice, "_seconds", another_is_first)
    assert choose(weights, CPU, torch.float32, "auto", tmp_path).engine == "openvino"


@pytest.mark.parametrize("left", ["", "{", "{}", "[]"])
def test_a_damaged_verdict_is_measured_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, left: str
) -> None:
    asked = measured(monkeypatch, openvino=0.5, torch=1.0)
    choose(small_checkpoint(), CPU, torch.float32, "auto", tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(left)
    assert choose(small_checkpoint(), CPU, torch.float32, "auto", tmp_path).engine == "openvino"
    assert len(asked) == 4


def test_where_nothing_may_be_written_auto_still_chooses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    measured(monkeypatch, openvino=2.0, torch=1.0)
    (tmp_path / "file").touch()
    assert choose(small_checkpoint(), CPU, torch.float32, "auto", tmp_path / "file" / "x").engine == "torch"
    assert "cannot be kept" in caplog.text or "does not work here" in caplog.text


def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_installed", lambda: "")
    monkeypatch.delitem(sys.modules, "model_handler.engines.in_openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)


def test_auto_computes_in_torch_where_openvino_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without_openvino(monkeypatch)
    assert choose(small_checkpoint(), CPU, torch.float32, "auto").engine == "torch"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_openvino_that_is_wanted_and_missing_is_an_error_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_openvino(monkeypatch)
    with pytest.raises(ValueError, match=r"engine is openvino.*requirements/openvino\.txt.*engine: auto"):
        choose(small_checkpoint(), CPU, torch.float32, "openvino")


def broken_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("Cannot load library libopenvino_intel_cpu_plugin.so")

    module = ModuleType("model_handler.engines.in_openvino")
    module.OpenVinoNetworks = fails  # type: ignore[attr-defined]  # stands in for the class
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_openvino_that_is_broken_leaves_auto_with_torch_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken_openvino(monkeypatch)
    assert choose(small_checkpoint(), CPU, torch.float32, "auto").engine == "torch"
    assert "libopenvino_intel_cpu_plugin" in caplog.text


def test_openvino_that_is_wanted_and_broken_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    broken_openvino(monkeypatch)
    with pytest.raises(ValueError, match="does not work here: RuntimeError: Cannot load library"):
        choose(small_checkpoint(), CPU, torch.float32, "openvino")


@pytest.mark.parametrize(
    ("device", "dtype", "engine", "said"),
    [
        ("cuda", torch.bfloat16, "openvino", "computes on the CPU, and the device is cuda"),
        ("cpu", torch.float16, "openvino", "computes in fp32 or bf16"),
        ("cpu", torch.float32, "tensorflow", "it should be auto or torch or openvino"),
    ],
)
def test_an_engine_that_does_not_fit_is_refused(
    device: str, dtype: torch.dtype, engine: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        choose(small_checkpoint(), torch.device(device), dtype, engine)


def test_fp16_on_a_cpu_is_torchs() -> None:
    assert choose(small_checkpoint(), CPU, torch.float16, "auto").engine == "torch"


def test_the_engine_is_read_from_the_releases_settings() -> None:
    assert Settings.from_mapping({}).engine == "auto"
    assert Settings.from_mapping({"engine": "torch"}).engine == "torch"


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_the_weights_file_is_not_kept_in_memory_once_networks_are_made(
    tmp_path: Path, small_weights: Path, engine: str
) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(small_weights.read_bytes())
    loaded = checkpoint.load(file)
    assert resident(file) == 0  # all of it was read, to check it
    expected = loaded.parts["fc6"]["fc.bias"].clone()
    scorer = Scorer(loaded, CPU, torch.float32, choose(loaded, CPU, torch.float32, engine))
    assert resident(file) == 0
    assert torch.equal(loaded.parts["fc6"]["fc.bias"], expected)
    assert scorer.score(scorer.clips([random_frames(20)]))


def resident(file: Path) -> int:
    """Return how many kB of a file this process has in memory, which has to have it mapped."""
    said = Path("/proc/self/smaps").read_text().split(str(file))[1:]
    assert said
    return sum(int(one.partition("Rss:")[2].split()[0]) for one in said)
