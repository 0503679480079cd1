"""How long a dive takes on a real TorchServe beside the bare networks, and how much memory its worker holds.

usage: python -m bench.scoring ARCHIVE CLIP [--requests 10]

ARCHIVE comes from archive.sh. Nothing else should run on the machine: the figures are for two quiet cores.
"""

import argparse
import statistics
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from model_handler.checkpoint import load
from model_handler.device import choose_device, choose_dtype
from model_handler.scoring import Scorer
from model_handler.video import Limits, decode
from springboard.torchserve import transport
from springboard.torchserve.management import NO_WORKERS
from springboard.torchserve.process import TorchServe


def milliseconds(act: Callable[[], object], count: int) -> list[float]:
    """Return how long each of `count` calls took."""
    spent = []
    for _ in range(count):
        started = time.perf_counter()
        act()
        spent.append((time.perf_counter() - started) * 1000)
    return spent


def resident_mib(pid: int) -> dict[str, float]:
    """Return a process's resident memory now and at its highest, in MiB."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


def bare(archive: Path, clip: bytes, requests: int) -> list[float]:
    """Score with the same networks, without TorchServe or HTTP."""
    device = choose_device("auto", None)
    with zipfile.ZipFile(archive) as mar:
        weights = Path(mar.extract("weights.safetensors", archive.parent))
    scorer = Scorer(load(weights), device, choose_dtype("auto", device))
    weights.unlink()

    def score() -> None:
        clips = scorer.clips([decode(clip, Limits()).frames])
        scorer.refusals(clips)
        scorer.score(clips)

    milliseconds(score, 2)
    return milliseconds(score, requests)


def report(name: str, spent: list[float]) -> None:
    """Print the median and the extremes."""
    print(f"{name}: p50 {statistics.median(spent):.0f} ms, {min(spent):.0f} to {max(spent):.0f} ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--requests", type=int, default=10)
    args = parser.parse_args()
    clip = args.clip.read_bytes()
    with TorchServe(args.archive) as torchserve, transport.client(timeout=120) as client:
        url = transport.url(torchserve.served.address, "/invocations")
        client.post(url, content=clip).raise_for_status()
        served = milliseconds(lambda: client.post(url, content=clip).raise_for_status(), args.requests)
        worker = resident_mib(min((torchserve.workers() or NO_WORKERS).ready))
    report(f"/invocations, {args.requests} sequential requests", served)
    print(f"worker memory: {worker['VmRSS']:.0f} MiB resident, {worker['VmHWM']:.0f} MiB at its highest")
    alone = bare(args.archive, clip, args.requests)
    report(f"the networks alone, {torch.get_num_threads()} threads", alone)
    print(
        f"/invocations takes {statistics.median(served) / statistics.median(alone):.2f} x the networks alone"
    )


if __name__ == "__main__":
    main()
