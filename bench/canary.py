"""How often a canary's judge is wrong, both ways, by its own code: see bench/trials.py.

Default settings but where a case says otherwise. Run from the repository: `.venv/bin/python -m bench.canary`
(200 trials of each case), `--quick` for 20. Exits with 1 where over 1 % of equal releases are rolled back, or
under 95 % of bad ones.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.table import Table

from bench.trials import Case, trial

MOST_EQUAL, LEAST_BAD = 0.01, 0.95

BRIEF = {"bake_seconds": 20, "step_seconds": 20}
FEW = {"bake_seconds": 150, "steps": (), "min_attempts": 20}
EQUAL = [
    Case(
        "3 % fail everywhere, workers and front restart",
        rate=2,
        weight=25,
        everywhere=0.03,
        restarts=60.0,
        front_restarts=60.0,
    ),
    Case("5 % fail everywhere, 7 % long, sigma 1", rate=2, weight=25, everywhere=0.05, sigma=1.0, long=0.07),
    Case("a caller repeats a poisoned video, 3 % flaky", rate=2, weight=25, stubborn=True, flaky=0.03),
    Case("1 request/s, weight 50, 5 % fail everywhere", rate=1, weight=50, everywhere=0.05),
    Case("3 requests/s, 0.2 % fail everywhere, 3 % long", rate=3, everywhere=0.002, long=0.03, sigma=0.3),
    Case("100 requests/s, bake 20 s, 3 % fail everywhere", rate=100, everywhere=0.03, rules=BRIEF),
    Case("20 requests/s, weight 1, 3 % fail everywhere", rate=20, weight=1, everywhere=0.03, rules=FEW),
]
WORSE = [
    Case("20 points more errors", errors=0.2, everywhere=0.05),
    Case("20 points more errors, weight 50", errors=0.2, weight=50, everywhere=0.05),
    Case("5 points more errors, 5 % fail everywhere", errors=0.05, everywhere=0.05),
    Case("5 points more errors, 3 % flaky", errors=0.05, flaky=0.03),
    Case("5 points more errors, 3 requests/s", rate=3, errors=0.05),
    Case("1.5 times the time, 7 % long, sigma 1", slower=1.5, sigma=1.0, long=0.07),
    Case("1.5 times the time, 3 requests/s", rate=3, slower=1.5),
    Case("scores 0.5 sd higher", shift=8.5),
    Case("scores 0.5 sd lower, 3 requests/s", shift=-8.5, rate=3),
]


def _job(job: tuple[Case, int]) -> tuple[str, int]:
    return trial(*job)


def main() -> int:
    """Run every case; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200, help="of each case")
    parser.add_argument("--quick", action="store_true", help="20 of each case")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at once")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    given = parser.parse_args()
    trials = 20 if given.quick else given.trials
    table = Table("release", "case", "rolled back", "by", "its first attempts: median, most", "seconds")
    wrong = 0
    with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool:
        for case in (case for case in EQUAL + WORSE if given.only in case.name):
            began = time.perf_counter()
            results = list(pool.map(_job, [(case, seed) for seed in range(trials)]))
            reasons = Counter(why.partition(":")[0] for why, _ in results if why)
            gone = reasons.total()
            right = gone >= LEAST_BAD * trials if case.bad else gone <= MOST_EQUAL * trials
            wrong += not right
            attempts = [count for why, count in results if bool(why) == case.bad] or [0]
            row = (
                "worse" if case.bad else "equal",
                case.name,
                f"{gone} of {trials}",
                ", ".join(f"{figure} {count}" for figure, count in reasons.items()),
                f"{statistics.median(attempts):,.0f}, {max(attempts):,}",
                f"{time.perf_counter() - began:.0f}",
            )
            table.add_row(*row, style="" if right else "red")
            print(*row, sep="; ", file=sys.stderr, flush=True)
    Console(width=140).print(table)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
