"""The queue of jobs: five verbs, which local.py and sqs.py have in common.

    put ──> waiting ──claim──> leased ──done──> gone
              ^                  ├──extend──> leased on
              └──lease over──────┤
              └──extend by 0─────┘
                                 └──dead──> dead letters

At least once: who is killed at work loses its lease, and the job is claimed again. Nobody has one that
another has, while that one extends its lease in time.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from springboard.jobs.job import Job


class QueueAway(Exception):
    """The queue cannot be reached, or refuses us; the message says why. Trying again may help."""


class LeaseLost(Exception):
    """The lease was over, and the job may be another worker's by now."""


@dataclass(frozen=True)
class Claim:
    """A message that is ours for now, which may be no job, and how often it was claimed."""

    message: bytes
    attempt: int
    receipt: object


@dataclass(frozen=True)
class Backlog:
    """How many jobs wait, are leased, and are dead; and for how long the oldest waits, if that is known."""

    waiting: int
    leased: int
    dead: int
    oldest_seconds: float | None


@dataclass(frozen=True)
class DeadLetter:
    """A message that was given up, and why; `name` is the queue's own for it. `drop` forgets it."""

    name: str
    message: bytes
    reason: str
    drop: Callable[[], None]


class JobQueue(Protocol):
    """A durable queue. All of it may block, and raises `QueueAway`; it may be called from several threads.

    `patience`: the seconds that a worker's `claim` waits, long where each costs something.
    """

    patience: float

    def put(self, job: Job) -> None:
        """Put a job; once more with the same `id` and `run` need not make a second one."""

    def claim(self, wait_seconds: float) -> Claim | None:
        """Lease a job, as long as the queue was opened with; None when none came within `wait_seconds`."""

    def extend(self, claim: Claim, seconds: float) -> None:
        """Lease it for `seconds` from now; 0 gives it back at once. Raises `LeaseLost`."""

    def done(self, claim: Claim) -> None:
        """Forget the job. Raises `LeaseLost` where another worker may have it."""

    def dead(self, claim: Claim, reason: str) -> None:
        """Put the job to the dead letters. Raises `LeaseLost`."""

    def backlog(self) -> Backlog:
        """Count."""

    def dead_letters(self, most: int) -> AbstractContextManager[list[DeadLetter]]:
        """Hold up to `most` dead letters, for people who look after them; none of them is claimed by that."""
