"""Weights files: what is wrong is named by file and key."""

import argparse
import pickle
import resource
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model_handler import checkpoint
from model_handler.checkpoint import CheckpointError
from model_handler.published import FILES as PATTERNS
from tests.conftest import small_checkpoint

FILES = {part: pattern.replace("*", "94") for part, (pattern, _) in PATTERNS.items()}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Five files as published but a 16th as wide (they are 560 MB): legacy format, plain state dicts."""
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


def test_the_width_of_published_files_is_their_own(published: Path) -> None:
    loaded = checkpoint.load(published)
    assert (loaded.width, loaded.gate_width) == (1 / 16, 1 / 16)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "model.", "net.head.", "model._orig_mod.module."]
)
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "ema_state_dict"])
def test_wrapped_and_prefixed_state_dicts_are_read(published: Path, prefix: str, wrapper: str | None) -> None:
    file = published / "model_my_fc6_94.pth"
    plain = torch.load(file, weights_only=True)
    state = {prefix + name: tensor for name, tensor in plain.items()}
    torch.save({wrapper: state, "epoch": 94} if wrapper else state, file)
    loaded = checkpoint.load(published)
    assert torch.equal(loaded.parts["fc6"]["fc.weight"], plain["fc.weight"])


def test_what_trainings_save_beside_weights_is_passed_over(published: Path) -> None:
    beside = {
        "hyper_parameters": argparse.Namespace(lr=1e-3),
        "best": np.float32(0.9),
        "epoch": np.int64(94),
        "loss": torch.tensor(0.1),
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "callbacks": {"checkpoint": {"best": np.float64(0.9)}},
    }
    file = published / "model_score_regressor_94.pth"
    state = torch.load(file, weights_only=True)
    torch.save(beside | {"state_dict": {f"model.{name}": one for name, one in state.items()}}, file)
    loaded = checkpoint.load(published)
    assert torch.equal(loaded.parts["score"]["fc_final_score.bias"], state["fc_final_score.bias"])


def test_an_averaged_and_a_partly_compiled_model_are_read(published: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(torch.nn.Module())
    rewrite(
        published / "model_score_regressor_94.pth",
        lambda state: prefixed(state, "module.", averaged.n_averaged),
    )
    rewrite(
        published / "model_CNN_94.pth",
        lambda state: state.update({"conv1._orig_mod.bias": state.pop("conv1.bias")}),
    )
    assert set(checkpoint.load(published).parts) == set(FILES)


def prefixed(state: dict[str, Tensor], prefix: str, count: Tensor) -> None:
    for name in list(state):
        state[prefix + name] = state.pop(name)
    state["n_averaged"] = count


@pytest.mark.parametrize("other", ["ema_state_dict", "model_ema"])
def test_two_sets_of_weights_in_one_file_are_refused(published: Path, other: str) -> None:
    file = published / "model_score_regressor_94.pth"
    state = torch.load(file, weights_only=True)
    torch.save({"state_dict": state, other: {name: one * 2 for name, one in state.items()}}, file)
    with pytest.raises(
        CheckpointError, match=f"2 sets of weights, state_dict, {other}; save the one to serve"
    ):
        checkpoint.load(published)


@pytest.mark.parametrize("width", ["nan", "inf", "-1", "0", "1e9"])
def test_a_width_that_no_network_has_is_refused(tmp_path: Path, width: str) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "x.safetensors"
    save_file({"x": torch.zeros(1)}, file, {"format": checkpoint.FORMAT, "width": width})
    with pytest.raises(CheckpointError, match="metadata width is not from 0 to 16"):
        checkpoint.load(file)


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.save(small_checkpoint(), tmp_path / "nowhere" / "x.safetensors")
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"before")
    with resource_limit(100_000), pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.save(small_checkpoint(), file)
    assert file.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


@contextmanager
def resource_limit(size: int) -> Iterator[None]:
    """Let no file grow over `size` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_weights_that_are_not_there_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="none does not exist"):
        checkpoint.load(tmp_path / "none")


def test_torchscript_is_told_as_such(published: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        traced = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(2))  # type: ignore[no-untyped-call]  # torch's
        torch.jit.save(traced, published / "c3d.pickle")
    with pytest.raises(CheckpointError, match="it is a TorchScript model; save the weights alone"):
        checkpoint.load(published)


def test_mixed_epochs_are_refused(published: Path) -> None:
    (published / "model_my_fc6_94.pth").rename(published / "model_my_fc6_90.pth")
    with pytest.raises(CheckpointError, match=r"mixes epochs: model_CNN_94\.pth, model_my_fc6_90\.pth"):
        checkpoint.load(published)


def test_a_bundle_beside_published_files_is_refused(published: Path) -> None:
    checkpoint.save(small_checkpoint(), published / "old.safetensors")
    with pytest.raises(CheckpointError, match=r"two checkpoints, old\.safetensors and model_CNN_94\.pth"):
        checkpoint.load(published)


@pytest.mark.parametrize("name", ["C3D.pickle", "c3d.pkl", "gate.pth.tar"])
def test_a_misnamed_optional_file_is_refused_not_left_out(published: Path, name: str) -> None:
    (published / "c3d.pickle").rename(published / name)
    with pytest.raises(CheckpointError, match=rf"no c3d\.pickle, but holds {name}.*rename"):
        checkpoint.load(published)


def test_a_missing_file_is_told_with_what_is_there(published: Path) -> None:
    (published / "model_CNN_94.pth").rename(published / "model_CNN.pth")
    with pytest.raises(CheckpointError, match=r"no model_CNN_\*\.pth\..*holds c3d\.pickle, model_CNN\.pth"):
        checkpoint.load(published)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html><title>Sign in", "begins with '<!DOCTYPE html><title>Si', as a web page does"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"MZ\x90\x00 whatever", "which torch.save never writes"),
        (b"", "it is empty"),
        (pickle.dumps({"fc.weight": [1.0]}), "holds Python objects"),
    ],
)
def test_what_is_no_checkpoint_is_told_in_our_own_words(published: Path, content: bytes, says: str) -> None:
    (published / "c3d.pickle").write_bytes(content)
    with pytest.raises(CheckpointError) as raised:
        checkpoint.load(published)
    assert says in str(raised.value)
    assert "weights_only" not in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_a_whole_model_is_refused_with_the_way_to_save_it(published: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), published / "c3d.pickle")
    with pytest.raises(CheckpointError, match=r"\(torch\.nn\..*Linear\).*model\.state_dict\(\)"):
        checkpoint.load(published)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_file_that_is_cut_off_is_told_so(published: Path, legacy: bool) -> None:
    file = published / "model_my_fc6_94.pth"
    torch.save(torch.load(file, weights_only=True), file, _use_new_zipfile_serialization=not legacy)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="cut off or damaged"):
        checkpoint.load(published)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (torch.full((8,), 1e300, dtype=torch.float64), "not finite in float32"),
        (torch.ones(8, dtype=torch.int8), "holds int8, expected floating-point"),
        (torch.ones(8, dtype=torch.complex64), "holds complex64, expected floating-point"),
        (torch.ones(8).to_sparse(), "holds a sparse tensor"),
        (torch.ones(8, device="meta"), "holds no values"),
    ],
)
def test_numbers_that_cannot_be_served_are_refused(published: Path, values: Tensor, says: str) -> None:
    rewrite(published / "model_CNN_94.pth", lambda state: state.update({"conv2.bias": values}))
    with pytest.raises(CheckpointError, match=f"key conv2.bias .*{says}"):
        checkpoint.load(published)


def test_other_names_are_told_beside_the_missing_one(published: Path) -> None:
    rewrite(
        published / "model_score_regressor_94.pth",
        lambda state: state.update({"head.bias": state.pop("fc_final_score.bias")}),
    )
    with pytest.raises(CheckpointError, match=r"bias is missing; it holds head\.bias instead"):
        checkpoint.load(published)


def test_the_same_checkpoint_is_saved_as_the_same_bytes_that_others_may_read(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for file in files:
        checkpoint.save(small_checkpoint(), file)
    assert len({file.read_bytes() for file in files}) == 1
    assert files[0].stat().st_mode & 0o044 == 0o044
