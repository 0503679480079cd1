"""The queue of one machine: localqueue, which is SQLite with leases. bench/queues.py says why this one."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from localqueue import DeliveryPolicy, DurabilityMode, Empty, LeaseExpired, LocalQueueError, SimpleQueue
from localqueue import Job as Leased

from springboard.jobs.job import Job
from springboard.jobs.queue import Backlog, Claim, DeadLetter, LeaseLost, QueueAway

# We count attempts ourselves: whoever gives a job up writes its reason first.
_NEVER = 1_000_000
_KEEP_DONE_SECONDS = 3600.0
_TIDY_SECONDS = 60.0
_DROP = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=30) as db:
    db.execute("DELETE FROM messages WHERE id = ? AND failure_reason IS NOT NULL", (sys.argv[2],))
db.close()
"""


class _Bytes:
    def dumps(self, obj: bytes, /) -> bytes:
        return obj

    def loads(self, data: bytes, /) -> bytes:
        return data


def open_simple(folder: Path, name: str, lease_seconds: float) -> SimpleQueue[bytes]:
    """Open a queue of bytes, or make it; raise OSError and `LocalQueueError`."""
    folder.mkdir(parents=True, exist_ok=True)
    return SimpleQueue[bytes](
        str(folder),
        name,
        delivery=DeliveryPolicy(lease_seconds=lease_seconds, max_retries=_NEVER),
        durability=DurabilityMode.DURABLE,
        serializer=_Bytes(),
    )


class LocalQueue:
    """A `JobQueue` in a folder, which any processes of this machine may use at once."""

    patience = 0.3

    def __init__(self, folder: Path, lease_seconds: float = 30.0) -> None:
        """Open it, or make it. Raises `QueueAway`."""
        with _explained(folder):
            self._queue = open_simple(folder, "jobs", lease_seconds)
        self._folder = folder
        self._tidying = threading.Lock()
        self._tidied = 0.0

    def put(self, job: Job) -> None:
        """See `JobQueue`; one known by `id` and `run` is not put again."""
        with _explained(self._folder):
            self._queue.put(job.written(), f"{job.run}/{job.id}")

    def claim(self, wait_seconds: float) -> Claim | None:
        """See `JobQueue`."""
        with _explained(self._folder):
            self._tidy()
            try:
                leased = self._queue.get(timeout=wait_seconds)
            except Empty:
                return None
        return Claim(leased.data, leased.attempts + 1, leased)

    def extend(self, claim: Claim, seconds: float) -> None:
        """See `JobQueue`."""
        with _explained(self._folder):
            if seconds:
                self._queue.extend_lease(_leased(claim), seconds)
            else:
                self._queue.nack(_leased(claim))

    def done(self, claim: Claim) -> None:
        """See `JobQueue`."""
        with _explained(self._folder):
            self._queue.ack(_leased(claim))

    def dead(self, claim: Claim, reason: str) -> None:
        """See `JobQueue`."""
        with _explained(self._folder):
            self._queue.fail(_leased(claim), reason)

    def backlog(self) -> Backlog:
        """See `JobQueue`."""
        with _explained(self._folder):
            found = self._queue.diagnostics()
        return Backlog(found.ready, found.processing, found.failed, found.oldest_available_age_seconds)

    @contextmanager
    def dead_letters(self, most: int) -> Iterator[list[DeadLetter]]:
        """See `JobQueue`."""
        with _explained(self._folder):
            found = self._queue.list_failed(most)
        yield [
            DeadLetter(str(one.id), one.raw_payload, one.last_error or "", partial(self._drop, one.id))
            for one in found
        ]

    def _drop(self, number: int) -> None:
        # The library can only put a dead letter back, or purge all of them. In a process of its own: two
        # builds of SQLite in one undo each other's locks (sqlite.org/howtocorrupt.html, 2.2.1).
        command = [sys.executable, "-I", "-c", _DROP, str(self._folder / "localqueue.db"), str(number)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise QueueAway(f"the queue in {self._folder} cannot be used: {done.stderr.strip()[-500:]}")

    def close(self) -> None:
        """Close it."""
        self._queue.close()

    def _tidy(self) -> None:
        # What is done stays for a while, so that it is not done again.
        with self._tidying:
            if time.monotonic() < self._tidied + _TIDY_SECONDS:
                return
            self._tidied = time.monotonic()
        self._queue.purge(_KEEP_DONE_SECONDS)


def _leased(claim: Claim) -> Leased[bytes]:
    assert isinstance(claim.receipt, Leased)  # noqa: S101 - our own
    return claim.receipt


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except LeaseExpired as error:
        raise LeaseLost(str(error)) from error
    except (LocalQueueError, OSError, RuntimeError) as error:
        raise QueueAway(f"the queue in {folder} cannot be used: {error}") from error
