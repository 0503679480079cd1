"""The five published files: a folder of plain state dicts, one a network, as `torch.save` wrote them.

Files of other people's trainings differ in small ways (wrapped in a dict beside the epoch, written by
DataParallel, of other names); what is clear is read, what is not is refused with what was found.
"""

import argparse
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Network -> published file (94 is the published epoch), whether it must be there.
FILES = {
    "backbone": ("model_CNN_*.pth", True),
    "fc6": ("model_my_fc6_*.pth", True),
    "score": ("model_score_regressor_*.pth", True),
    "dive": ("model_dive_classifier_*.pth", False),
    "gate": ("c3d.pickle", False),
}
_WEIGHTS_SUFFIXES = {".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".bin", ".tar"}
# What DataParallel and torch.compile put into names, of the whole or of a part.
_INSERTED = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod)\.")
_COUNTS = ("n_averaged",)  # of AveragedModel
# Beside weights in files of trainings: plain data, which runs nothing.
_SAFE: list[Any] = [
    *((np.float64().__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *{type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdg"},
    argparse.Namespace,
]
_SHOWN = 6  # names in a message


class CheckpointError(ValueError):
    """A weights file is missing or is not what its name says; the message names file and key."""


def find(folder: Path) -> dict[str, Path]:
    """Return the published files in a folder, by network.

    Raises `CheckpointError` where one is missing or there twice, where epochs are mixed, and where an
    optional one is missing beside a file of weights whose name says nothing: it may be meant.
    """
    found, epochs = {}, {}
    for part, (pattern, required) in FILES.items():
        files = sorted(folder.glob(pattern))
        if len(files) > 1:
            raise CheckpointError(f"{folder} holds {len(files)} files {pattern}; keep the epoch to serve")
        if files:
            found[part] = files[0]
            before, star, after = pattern.partition("*")
            if star:
                epochs[files[0].name] = files[0].name[len(before) : -len(after)]
        elif required:
            raise CheckpointError(
                f"{folder} has no {pattern}. It should hold {_expected()}. {_holds(folder)}"
            )
    if len(set(epochs.values())) > 1:
        raise CheckpointError(f"{folder} mixes epochs: {', '.join(epochs)}; keep one epoch's files")
    strangers = [
        file.name
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in _WEIGHTS_SUFFIXES and file not in found.values()
    ]
    absent = [FILES[part][0] for part in FILES.keys() - found.keys()]
    if strangers and absent:
        raise CheckpointError(
            f"{folder} has no {' and no '.join(sorted(absent))}, but holds {_list(strangers)}, which no part "
            "of the model is called: rename what is meant, move away what is not"
        )
    return found


def read(file: Path, expected: Iterable[str]) -> dict[str, Tensor]:
    """Return the state dict in a file, under the `expected` names where it is clear how they are meant.

    Without a wrapper, and without what DataParallel, torch.compile, averaging and Lightning put before names.
    Raises `CheckpointError` for everything else; code in a pickle is never run.
    """
    try:
        # Warnings are of pickle protocols, to whoever wrote the file.
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_SAFE):
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{file} is not a file of plain weights written by torch.save: {_why(file, error)}"
        ) from error
    if isinstance(state, dict):
        state = _unwrapped(state, file)
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{file} holds {type(state).__name__}, not a state dict: it {_ADVICE}")
    if wrong := {key: type(value).__name__ for key, value in state.items() if not isinstance(value, Tensor)}:
        held = ", ".join(f"{key!r} ({kind})" for key, kind in list(wrong.items())[:_SHOWN])
        raise CheckpointError(f"{file} is not a state dict: beside tensors it holds {held}. It {_ADVICE}")
    return _named({str(key): tensor for key, tensor in state.items()}, expected)


_ADVICE = "should map layer names to tensors: torch.save(model.state_dict(), FILE)"


def _unwrapped(state: dict[Any, Any], file: Path) -> dict[Any, Any]:
    """Return the one state dict among what a training saved, epochs, optimizers and the like."""
    inner = {
        key: value
        for key, value in state.items()
        if isinstance(value, dict) and value and all(isinstance(one, Tensor) for one in value.values())
    }
    if len(inner) > 1:
        raise CheckpointError(
            f"{file} holds {len(inner)} sets of weights, {_list([str(key) for key in inner])}; save the one "
            "to serve alone"
        )
    return next(iter(inner.values()), state)


def _named(state: dict[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    bare = {_INSERTED.sub("", key): tensor for key, tensor in state.items()}
    if len(bare) < len(state):
        return state  # two of one name: neither is clear
    bare = {key: tensor for key, tensor in bare.items() if key.rpartition(".")[2] not in _COUNTS}
    wanted = set(expected)
    prefixes = {
        key.removesuffix(name) for key in bare for name in wanted if key == name or key.endswith(f".{name}")
    }
    if len(prefixes) == 1 and all(key.startswith(prefix := next(iter(prefixes))) for key in bare):
        return {key.removeprefix(prefix): tensor for key, tensor in bare.items()}
    return bare


def _why(file: Path, error: Exception) -> str:
    """Return in our own words what is wrong: torch's advise to load untrusted files without its checks."""
    if not file.is_file():
        return "it is no file"
    with file.open("rb") as opened:
        head = opened.read(64)
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the weights; fetch them with: git lfs pull"
    if head.lstrip().startswith(b"<"):
        return f"it begins with {_text(head)!r}, as a web page does; download the file itself"
    if not head.startswith((b"PK\x03\x04", b"\x80")):
        return f"it begins with {_text(head)!r}, which torch.save never writes"
    text = str(error)
    if "TorchScript" in text:
        return "it is a TorchScript model; save the weights alone: torch.save(model.state_dict(), FILE)"
    if isinstance(error, pickle.UnpicklingError) and "truncated" not in text:
        found = re.search(r"GLOBAL:? ([A-Za-z_]\w*(?:\.\w+)+)", text)
        return (
            f"it holds Python objects{f' ({found[1]})' if found else ''}, perhaps a whole model. They could "
            "run code and are not loaded; save the weights alone: torch.save(model.state_dict(), FILE)"
        )
    return "it is cut off or damaged; compare its size and checksum with the original's"


def _text(head: bytes) -> str:
    return head[:24].decode("latin-1").strip()


def _expected() -> str:
    return ", ".join(name if required else f"{name} (optional)" for name, required in FILES.values())


def _holds(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    return f"It holds {_list(names)}" if names else "It is empty"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
