"""What no server can be faster than: the bare core by stages, and decoding alone on all cores.

usage: python -m bench.limits core CLIP COUNT | decode CLIP SECONDS
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from bench.peers.core import Core
from model_handler.device import keep_freed_memory
from model_handler.video import Limits, decode
from springboard.system.checkout import ROOT


@dataclass(frozen=True)
class Bare:
    """Medians in seconds of the core alone, one video after the other; dives a second of decoding alone."""

    whole_s: float
    decode_s: float
    networks_s: float
    decode_rate: float

    @property
    def pipelined_rate(self) -> float:
        """Return dives a second on paper: decoding and networks share the cores, and neither ever waits."""
        return 1 / (self.networks_s + 1 / self.decode_rate)

    def figures(self) -> dict[str, float]:
        """Return all of it."""
        return asdict(self) | {"pipelined_rate": self.pipelined_rate}


def bare(clip: Path, requests: int, environment: Mapping[str, str]) -> Bare:
    """Measure in processes of their own."""
    (whole, decoded, networks), *_ = _asked("core", clip, requests, environment)
    cores = len(os.sched_getaffinity(0))
    rates = _asked("decode", clip, 2, environment, cores)
    return Bare(whole, decoded, networks, sum(rate for (rate,) in rates))


def _asked(
    what: str, clip: Path, count: float, environment: Mapping[str, str], processes: int = 1
) -> list[list[float]]:
    command = [sys.executable, "-m", "bench.limits", what, str(clip), str(count)]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    said = [one.communicate()[0] for one in started]
    if any(one.returncode for one in started):
        raise SystemExit(f"the bare core failed: {' '.join(command)}")
    return [json.loads(one.splitlines()[-1]) for one in said]


def _core(video: bytes, count: int) -> list[float]:
    core = Core()
    core.score(video)
    spent: list[tuple[float, float, float]] = []
    for _ in range(count):
        began = time.perf_counter()
        stages = core.stages(video)
        networks = stages["gate"] + stages["score"]
        spent.append((time.perf_counter() - began, stages["decode"] / 1000, networks / 1000))
    return [statistics.median(one) for one in zip(*spent, strict=True)]


def _decode(video: bytes, seconds: float) -> list[float]:
    cv2.setNumThreads(1)
    keep_freed_memory()
    decode(video, Limits())
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        decode(video, Limits())
        done += 1
    return [done / (time.perf_counter() - began)]


if __name__ == "__main__":
    _, what, clip, count = sys.argv
    video = Path(clip).read_bytes()
    print(json.dumps(_core(video, int(count)) if what == "core" else _decode(video, float(count))))
