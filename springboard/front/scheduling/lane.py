"""A lane, which is one release at work: what its workers can take, and who waits for it."""

import asyncio
import itertools
import math
from dataclasses import dataclass, field

from springboard.endpoint.document import Served, Variant
from springboard.front.scheduling.line import Line
from springboard.front.scheduling.pace import Pace
from springboard.torchserve.client import Backend
from springboard.torchserve.management import NO_WORKERS, Workers


@dataclass(eq=False)
class Lane:
    """One release at work: what its workers can take, and what they have taken.

    `workers` counts only what readiness.py found READY and warm; `reason` says why there is none.
    """

    name: str
    served: Served
    backend: Backend
    workers: Workers = NO_WORKERS
    reason: str = "not asked yet"
    busy: int = 0
    alone: bool = False
    pace: Pace = field(default_factory=Pace)
    line: "Line[Ticket]" = field(default_factory=Line)

    @property
    def living(self) -> bool:
        """Whether some worker of this release can answer."""
        return bool(self.workers.ready)

    @property
    def weight(self) -> int:
        """Its share of the traffic; a shadow has none."""
        return self.served.weight if isinstance(self.served, Variant) else 0

    @property
    def capacity(self) -> int:
        """How many requests TorchServe may hold at once."""
        return len(self.workers.ready) * self.workers.batch_size

    def has_room(self, alone: bool) -> bool:
        """Whether one more request fits; with `alone`, whether it would share no batch with another."""
        if self.alone or self.busy >= self.capacity:
            return False
        return not alone or self.workers.batch_size == 1 or self.busy == 0

    def take(self, alone: bool) -> None:
        """Count one more request; `alone` keeps others out of its batch until it is done."""
        self.busy += 1
        self.alone = alone and self.workers.batch_size > 1

    def done(self) -> None:
        """Count one request less."""
        self.busy -= 1
        self.alone = False

    def rate(self, now: float) -> float:
        """Return how many requests a second its workers do, or will do once they are back."""
        workers = len(self.workers.ready) or max(self.workers.total, 1)
        return workers * self.workers.batch_size / max(self.pace.mean(now), 0.001)


@dataclass(eq=False)
class Ticket:
    """One request's place in the line.

    `pin` is the caller's variant, `session` its Session-Id, `caller` who shares fairly with the others.
    `alone` asks for a batch of its own, after a worker died with this body in it. `at_work` while TorchServe
    has the request; `lane` had it last. `failed` are the releases it failed at: another one gets it next, if
    there is one. `number` is the process's count. On the event loop's clock it came at `since`, is answered
    in good time before `target`, and too late after `deadline`. A `low` one is a job: it takes turns that
    nobody waits for, and from its turn on it has `work_seconds`, where those are given.
    """

    pin: str | None = None
    session: str | None = None
    caller: str = ""
    since: float = -math.inf
    target: float = math.inf
    deadline: float = math.inf
    alone: bool = False
    choice: str | None = None
    at_work: bool = False
    lane: Lane | None = None
    failed: set[Lane] = field(default_factory=set)
    again: bool = False
    low: bool = False
    work_seconds: float | None = None
    line: "Line[Ticket] | None" = None
    number: int = field(default_factory=itertools.count().__next__)
    turn: asyncio.Future[Lane] = field(init=False)
