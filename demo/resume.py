"""The state that a training goes on from: another training's is never taken for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from demo.recipe import Origin
from springboard.system.files import lock


class RunError(ValueError):
    """The folder of --run cannot serve this training; the message says why, and what to do."""


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Hold the folder of a run: two trainings in one would write over each other's frames and state."""
    with (run / ".lock").open("w") as held:
        if not lock(held):
            raise RunError(f"another training is at work in {run}. Wait for it, or give another --run")
        yield


def save_state(file: Path, state: dict[str, Any], made_of: Origin) -> None:
    """Write the state; a run that is cut off meanwhile keeps the one before."""
    draft = file.with_suffix(".new")
    try:
        torch.save(state | {"origin": made_of}, draft)
    except RuntimeError as error:  # torch's for a full disk
        draft.unlink(missing_ok=True)
        raise RunError(
            f"{file} cannot be written; its disk may be full. Free some, and the same command goes on after "
            f"the epoch before: {str(error).splitlines()[0]}"
        ) from error
    draft.replace(file)


def load_state(file: Path, made_of: Origin, epochs: int, device: torch.device) -> dict[str, Any] | None:
    """Return the state to go on from, None where there is none.

    Raises `RunError` where it is of another training, or has more epochs than asked for.
    """
    if not file.is_file():
        return None
    state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
    other: Origin = state.get("origin", {})
    differs = [
        f"{name} is {value} here and {other.get(name, 'not told')} there"
        for name, value in made_of.items()
        if other.get(name, "not told") != value
    ]
    if state["epoch"] > epochs:
        differs.append(f"{epochs} epochs are asked for here, {state['epoch']} are done there")
    if differs:
        raise RunError(
            f"{file} is of another training: {'; '.join(differs)}. Give another --run, or delete that "
            "file to begin anew"
        )
    return state
