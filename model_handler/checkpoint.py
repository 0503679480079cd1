"""Trained weights: the five published files, or the one `.safetensors` file that an archive carries.

Published files are plain state dicts that `torch.save` wrote on a GPU (see docs/publish.md). A
`.safetensors` file holds the same tensors as `backbone.*`, `fc6.*`, `score.*`, `dive.*` and `gate.*`, and
its width and origin as metadata. The gate and the dive classifier may be absent from both.
"""

import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from model_handler.network import Backbone, DiveClassifier, Fc6, Gate, ScoreRegressor

FORMAT = "c3d-avg-mtl"

# Prefix in the .safetensors file -> published file (94 is the published epoch), whether it must be there.
_PUBLISHED = {
    "backbone": ("model_CNN_*.pth", True),
    "fc6": ("model_my_fc6_*.pth", True),
    "score": ("model_score_regressor_*.pth", True),
    "dive": ("model_dive_classifier_*.pth", False),
    "gate": ("c3d.pickle", False),
}


class CheckpointError(ValueError):
    """A weights file is missing or is not what its name says; the message names file and key."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights by part (`backbone`, `fc6`, `score`, `dive`, `gate`) and name, with their origin.

    `width` and `gate_width` multiply the channels of the dive networks and of the gate. `trained_on` is
    repeated in every answer where it is set; the published weights do not set it.
    """

    parts: Mapping[str, Mapping[str, Tensor]]
    width: float = 1.0
    gate_width: float = 1.0
    trained_on: str | None = None
    path: Path = field(default=Path())

    def module(self, part: str) -> nn.Module | None:
        """Return the network of one part with its weights, float32 on the CPU; None where it is absent."""
        if part not in self.parts:
            return None
        module = empty_module(part, self.width, self.gate_width)
        module.load_state_dict({name: t.float() for name, t in self.parts[part].items()}, assign=True)
        return module.eval().requires_grad_(False)


def load(path: Path) -> Checkpoint:
    """Read a `.safetensors` file, a folder that holds one, or a folder of the published files.

    Raises `CheckpointError` naming the file, and the key where one is wrong.
    """
    if path.is_dir():
        bundled = sorted(path.glob("*.safetensors"))
        if len(bundled) > 1:
            raise CheckpointError(f"{path} holds {len(bundled)} .safetensors files; name the one to use")
        return _load_safetensors(bundled[0]) if bundled else _load_published(path)
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    raise CheckpointError(f"{path} is neither a folder of weights nor a .safetensors file")


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write one `.safetensors` file that `load` reads back, tensors in the precision they have."""
    metadata = {"format": FORMAT, "width": repr(checkpoint.width), "gate_width": repr(checkpoint.gate_width)}
    if checkpoint.trained_on:
        metadata["trained_on"] = checkpoint.trained_on
    tensors = {f"{p}.{name}": t for p, state in checkpoint.parts.items() for name, t in state.items()}
    save_file(tensors, path, metadata)


def empty_module(part: str, width: float, gate_width: float) -> nn.Module:
    """Return a part's network without memory: names and shapes only."""
    classes = {
        "backbone": Backbone,
        "fc6": Fc6,
        "score": ScoreRegressor,
        "dive": DiveClassifier,
        "gate": Gate,
    }
    with torch.device("meta"):
        return classes[part](gate_width if part == "gate" else width)


def _load_published(folder: Path) -> Checkpoint:
    parts = {}
    for part, (pattern, required) in _PUBLISHED.items():
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            raise CheckpointError(f"{folder} holds {len(found)} files {pattern}; keep the epoch to serve")
        if found:
            parts[part] = _read_torch(found[0])
            _check(part, parts[part], found[0], "")
        elif required:
            raise CheckpointError(f"{folder} has no {pattern}. It should hold {_expected_files()}")
    return Checkpoint(parts, path=folder)


def _expected_files() -> str:
    return ", ".join(p if required else f"{p} (optional)" for p, required in _PUBLISHED.values())


def _read_torch(file: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{file} is not a file of plain weights written by torch.save: {reason}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise CheckpointError(f"{file} is not a state dict: it should map layer names to tensors")
    return dict(state)


def _load_safetensors(file: Path) -> Checkpoint:
    parts: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            for key in opened.keys():  # noqa: SIM118 - not a mapping
                part, _, name = key.partition(".")
                parts.setdefault(part, {})[name] = opened.get_tensor(key)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is not a readable .safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{file}: metadata format is {metadata.get('format')!r}, expected {FORMAT!r}")
    try:
        width = float(metadata.get("width", 1))
        gate_width = float(metadata.get("gate_width", width))
    except ValueError as error:
        raise CheckpointError(f"{file}: metadata width is not a number: {error}") from error
    for part, state in parts.items():
        if part not in _PUBLISHED:
            raise CheckpointError(f"{file}: unknown key {part}.{next(iter(state))}")
        _check(part, state, file, f"{part}.", width, gate_width)
    for part, (_, required) in _PUBLISHED.items():
        if required and part not in parts:
            raise CheckpointError(f"{file}: no key starts with {part}.")
    return Checkpoint(parts, width, gate_width, metadata.get("trained_on"), file)


def _check(
    part: str, state: Mapping[str, Tensor], file: Path, prefix: str, width: float = 1, gate_width: float = 1
) -> None:
    """Compare names, shapes and values with the network that will take them."""
    expected = {name: t.shape for name, t in empty_module(part, width, gate_width).state_dict().items()}
    for name, shape in expected.items():
        if name not in state:
            raise CheckpointError(f"{file}: key {prefix}{name} is missing")
        tensor = state[name]
        if tensor.shape != shape:
            raise CheckpointError(
                f"{file}: key {prefix}{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}"
            )
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise CheckpointError(f"{file}: key {prefix}{name} holds values that are not finite numbers")
    if unknown := sorted(state.keys() - expected.keys()):
        raise CheckpointError(f"{file}: unknown key {prefix}{unknown[0]}")


if __name__ == "__main__":
    # archive.sh's first step: python -m model_handler.checkpoint WEIGHTS OUT.safetensors
    try:
        save(load(Path(sys.argv[1])), Path(sys.argv[2]))
    except CheckpointError as error:
        sys.exit(f"archive.sh: {error}")
