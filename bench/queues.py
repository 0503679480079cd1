"""Durable queues for one machine under `kill -9`: which loses a job, which gives one to two at once.

`python -m bench.queues [localqueue] [persist-queue]` puts jobs on a queue, has two processes work on it,
kills one of them every few tenths of a second and starts it again, and counts. By it
springboard/jobs/local.py stands on localqueue. persist-queue is of requirements/peers.txt.
"""

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

JOBS, WORKERS, WORK_SECONDS, LEASE_SECONDS = 300, 2, 0.02, 1.0
KILL_EVERY_SECONDS, PATIENCE_SECONDS = 0.3, 60.0
SEED = 19


class Candidate(Protocol):
    """What a queue must do here."""

    def put(self, number: int) -> None:
        """Put a job."""

    def claim(self) -> tuple[int, Any] | None:
        """Take a job: its number and what `done` wants."""

    def done(self, claim: Any) -> None:
        """Say that it is done."""


class LocalQueue:
    """localqueue, a job leased for a second."""

    def __init__(self, folder: Path) -> None:
        from localqueue import DeliveryPolicy, DurabilityMode, SimpleQueue

        self._queue = SimpleQueue[int](
            str(folder),
            delivery=DeliveryPolicy(lease_seconds=LEASE_SECONDS, max_retries=1000),
            durability=DurabilityMode.DURABLE,
        )

    def put(self, number: int) -> None:
        """Put a job."""
        self._queue.put(number)

    def claim(self) -> tuple[int, Any] | None:
        """Take a job."""
        from localqueue import Empty

        try:
            job = self._queue.get(block=False)
        except Empty:
            return None
        return job.data, job

    def done(self, claim: Any) -> None:
        """Say that it is done."""
        self._queue.ack(claim)


class PersistQueue:
    """persist-queue's SQLiteAckQueue, which takes up at its start what others had begun."""

    def __init__(self, folder: Path) -> None:
        from persistqueue import SQLiteAckQueue

        self._queue = SQLiteAckQueue(str(folder), multithreading=True)

    def put(self, number: int) -> None:
        """Put a job."""
        self._queue.put(number)

    def claim(self) -> tuple[int, Any] | None:
        """Take a job."""
        from persistqueue import Empty

        try:
            taken = self._queue.get(block=False, raw=True)
        except Empty:
            return None
        return taken["data"], taken

    def done(self, claim: Any) -> None:
        """Say that it is done."""
        self._queue.ack(claim)


CANDIDATES: dict[str, type[LocalQueue] | type[PersistQueue]] = {
    "localqueue": LocalQueue,
    "persist-queue": PersistQueue,
}


def work(name: str, folder: Path) -> None:
    """Work on the queue until killed; a line is written when a job begins, and one when it ends."""
    queue: Candidate = CANDIDATES[name](folder / "queue")
    with (folder / "log").open("a", buffering=1) as log:
        while True:
            if (claim := queue.claim()) is None:
                time.sleep(0.02)
                continue
            number, token = claim
            log.write(f"{time.time():.3f} begin {number}\n")
            time.sleep(WORK_SECONDS)
            log.write(f"{time.time():.3f} end {number}\n")
            queue.done(token)


@contextmanager
def _worked_on(name: str, folder: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    workers = [_start(name, folder) for _ in range(WORKERS)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _start(name: str, folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "errors").open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "bench.queues", "work", name, str(folder)], stderr=errors
        )


def _lines(folder: Path) -> list[tuple[float, str, int]]:
    log = folder / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(float(at), what, int(number)) for at, what, number in (line.split() for line in lines)]


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Kill, and count jobs that never ended, ended twice, or were begun while another process had them."""
    queue: Candidate = CANDIDATES[name](folder / "queue")
    for number in range(JOBS):
        queue.put(number)
    chance, kills = random.Random(SEED), 0
    began = time.monotonic()
    with _worked_on(name, folder) as workers:
        while time.monotonic() < began + PATIENCE_SECONDS:
            time.sleep(KILL_EVERY_SECONDS)
            ended = {number for _, what, number in _lines(folder) if what == "end"}
            if len(ended) == JOBS:
                break
            at = chance.randrange(WORKERS)
            workers[at].kill()
            workers[at].wait()
            kills += 1
            workers[at] = _start(name, folder)
    lines = _lines(folder)
    ends = Counter(number for _, what, number in lines if what == "end")
    return {
        "queue": name,
        "jobs": JOBS,
        "kills": kills,
        "seconds": round(time.monotonic() - began, 1),
        "never_ended": JOBS - len(ends),
        "ended_twice": sum(count > 1 for count in ends.values()),
        "at_two_at_once": _overlaps(lines),
    }


def _overlaps(lines: list[tuple[float, str, int]]) -> int:
    """Count beginnings of a job within the lease of an earlier one: only a queue without leases does that."""
    last: dict[int, float] = {}
    found = 0
    for at, what, number in sorted(lines):
        if what == "begin":
            found += at - last.get(number, -LEASE_SECONDS) < LEASE_SECONDS * 0.9
            last[number] = at
    return found


def main(arguments: list[str]) -> None:
    """Measure those named, or all."""
    if arguments[:1] == ["work"]:
        work(arguments[1], Path(arguments[2]))
    for name in arguments or list(CANDIDATES):
        with tempfile.TemporaryDirectory() as folder:
            print(measure(name, Path(folder)), flush=True)
            if errors := (Path(folder) / "errors").read_text().strip():
                print(f"  it said: {errors.splitlines()[-1]}")


if __name__ == "__main__":
    main(sys.argv[1:])
