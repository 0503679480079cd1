"""Trained weights: the five published files, or the one `.safetensors` file that an archive carries.

Published files are plain state dicts that `torch.save` wrote on a GPU (see docs/publish.md). A
`.safetensors` file holds the same tensors as `backbone.*`, `fc6.*`, `score.*`, `dive.*` and `gate.*`, and
its width and origin as metadata. The gate and the dive classifier may be absent from both.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from model_handler import published
from model_handler.device import forget_pages
from model_handler.network import Backbone, DiveClassifier, Fc6, Gate, ScoreRegressor
from model_handler.published import CheckpointError

__all__ = ["Checkpoint", "CheckpointError", "empty_module", "load", "save"]

FORMAT = "c3d-avg-mtl"
_WIDEST = 16
_BASE_CHANNELS = 64  # of conv1 at width 1


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
        if bundled and (others := [f for pattern, _ in published.FILES.values() for f in path.glob(pattern)]):
            raise CheckpointError(
                f"{path} holds two checkpoints, {bundled[0].name} and {others[0].name}; name the one "
                "to use, or keep the other elsewhere"
            )
        return _load_safetensors(bundled[0]) if bundled else _load_published(path)
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    what = "is neither a folder of weights nor a .safetensors file" if path.exists() else "does not exist"
    raise CheckpointError(f"{path} {what}")


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write one `.safetensors` file that `load` reads back, tensors in the precision they have.

    The same checkpoint gives the same bytes; what was there stays until they are whole. Raises
    `CheckpointError` where they cannot be written.
    """
    metadata = {"format": FORMAT, "width": repr(checkpoint.width), "gate_width": repr(checkpoint.gate_width)}
    if checkpoint.trained_on:
        metadata["trained_on"] = checkpoint.trained_on
    tensors = {f"{p}.{name}": t for p, state in checkpoint.parts.items() for name, t in state.items()}
    draft = path.with_name(f"{path.name}.new")
    try:
        save_file(tensors, draft, metadata)
        draft.chmod(0o644)  # safetensors leaves it unreadable for everybody else
        _sort_header(draft)
        draft.replace(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _sort_header(path: Path) -> None:
    """Sort the header's keys: safetensors writes metadata in an order that differs from run to run."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.dumps(
            json.loads(file.read(size)), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        if len(header.encode()) > size:
            raise CheckpointError(f"{path}: its header cannot be written in {size} bytes")
        file.seek(8)
        file.write(header.encode().ljust(size))


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
    files = published.find(folder)
    parts = {
        part: published.read(file, empty_module(part, 1, 1).state_dict()) for part, file in files.items()
    }
    width, gate_width = (_width(parts.get(part, {})) for part in ("backbone", "gate"))
    for part, file in files.items():
        _check(part, parts[part], file, "", width, gate_width)
    return Checkpoint(parts, width, gate_width if "gate" in parts else width, path=folder)


def _width(state: Mapping[str, Tensor]) -> float:
    """Return how wide a backbone or gate is, by its first layer; 1 where that is missing."""
    return (
        len(state["conv1.bias"]) / _BASE_CHANNELS if state.get("conv1.bias", torch.zeros(())).dim() else 1.0
    )


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
        raise CheckpointError(
            f"{file}: metadata format is {metadata.get('format')!r}, expected {FORMAT!r}: it is of another "
            "program. Give the folder of the files that the training's torch.save wrote"
        )
    try:
        width = float(metadata.get("width", 1))
        gate_width = float(metadata.get("gate_width", width))
    except ValueError as error:
        raise CheckpointError(f"{file}: metadata width is not a number: {error}") from error
    if not (0 < width <= _WIDEST and 0 < gate_width <= _WIDEST):  # nan is not
        raise CheckpointError(f"{file}: metadata width is not from 0 to {_WIDEST}")
    for part, state in parts.items():
        if part not in published.FILES:
            raise CheckpointError(f"{file}: unknown key {part}.{next(iter(state))}")
        _check(part, state, file, f"{part}.", width, gate_width)
        forget_pages(file)
    for part, (_, required) in published.FILES.items():
        if required and part not in parts:
            raise CheckpointError(f"{file}: no key starts with {part}.")
    return Checkpoint(parts, width, gate_width, metadata.get("trained_on"), file)


def _check(
    part: str, state: Mapping[str, Tensor], file: Path, prefix: str, width: float = 1, gate_width: float = 1
) -> None:
    """Compare names, shapes and values with the network that will take them."""
    expected = {name: t.shape for name, t in empty_module(part, width, gate_width).state_dict().items()}
    unknown = sorted(state.keys() - expected.keys())
    for name, shape in expected.items():
        if name not in state:
            instead = f"; it holds {', '.join(unknown[:4])} instead" if unknown else ""
            raise CheckpointError(f"{file}: key {prefix}{name} is missing{instead}")
        tensor = state[name]
        if tensor.shape != shape:
            raise CheckpointError(
                f"{file}: key {prefix}{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}"
            )
        if not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise CheckpointError(f"{file}: key {prefix}{name} holds {kind}, expected floating-point numbers")
        if tensor.layout is not torch.strided or tensor.is_meta:
            kind = "no values" if tensor.is_meta else "a sparse tensor"
            raise CheckpointError(f"{file}: key {prefix}{name} holds {kind}, expected a plain tensor")
        # As they are served: float64's 1e300 is infinite there.
        if not torch.isfinite(tensor.float()).all():
            raise CheckpointError(f"{file}: key {prefix}{name} holds values that are not finite in float32")
    if unknown:
        raise CheckpointError(f"{file}: unknown key {prefix}{unknown[0]}")
