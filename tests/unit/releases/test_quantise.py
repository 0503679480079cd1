"""int8 releases: calibrated and judged by reference dives, served by OpenVINO, refused where they are off."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from model_handler import checkpoint
from model_handler.device import choose_dtype
from model_handler.engines import in_openvino
from model_handler.pipeline import QUANTISED, Pipeline, Settings
from springboard.releases import quantise
from springboard.releases.quantise import QuantisationError
from springboard.system.checkout import ROOT
from tests.clips import encode, moving_frames
from tests.conftest import small_checkpoint


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    checkpoint.save(small_checkpoint(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


@pytest.fixture
def dives(tmp_path: Path) -> Path:
    folder = tmp_path / "dives"
    folder.mkdir()
    for seed in range(2):
        (folder / f"{seed}.mp4").write_bytes(encode(moving_frames(20 + 20 * seed, seed=seed)))
    (folder / "readme.txt").write_text("not a dive")
    return folder


def nncf_in_place(monkeypatch: pytest.MonkeyPatch, scale: float = 1.0) -> list[int]:
    """Have the networks written with fc6 scaled, in NNCF's place; returns how many clips calibrated each."""
    given: list[int] = []

    def write(loaded: checkpoint.Checkpoint, clips: list[Any], folder: Path) -> None:
        import openvino

        given.append(len(clips))
        fc6 = {name: tensor * scale for name, tensor in loaded.parts["fc6"].items()}
        model = in_openvino.dive_model({**loaded.parts, "fc6": fc6})
        folder.mkdir()
        openvino.save_model(model, folder / in_openvino.FILE, compress_to_fp16=False)

    monkeypatch.setattr(quantise, "_write", write)
    return given


def test_every_dive_of_the_reference_is_scored_both_ways_and_the_worst_is_told(
    weights: Path, dives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = nncf_in_place(monkeypatch, scale=1.001)
    found = quantise.quantise(weights, dives, weights.with_name("int8"), max_error=1.0)
    assert given == [2 + 3]  # all clips of a dive of 20 frames and of one of 40
    assert found["dives"] == 2
    assert 0 < found["mean"] <= found["most"] < 1
    assert found["limit"] == 1.0


def test_a_release_that_is_off_by_more_than_the_limit_is_refused(
    weights: Path, dives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nncf_in_place(monkeypatch, scale=2.0)
    with pytest.raises(QuantisationError, match=r"points away from fp32, and --max-error is 0\.001"):
        quantise.quantise(weights, dives, weights.with_name("int8"), max_error=0.001)


def test_networks_that_give_no_number_are_refused(
    weights: Path, dives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nncf_in_place(monkeypatch, scale=float("nan"))
    with pytest.raises(QuantisationError):
        quantise.quantise(weights, dives, weights.with_name("int8"))


def configured(weights: Path, precision: str, reference: Path | None = None) -> dict[str, Any] | None:
    config = weights.with_name("config.yaml")
    config.write_text(yaml.safe_dump({"handler": {"precision": precision}}))
    return quantise.as_configured(config, weights, weights.with_name("int8"), reference, 0.3)


def test_nothing_is_quantised_where_the_configuration_does_not_say_so(weights: Path) -> None:
    assert configured(weights, "auto") is None
    assert not weights.with_name("int8").exists()


def test_without_dives_int8_is_refused_in_words(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(QuantisationError, match="precision is int8, which needs --reference"):
        configured(weights, "int8")
    with pytest.raises(QuantisationError, match=r"precision is int8, and .*empty holds no dive"):
        configured(weights, "int8", tmp_path / "empty")


def test_without_nncf_it_is_said_how_to_get_it(
    weights: Path, dives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nncf", None)
    with pytest.raises(QuantisationError, match=r"pip install -r requirements/quantise\.txt"):
        configured(weights, "int8", dives)
    assert (ROOT / "requirements" / "quantise.txt").is_file()


def test_a_worker_computes_in_the_archives_int8_networks(
    weights: Path, dives: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nncf_in_place(monkeypatch, scale=1.5)
    quantise.quantise(weights, dives, weights.with_name(QUANTISED), max_error=1000)
    video = (dives / "0.mp4").read_bytes()

    def score(precision: str) -> float:
        (answer,) = Pipeline(weights, Settings(precision=precision), "dive", "1.0.0").process([video])
        found: float = answer.body["score"]
        return found

    caplog.set_level("INFO")
    assert score("int8") != pytest.approx(score("fp32"), abs=0.01)
    assert "computes in int8 on cpu, by openvino" in caplog.text


def fails(settings: Settings, weights: Path) -> Callable[[], object]:
    return lambda: Pipeline(weights, settings, "dive", "1.0.0")


def test_int8_that_cannot_be_had_is_an_error_that_says_why(weights: Path) -> None:
    with pytest.raises(ValueError, match="this archive holds no int8 networks"):
        fails(Settings(precision="int8"), weights)()
    with pytest.raises(ValueError, match="engine is torch"):
        fails(Settings(precision="int8", engine="torch"), weights)()
    with pytest.raises(ValueError, match=r"which CPUs compute.*cuda"):
        choose_dtype("int8", torch.device("cuda"))
