"""Weights files: what is wrong is named by file and key."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_handler import checkpoint
from model_handler.checkpoint import CheckpointError
from tests.conftest import small_checkpoint

FILES = {
    "backbone": "model_CNN_94.pth",
    "fc6": "model_my_fc6_94.pth",
    "score": "model_score_regressor_94.pth",
    "dive": "model_dive_classifier_94.pth",
    "gate": "c3d.pickle",
}


@pytest.fixture(autouse=True)
def narrow_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published files have width 1, which is 560 MB; the same checks run on networks a 16th as wide."""
    full = checkpoint.empty_module
    monkeypatch.setattr(checkpoint, "empty_module", lambda part, width, gate: full(part, 1 / 16, 1 / 16))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Five files as published: legacy format, plain state dicts."""
    for part, state in small_checkpoint().parts.items():
        torch.save(state, tmp_path / FILES[part], _use_new_zipfile_serialization=False)
    return tmp_path


def rewrite(file: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    state = torch.load(file, weights_only=True)
    change(state)
    torch.save(state, file)


def test_published_files_come_back_from_safetensors(published: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(published)
    checkpoint.save(loaded, tmp_path / "one.safetensors")
    again = checkpoint.load(tmp_path / "one.safetensors")
    assert set(again.parts) == set(FILES)
    for part, state in loaded.parts.items():
        for name, tensor in state.items():
            assert torch.equal(again.parts[part][name], tensor)


def test_gate_and_dive_classifier_may_be_absent(published: Path) -> None:
    (published / "c3d.pickle").unlink()
    (published / "model_dive_classifier_94.pth").unlink()
    loaded = checkpoint.load(published)
    assert set(loaded.parts) == {"backbone", "fc6", "score"}
    assert loaded.module("gate") is None


def test_a_missing_file_is_named_with_those_expected(published: Path) -> None:
    (published / "model_my_fc6_94.pth").unlink()
    with pytest.raises(CheckpointError, match=r"no model_my_fc6_\*\.pth.*c3d\.pickle \(optional\)"):
        checkpoint.load(published)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("conv3a.weight"), "key conv3a.weight is missing"),
        (lambda s: s.update({"conv9.weight": torch.zeros(1)}), "unknown key conv9.weight"),
        (
            lambda s: s.update({"conv2.bias": torch.zeros(5)}),
            r"key conv2.bias has shape \(5,\), expected \(8,\)",
        ),
        (lambda s: s["conv1.bias"].fill_(float("nan")), "key conv1.bias holds values that are not finite"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(
    published: Path, change: Callable[[dict[str, Tensor]], object], says: str
) -> None:
    rewrite(published / "model_CNN_94.pth", change)
    with pytest.raises(CheckpointError, match=rf"model_CNN_94\.pth: {says}"):
        checkpoint.load(published)


def test_a_pickle_that_would_run_code_is_refused(published: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    torch.save({"conv1.weight": Hostile()}, published / "c3d.pickle")
    with pytest.raises(CheckpointError, match=r"c3d\.pickle is not a file of plain weights"):
        checkpoint.load(published)


@pytest.mark.parametrize("content", [b"", b"not torch"])
def test_a_file_that_is_no_checkpoint_is_named(published: Path, content: bytes) -> None:
    (published / "c3d.pickle").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"c3d\.pickle"):
        checkpoint.load(published)


def test_two_epochs_in_one_folder_are_refused(published: Path) -> None:
    (published / "model_CNN_95.pth").write_bytes((published / "model_CNN_94.pth").read_bytes())
    with pytest.raises(CheckpointError, match="holds 2 files model_CNN"):
        checkpoint.load(published)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="metadata format is None"):
        checkpoint.load(tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="not a readable"):
        checkpoint.load(tmp_path / "x.safetensors")
