"""What interactive callers notice of jobs: four clients with and without them, in turns in one run.

`python -m bench.jobs_beside [SECONDS] [ROUNDS]` serves the demo's model and has four clients score its clip,
each with the next request as soon as it has its answer, then with pauses between, for so many seconds at a
time without jobs and with more jobs than get done. Fails where a request fails, or where the 99th percentile
with jobs is more than 1.5 times that without.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx

from bench.jobs_stage import ENDPOINT, Stage, stage
from bench.load import Load, drive
from springboard.cli.packing import archive_of
from springboard.jobs.desk import Desk
from springboard.jobs.job import Job
from springboard.system.checkout import ROOT
from tests.stands.waiting import wait_until

CLIENTS, AT_ONCE, MOST = 4, 12, 1.5
_CLIP = ROOT / "demo" / "clips" / "good-dive.mp4"


def main(seconds: str = "40", rounds: str = "3") -> None:
    """Run it and print what came of it."""
    with (
        tempfile.TemporaryDirectory() as name,
        stage("local", Path(name), archive_of(ROOT / "demo" / "weights")) as one,
    ):
        wait_until(lambda: httpx.get(f"{one.url}/ping").status_code == 200, "/ping to be 200", 120)
        one.s3.put_object(Bucket="dives", Key="dive.mp4", Body=_CLIP.read_bytes())
        each = statistics.median(_drive(one, 5, 0).spent) / CLIENTS
        print(f"a dive takes {each:.2f} s of the one worker")
        good = [
            _compare(one, "one after the other", float(seconds), int(rounds), 0),
            _compare(one, "with pauses", float(seconds), int(rounds), 8 * each),
        ]
    if not all(good):
        sys.exit(1)


def _compare(one: Stage, what: str, seconds: float, rounds: int, pause: float) -> bool:
    loads: dict[str, list[Load]] = {"without": [], "with": []}
    done = 0
    for _ in range(rounds):
        loads["without"].append(_drive(one, seconds, pause))
        with _jobs(one) as handed:
            loads["with"].append(_drive(one, seconds, pause))
            done += len(handed) - _waiting(one)
        wait_until(lambda: not _waiting(one), "the last jobs to end", 120)
    p99 = {name: statistics.quantiles(_spent(some), n=100)[98] for name, some in loads.items()}
    for name, some in loads.items():
        spent, failed = _spent(some), sum((Counter(load.failed) for load in some), Counter[str]())
        rate = len(spent) / sum(load.seconds for load in some)
        print(
            f"{what}, {name} jobs: {len(spent)} answers, {rate:.2f}/s, p50 {statistics.median(spent):.3f} s, "
            f"p99 {p99[name]:.3f} s, failed {dict(failed)}"
        )
    ratio = p99["with"] / p99["without"]
    print(f"{what}: p99 {ratio:.2f} times, {done} jobs done meanwhile")
    return ratio <= MOST and not any(load.failed for some in loads.values() for load in some)


@contextmanager
def _jobs(one: Stage) -> Iterator[list[str]]:
    """Have more jobs on the queue than its worker takes, for as long as this lasts; yields their ids."""
    over, handed = threading.Event(), list[str]()
    desk = Desk(one.settings, ENDPOINT)

    def feed() -> None:
        while not over.wait(0.1):
            while _waiting(one) < AT_ONCE:
                handed.append(uuid4().hex)
                output, failure = desk.place(handed[-1])
                now = time.time()
                desk.accept(
                    Job(
                        id=handed[-1],
                        endpoint=ENDPOINT,
                        input="s3://dives/dive.mp4",
                        received=now,
                        expires=now + 3600,
                        timeout=600,
                        output=output,
                        failure=failure,
                    )
                )

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        wait_until(lambda: len(handed) >= AT_ONCE, "jobs on the queue")
        yield handed
    finally:
        over.set()
        thread.join()


def _waiting(one: Stage) -> int:
    backlog = one.queue.backlog()
    return backlog.waiting + backlog.leased


def _drive(one: Stage, seconds: float, pause: float) -> Load:
    return drive(f"{one.url}/invocations", _CLIP.read_bytes(), CLIENTS, seconds=seconds, pause_s=pause)


def _spent(loads: list[Load]) -> list[float]:
    return [took for load in loads for took in load.spent]


if __name__ == "__main__":
    main(*sys.argv[1:])
