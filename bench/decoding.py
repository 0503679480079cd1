"""How long two commits take to decode the same usual videos, in one run and in alternating order.

usage: git worktree add ../before COMMIT && python -m bench.decoding ../before [--rounds 15]

Prints the median in ms of each and the median of the rounds' ratios.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.clips import filmed
from springboard.system.checkout import ROOT

SIZES = [(320, 240), (1280, 720), (1920, 1080)]
# A process per commit, since both name their package alike: for each line it decodes once and says the ms. It
# holds its memory as that commit's worker does.
_WORKER = """
import sys, time
from model_handler import device
if hasattr(device, "keep_freed_memory"):
    device.keep_freed_memory()
from model_handler.video import Limits, decode
data = open(sys.argv[1], "rb").read()
decode(data, Limits())
for _ in sys.stdin:
    started = time.process_time()
    decode(data, Limits())
    print((time.process_time() - started) * 1000, flush=True)
"""


def compare(before: Path, clip: str, rounds: int) -> tuple[list[float], list[float]]:
    """Return CPU milliseconds of each round, before and now."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, clip],
            cwd=tree,
            env={"PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for tree in (before, ROOT)
    ]
    spent: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            given, answered = workers[which].stdin, workers[which].stdout
            assert given is not None
            assert answered is not None
            given.write("\n")
            given.flush()
            spent[which].append(float(answered.readline()))
    for worker in workers:
        worker.communicate()
    return spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    for width, height in SIZES:
        with tempfile.NamedTemporaryFile(suffix=".mp4") as clip:
            clip.write(filmed(width, height))
            clip.flush()
            before, now = compare(args.before, clip.name, args.rounds)
        ratio = statistics.median(b / a for a, b in zip(before, now, strict=True))
        print(
            f"{width}x{height}: {statistics.median(before):.1f} ms before, now"
            f" {statistics.median(now):.1f} ms, x {ratio:.3f}"
        )


if __name__ == "__main__":
    main()
