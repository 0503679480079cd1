"""What the stages of the GPU check share: where things lie, how times are taken, what is kept."""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from springboard.system.checkout import ROOT

KIT = ROOT / "build" / "gpu"
QUICK = bool(os.environ.get("QUICK"))
WORK = Path(os.environ.get("WORK", "/tmp/springboard-gpu"))
OUT = Path(os.environ.get("OUT", ROOT / "build" / "gpu-out"))
ARCHIVE = WORK / "archive" / "dive-1.0.0.mar"
CLIPS = ("dive", "720p", "1080p", "long")
GFLOP_PER_CLIP = 77.0  # 38.5 GMAC
WIDTH = 1 / 16 if QUICK else 1.0

Found = dict[str, Any]


def clip(name: str) -> bytes:
    """Return one of `CLIPS`."""
    return (KIT / "clips" / name).read_bytes()


def seconds_left() -> float:
    """Return what is left of all the check's time."""
    return float(os.environ.get("DEADLINE", time.time() + 3600)) - time.time()


def device() -> torch.device:
    """Return the GPU, or for a rehearsal the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def precisions() -> dict[str, torch.dtype]:
    """Return those that are worth the time here."""
    if device().type == "cpu":
        return {"fp32": torch.float32}
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def keep(name: str, found: Found) -> None:
    """Write a stage's figures, whole or not at all: it may be ended at any time."""
    OUT.mkdir(parents=True, exist_ok=True)
    part = OUT / f".{name}.json"
    part.write_text(json.dumps(found, indent=1, default=str))
    part.rename(OUT / f"{name}.json")


def read(name: str) -> Found:
    """Return an earlier stage's figures, empty where it has none."""
    try:
        found: Found = json.loads((OUT / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def attempt(label: str, act: Callable[[], Any]) -> Any:
    """Run one measurement; an error is a line of the log, not the end of its stage."""
    try:
        return act()
    except Exception as error:  # noqa: BLE001 - said, kept, and the next one goes on
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        print(f"  {label}: FAILED {said}")
        return {"error": said}


def synchronize() -> None:
    """Wait for the GPU."""
    if device().type == "cuda":
        torch.cuda.synchronize()


def milliseconds(act: Callable[[], object], seconds: float = 0.25, least: int = 4) -> float:
    """Return the median time of a call, the GPU's work included."""
    for _ in range(1 if QUICK else 3):
        act()
    synchronize()
    spent: list[float] = []
    end = time.perf_counter() + (0 if QUICK else seconds)
    while len(spent) < (1 if QUICK else least) or time.perf_counter() < end:
        began = time.perf_counter()
        act()
        synchronize()
        spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(spent)


def show(columns: str, rows: Sequence[Sequence[object]]) -> None:
    """Print a table; `columns` are parted by commas."""
    table = Table(*columns.split(", "))
    for row in rows:
        table.add_row(*(_cell(one) for one in row))
    Console(width=150).print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
