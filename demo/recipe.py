"""What the weights of a training depend on."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import torch

from demo.labels import Label
from model_handler.checkpoint import Checkpoint

Origin = dict[str, str | int | float | None]


@dataclass(frozen=True)
class Recipe:
    """What a training is made of. The checkpoint depends on it, the dataset and the number of threads."""

    width: float = 0.125
    gate_width: float = 0.0625
    epochs: int = 6
    dives_per_batch: int = 4
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    seed: int = 0


def origin(recipe: Recipe, labels: Iterable[Label], start_from: Checkpoint | None) -> Origin:
    """Return what weights depend on. Not the number of epochs: a finished training may be given more."""
    rows = hashlib.sha256()
    for label in labels:
        rows.update(repr((label.sha256, label.held_out, label.diving, label.score, label.codes)).encode())
        rows.update(repr((label.difficulty, label.takeoff, label.entry, label.faults)).encode())
    settings = {name: value for name, value in asdict(recipe).items() if name != "epochs"}
    weights = None if start_from is None else fingerprint(start_from)
    return settings | {"clips and labels": rows.hexdigest()[:12], "start_from": weights}


def fingerprint(checkpoint: Checkpoint) -> str:
    """Return a digest of all weights, the same whatever files they came from."""
    digest = hashlib.sha256()
    for part, state in sorted(checkpoint.parts.items()):
        for name, tensor in sorted(state.items()):
            digest.update(f"{part}.{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]
