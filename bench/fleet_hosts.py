"""A simulated fleet's hosts: the balancer's choice among them, their fronts' lines and their workers.

Every request is simulated, yet not one after the other: the hosts go forward side by side. Of each tick's
requests numpy takes first the first one of every host, then the second one of every host and so on, so a tick
costs as much as its busiest host has requests, whether there are three hosts or ten thousand.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from springboard.endpoint.document import Limits
from springboard.front.scheduling.lane import Ticket
from springboard.front.scheduling.overload import Outlook, whole

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Slots = NDArray[np.int64]
Routing = Literal["round_robin", "random", "least_outstanding"]

# Response times are counted in bins of 1.2 % from a millisecond to three hours.
_DECADES, _BINS, _LEAST = 7, 1400, 1e-3
# A balancer is several nodes, each of which goes round by itself; one in each of three zones at least.
NODES = 3
# What a new target gets at first, where it starts slowly.
_LEAST_WEIGHT = 0.02


@dataclass(frozen=True)
class Service:
    """A host's workers: how long each takes for a dive, in seconds, and the deadline that the front keeps.

    Times are lognormal by `sigma`, all the same where that is 0, or exponential.
    """

    mean: float = 0.7
    sigma: float = 0.3
    workers: int = 1
    exponential: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def capacity(self) -> float:
        """Dives a second that a host can do."""
        return self.workers / self.mean

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return seconds of work for so many dives."""
        if self.exponential:
            return rng.exponential(self.mean, count)
        return self.mean * rng.lognormal(-(self.sigma**2) / 2, self.sigma, count)

    @cached_property
    def _outlook(self) -> Outlook:
        """Return what the front knows once it has measured: overload.py's own figures."""
        spread = 1.0 if self.exponential else math.sqrt(math.expm1(self.sigma**2))
        slow = math.log(100) if self.exponential else math.exp(2.326 * self.sigma - self.sigma**2 / 2)
        return Outlook(self.capacity, 0, self.mean, self.mean * spread, self.mean * slow)

    @cached_property
    def places(self) -> int:
        """Requests that a host holds at most: the front refuses who would be answered too late."""
        limits = self.limits
        ticket = Ticket(
            since=0, target=limits.overload_share * limits.deadline_seconds, deadline=limits.deadline_seconds
        )
        latest, ahead = self._outlook.good_start(ticket), 0
        while self._outlook.longest_wait(ahead) <= latest:
            ahead += 1
        return ahead + self.workers

    @cached_property
    def retry_after(self) -> int:
        """Seconds that a full host tells whom it refuses."""
        return whole(self._outlook.wait(self.places - self.workers))


class Tries(NamedTuple):
    """Requests on their way: when each comes, when its client first asked, whether this is its second try."""

    at: Floats
    first: Floats
    again: Flags

    def pick(self, which: Flags | Slots) -> Self:
        """Return some of them."""
        return self._replace(at=self.at[which], first=self.first[which], again=self.again[which])

    def later(self, seconds: Floats | float) -> Self:
        """Return them as second tries, so many seconds later."""
        return self._replace(at=self.at + seconds, again=np.ones(self.at.size, bool))


def _joined(parts: list[Tries]) -> Tries:
    return Tries(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class Ledger:
    """What became of the requests: each was answered, lost after its second try, or is on its way still."""

    def __init__(self) -> None:
        self.offered = self.refused = self.failed = self.repeated = 0
        self._bins = np.zeros(_BINS, np.int64)

    @property
    def answered(self) -> int:
        """Requests with an answer."""
        return int(self._bins.sum())

    def answer(self, seconds: Floats) -> None:
        """Count answers by the seconds since their clients first asked."""
        self._bins += np.bincount(_bin(seconds), minlength=_BINS)

    def undo(self, seconds: Floats) -> None:
        """Take back answers that never came."""
        self._bins -= np.bincount(_bin(seconds), minlength=_BINS)

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share of the answers came; 0 without any."""
        sums = self._bins.cumsum()
        number = int(np.searchsorted(sums, share * sums[-1])) if sums[-1] else 0
        return float(_LEAST * 10 ** ((number + 0.5) * _DECADES / _BINS)) if sums[-1] else 0.0


def _bin(seconds: Floats) -> Slots:
    decades: Floats = np.log10(np.maximum(seconds, _LEAST) / _LEAST)
    bins: Slots = np.minimum((decades * (_BINS / _DECADES)).astype(np.int64), _BINS - 1)
    return bins


class Hosts:
    """Hosts in numbered slots, and the balancer before them. Times are seconds of the simulation."""

    def __init__(
        self,
        service: Service,
        slots: int,
        seed: int,
        routing: Routing = "round_robin",
        slow_start: float = 0,
        retries: bool = True,
        nodes: int = NODES,
    ) -> None:
        """`slow_start`: seconds until a new target has its full share; `retries`: clients ask twice.

        `nodes`: how many the balancer has.
        """
        self.service, self._routing, self._slow_start = service, routing, slow_start
        self._retries = retries
        self.rng = np.random.default_rng(seed)
        self.ledger = Ledger()
        self.asked = 0
        """Tries that targets got, as ALBRequestCountPerTarget counts them."""
        self.in_rotation, self._alive = np.zeros(slots, bool), np.zeros(slots, bool)
        self._since, self._hang = np.full(slots, -np.inf), np.zeros(slots)
        self._free = np.zeros((slots, service.workers))
        # Of the requests that a host holds: when each ends, and what Tries has of it.
        self._ends, self._firsts = np.zeros((2, slots, service.places))
        self._again = np.zeros((slots, service.places), bool)
        # Each node goes round in an order of its own: the pages say nothing, and one order would be a convoy.
        self._order, self._turn = self.rng.random((nodes, slots)), np.zeros(nodes)
        self._waiting = Tries(np.empty(0), np.empty(0), np.empty(0, bool))

    @property
    def waiting(self) -> int:
        """Clients that will ask again."""
        return self._waiting.at.size

    def start(self, slots: Slots, since: float) -> None:
        """Have new hosts get requests; from the beginning on their full share where `since` is -inf."""
        self._ends[slots], self._free[slots] = 0, 0
        self._alive[slots], self.in_rotation[slots], self._since[slots] = True, True, since

    def kill(self, slots: Slots, now: float, held: float = 0.0, asked: float = 0.0) -> None:
        """Have hosts stop working, while the balancer still believes in them.

        The clients of requests that they hold know so after `held` seconds, those that ask from now on after
        `asked`.
        """
        slots = slots[self._alive[slots]]
        self._alive[slots], self._hang[slots] = False, asked
        row, column = np.nonzero(self._ends[slots] > now)
        row = slots[row]
        first, again = self._firsts[row, column], self._again[row, column]
        self.ledger.undo(self._ends[row, column] - first)
        self._lose(Tries(np.full(first.size, now), first, again), np.full(first.size, held))
        self._ends[slots] = 0

    def advance(self, begin: float, seconds: float, rate: float) -> None:
        """Let time pass, in which so many new requests a second come."""
        at = begin + seconds * self.rng.random(self.rng.poisson(rate * seconds))
        self.ledger.offered += at.size
        tries = Tries(at, at, np.zeros(at.size, bool))
        if self.waiting:
            due = self._waiting.at < begin + seconds
            back, self._waiting = self._waiting.pick(due), self._waiting.pick(~due)
            tries = _joined([tries, back._replace(at=np.maximum(back.at, begin))])
        tries = tries.pick(np.argsort(tries.at, kind="stable"))
        here = np.flatnonzero(self.in_rotation)
        if not here.size:
            self._lose(tries, np.zeros(tries.at.size))
            return
        self.asked += tries.at.size
        if self._routing == "least_outstanding":
            for number in range(tries.at.size):
                held = (self._ends[here] > tries.at[number]).sum(axis=1) + self.rng.random(here.size)
                self._serve(here[[held.argmin()]], tries.pick(np.array([number])))
            return
        targets = self._deal(here, tries.at.size, begin)
        for part in _rounds(targets):
            self._serve(targets[part], tries.pick(part))

    def _deal(self, here: Slots, count: int, now: float) -> Slots:
        """Return a target for each of so many requests."""
        weights = np.ones(here.size)
        if self._slow_start:
            weights = np.clip((now - self._since[here]) / self._slow_start, _LEAST_WEIGHT, 1)
        if self._routing == "random":
            return _marked(here, weights, self.rng.random(count) * weights.sum())
        nodes = self._turn.size
        node, targets = self.rng.integers(nodes, size=count), np.empty(count, np.int64)
        for one in range(nodes):
            mine, order = np.flatnonzero(node == one), self._order[one][here].argsort()
            turns = self._turn[one] + np.arange(mine.size + 1)
            targets[mine] = _marked(here[order], weights[order], turns[:-1] % weights.sum())
            self._turn[one] = turns[-1] % weights.sum()
        return targets

    def _serve(self, slots: Slots, tries: Tries) -> None:
        """Take one request for each of these hosts."""
        alive = self._alive[slots]
        if not alive.all():
            self._lose(tries.pick(~alive), self._hang[slots[~alive]])
            slots, tries = slots[alive], tries.pick(alive)
        ends = self._ends[slots]
        place, rows = ends.argmin(axis=1), np.arange(slots.size)
        room = ends[rows, place] <= tries.at
        if not room.all():
            self._refuse(tries.pick(~room))
            slots, tries, place, rows = slots[room], tries.pick(room), place[room], rows[: int(room.sum())]
        free = self._free[slots]
        worker = free.argmin(axis=1)
        end = np.maximum(tries.at, free[rows, worker]) + self.service.draw(self.rng, slots.size)
        self._free[slots, worker] = self._ends[slots, place] = end
        self._firsts[slots, place], self._again[slots, place] = tries.first, tries.again
        self.ledger.answer(end - tries.first)

    def _refuse(self, tries: Tries) -> None:
        self.ledger.refused += self._repeat(tries, np.full(tries.at.size, float(self.service.retry_after)))

    def _lose(self, tries: Tries, hang: Floats) -> None:
        self.ledger.failed += self._repeat(tries, hang)

    def _repeat(self, tries: Tries, after: Floats) -> int:
        """Have who asked once ask once more, within a second of `after`; return how many had."""
        once = ~tries.again & self._retries
        back = tries.pick(once).later(after[once] + self.rng.random(int(once.sum())))
        self.ledger.repeated += back.at.size
        self._waiting = _joined([self._waiting, back])
        return tries.at.size - back.at.size


def _marked(slots: Slots, weights: Floats, marks: Floats) -> Slots:
    """Return the slot that each mark falls into, where each is as wide as its weight."""
    return slots[np.minimum(np.searchsorted(weights.cumsum(), marks, "right"), slots.size - 1)]


def _rounds(targets: Slots) -> Iterator[Slots]:
    """Yield the requests that are the first of their host, then those that are the second, and so on."""
    if not targets.size:
        return
    order = np.argsort(targets, kind="stable")
    ordered = targets[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    rank = np.arange(targets.size) - np.repeat(starts, np.diff(np.append(starts, targets.size)))
    cuts = np.bincount(rank).cumsum()[:-1]
    yield from np.split(order[np.argsort(rank, kind="stable")], cuts)
