"""Overload in virtual time: the real Queue, Dispatcher and Admission, before workers that only sleep.

Ten minutes pass in seconds. The clients are open (they come whether or not others were answered) and try
again as AWS SDKs do. Every draw is seeded. `before=True` takes the rules of overload.py away: one line, first
come first served, bounded by its number and the deadline alone.
"""

import asyncio
import random
import selectors
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from springboard.endpoint.document import Limits, Served, Variant
from springboard.front.intake.admission import Admission
from springboard.front.scheduling.dispatch import Attempt, Dispatcher
from springboard.front.scheduling.lane import Lane, Ticket
from springboard.front.scheduling.queue import Queue
from springboard.refusal import Refusal
from springboard.torchserve.client import Answer, AttemptFailed, Backend, Unreachable, Video
from springboard.torchserve.management import Workers

RETRIED = (429, 503, 504)


@dataclass(frozen=True)
class Work:
    """How long videos take: lognormal around `mean` seconds; `long_part` of them ten times as long."""

    mean: float = 1.0
    sigma: float = 0.0
    long_part: float = 0.0

    def draw(self, rng: random.Random) -> float:
        """Return seconds for one video; the mean over all is `mean`."""
        base = self.mean / (1 + 9 * self.long_part)
        seconds = base * rng.lognormvariate(-(self.sigma**2) / 2, self.sigma)
        return seconds * 10 if rng.random() < self.long_part else seconds


@dataclass(frozen=True)
class Load:
    """What comes in: `offered` times what the workers can do, shared by callers as `callers` weighs them.

    Arrivals come in groups of `burst`. Workers are away from `outage[0]` for `outage[1]` seconds. A client
    tries `retries` times again after 429, 503 and 504.
    """

    offered: float
    seconds: float = 600.0
    workers: tuple[int, ...] = (2,)
    weights: tuple[int, ...] = (1,)
    speeds: tuple[float, ...] = (1.0,)
    work: Work = Work()
    deadline: float = 60.0
    burst: int = 1
    retries: int = 0
    outage: tuple[float, float] | None = None
    callers: Mapping[str, float] = field(default_factory=lambda: {"one": 1.0})
    batch_size: int = 1
    seed: int = 1

    @property
    def capacity(self) -> float:
        """Requests a second that all workers can do."""
        return self.able / self.work.mean

    @property
    def able(self) -> float:
        """Seconds of work that all workers do a second."""
        return self.batch_size * sum(n * v for n, v in zip(self.workers, self.speeds, strict=True))


@dataclass
class Seen:
    """What the clients saw: of each try its caller, status, begin and end; and of each answer its work."""

    load: Load
    tries: list[tuple[str, int, float, float]] = field(default_factory=list)
    worked: list[tuple[float, float]] = field(default_factory=list)
    late: int = 0
    by_variant: Counter[str] = field(default_factory=Counter)

    def goodput(self, since: float = 0.0) -> float:
        """Return work that was answered in time after `since`, over what the workers could do."""
        load = self.load
        time = load.seconds - since
        if load.outage and load.outage[0] + load.outage[1] > since:
            time -= load.outage[1]
        return sum(work for end, work in self.worked if since <= end < load.seconds) / (time * load.able)

    def quantile(self, status: int, q: float, since: float = 0.0) -> float:
        """Return a quantile of the seconds until answers of this status; 0 without any."""
        spent = sorted(end - begin for _, code, begin, end in self.tries if code == status and end >= since)
        return spent[min(int(q * len(spent)), len(spent) - 1)] if spent else 0.0

    def statuses(self, since: float = 0.0) -> Counter[int]:
        """Count the answers by status."""
        return Counter(status for _, status, _, end in self.tries if end >= since)

    def answered(self, caller: str) -> int:
        """Count the answers that a caller got."""
        return sum(name == caller and status == 200 for name, status, _, _ in self.tries)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self._virtual = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Return the virtual time."""
        return self._virtual

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._virtual += seconds


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self._loop.jump(timeout)
        return super().select(0)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def simulate(load: Load, before: bool = False) -> Seen:
    """Return what this load's clients see."""
    seen: Seen = run(_simulated(load, before))
    return seen


async def _simulated(load: Load, before: bool) -> Seen:
    return await _Simulation(load, before).run()


class _Sleeper(Backend):
    """Workers that sleep for as long as the body says, unless they are away."""

    def __init__(self, served: Served, simulation: "_Simulation") -> None:
        self.served = served
        self._simulation = simulation

    async def predict(self, video: Video, seconds: float) -> Answer:
        number = int(self.served.address.rpartition(":")[2]) - 1
        work = float(video.body) / self._simulation.load.speeds[number]
        try:
            async with asyncio.timeout(work):
                await self._simulation.away.wait()
        except TimeoutError:
            return Answer(200, b'{"score": 1}', {})
        raise Unreachable("away")


class _Simulation:
    def __init__(self, load: Load, before: bool) -> None:
        self.load = load
        self._before = before
        self._rng = random.Random(load.seed)
        self._seen = Seen(load)
        self.away = asyncio.Event()

    async def run(self) -> Seen:
        load, seen, clock = self.load, self._seen, asyncio.get_running_loop().time
        self._queue = queue = Queue()
        limits = Limits(deadline_seconds=load.deadline)
        self._limits = limits
        self._admission = Admission(limits, lambda: queue.expected_wait(clock()))
        self._dispatcher = Dispatcher(queue, self._lost, self._record)
        variants = [
            Variant(name=f"v{n}", release="1.0.0", address=f"http://127.0.0.1:{n + 1}", weight=weight)
            for n, weight in enumerate(load.weights)
        ]
        queue.use(variants, None, lambda served: _Sleeper(served, self))
        self._revive()
        async with asyncio.TaskGroup() as clients:
            polls = asyncio.create_task(self._poll())
            outage = asyncio.create_task(self._outage())
            await self._arrivals(clients)
        outage.cancel()
        polls.cancel()
        return seen

    def _revive(self) -> None:
        for lane, count in zip(self._queue.lanes.values(), self.load.workers, strict=True):
            lane.workers, lane.reason = Workers(frozenset(range(count)), count, self.load.batch_size), ""

    def _lost(self, lane: Lane, failure: AttemptFailed) -> None:
        lane.workers = replace(lane.workers, ready=frozenset())

    def _record(self, attempt: Attempt) -> None:
        self._seen.late += attempt.outcome == "late"
        self._seen.by_variant[attempt.variant] += 1

    async def _poll(self) -> None:  # readiness.py does it
        while True:
            await asyncio.sleep(0.25)
            self._queue.pump()

    async def _outage(self) -> None:
        if self.load.outage is None:
            return
        await asyncio.sleep(self.load.outage[0])
        for lane in self._queue.lanes.values():
            self._lost(lane, Unreachable("away"))
        self.away.set()
        await asyncio.sleep(self.load.outage[1])
        self.away.clear()
        self._revive()

    async def _arrivals(self, clients: asyncio.TaskGroup) -> None:
        load, clock = self.load, asyncio.get_running_loop().time
        names, weights = list(load.callers), list(load.callers.values())
        while True:
            await asyncio.sleep(self._rng.expovariate(load.offered * load.capacity / load.burst))
            if clock() >= load.seconds:
                return
            for _ in range(load.burst):
                work = load.work.draw(self._rng)
                clients.create_task(self._client(self._rng.choices(names, weights)[0], work))

    async def _client(self, caller: str, work: float) -> None:
        clock = asyncio.get_running_loop().time
        for again in range(self.load.retries + 1):
            begin = clock()
            status = await self._request(caller, work)
            self._seen.tries.append((caller, status, begin, clock()))
            if status == 200:
                self._seen.worked.append((clock(), work))
            if status not in RETRIED or again == self.load.retries:
                return
            await asyncio.sleep(min(self._rng.random() * 2**again, 20.0))

    async def _request(self, caller: str, work: float) -> int:
        now = asyncio.get_running_loop().time()
        end = now + self.load.deadline
        ticket = Ticket(caller=caller)
        if not self._before:
            ticket.since, ticket.target, ticket.deadline = now, now + self.load.deadline / 2, end
        try:
            async with self._admission.seat("" if self._before else caller) as seat, asyncio.timeout_at(end):
                seat.may_leave = lambda: not ticket.at_work
                self._admission.check(seat.caller)
                self._queue.check(ticket)
                seat.count()
                await self._dispatcher.score(Video(repr(work).encode(), "id"), ticket)
        except Refusal as refusal:
            return refusal.status
        except TimeoutError:
            return 504 if ticket.at_work else 429
        return 200
