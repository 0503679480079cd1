"""Trials of canaries in time that does not pass: a host, its callers and its workers, by chance and by seed.

Real are the queue, the router, the dispatcher with its strikes, the front's metrics as text, what deployments
read of it, the trial and the judge.
"""

import asyncio
import gc
import logging
import math
import random
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

from prometheus_client import generate_latest

from springboard.deploy import canary
from springboard.deploy.figures import READ, Sample, parse
from springboard.deploy.settings import Canary
from springboard.endpoint.document import Limits, Served, Variant
from springboard.front.errors import DeadlineExceeded, KillsWorkers, ModelFailed, NotReady, Overloaded
from springboard.front.intake.admission import Admission
from springboard.front.metrics.record import Metrics
from springboard.front.scheduling.dispatch import Attempt, Dispatcher
from springboard.front.scheduling.lane import Lane, Ticket
from springboard.front.scheduling.queue import Queue
from springboard.releases.manifest import ReferenceScores
from springboard.torchserve.client import (
    Answer,
    AttemptFailed,
    Backend,
    HandlerRaised,
    ModelError,
    Video,
    WorkerDied,
)
from springboard.torchserve.management import Workers

REFERENCE = ReferenceScores(clips=200, mean=67.0, sd=17.0)

# Every second is what deployments do; the text of each look takes most of a trial.
LOOK_SECONDS = 20.0
OLD, NEW = "1.0.0", "1.1.0"
DEADLINE_SECONDS = 60.0
RESTART_SECONDS = 5.0
CLIPS = 7


@dataclass(frozen=True)
class Case:
    """Traffic and a release. Shares are of videos, `rate` is requests a second.

    `everywhere` of the videos fail at any release, half of them by killing the worker; `flaky` of the
    attempts fail by themselves. `long` of the videos have five times the clips, all vary by a lognormal of
    `sigma`, and as much again by resolution. Workers restart each `restarts` seconds of work, the front each
    `front_restarts`. `stubborn`: one caller repeats one poisoned video all the time, others give up after
    three times. `errors`, `slower`, `shift` are the new release's faults.
    """

    name: str
    rate: float = 10.0
    weight: int = 10
    everywhere: float = 0.01
    flaky: float = 0.0
    refused: float = 0.1
    sigma: float = 0.5
    long: float = 0.05
    restarts: float = math.inf
    front_restarts: float = math.inf
    stubborn: bool = False
    errors: float = 0.0
    slower: float = 1.0
    shift: float = 0.0
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def bad(self) -> bool:
        """Whether it should go."""
        return (self.errors, self.slower, self.shift) != (0.0, 1.0, 0.0)

    @property
    def clip_seconds(self) -> float:
        """Of a GPU where there is much to do."""
        return 0.1 / max(self.rate / 10, 1.0)


class _NoWaiting(selectors.SelectSelector):
    """Nothing ever comes from outside; waiting makes the clock go."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is what was waited for; threads' work is done at once."""

    def __init__(self) -> None:
        self.selector = _NoWaiting()
        super().__init__(self.selector)

    def time(self) -> float:
        """Seconds since its beginning."""
        return self.selector.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]  # *args by position
        """Do it now."""
        done = self.create_future()
        done.set_result(func(*args))
        return done

    def sleep(self, seconds: float) -> None:
        """Let time pass, and what happens in it happen."""
        self.run_until_complete(asyncio.sleep(seconds))


@dataclass
class Dive:
    """A video: its work in clips, and what becomes of it."""

    clips: int
    work: float
    score: float
    fate: str
    unlucky: float


class Model(Backend):
    """Workers of one release that take as long as their videos are."""

    def __init__(self, served: Served, world: "World") -> None:
        self.served = served
        self._world = world

    async def predict(self, video: Video, seconds: float) -> Answer:
        """Answer, refuse or fail as the video, the release and chance will have it."""
        case, dice, dive = self._world.case, self._world.dice, self._world.dives[video.body]
        new = self.served.release == NEW
        seconds = (
            dive.work * case.clip_seconds * dice.lognormvariate(0, 0.1) * (case.slower if new else 1) + 0.01
        )
        if dice.random() < seconds / case.restarts:
            await asyncio.sleep(seconds * dice.random())
            raise WorkerDied("a restart")
        await asyncio.sleep(seconds)
        if dive.fate == "kills":
            raise WorkerDied("by the video")
        if dive.fate == "raises" or dice.random() < case.flaky:
            raise HandlerRaised("by the video or by itself")
        if new and dive.unlucky < case.errors:
            raise ModelError(Answer(500, b'{"error": {"code": "internal_error", "message": "new"}}', {}))
        if dive.fate == "refused":
            return Answer(422, b'{"error": {"code": "not_a_dive", "message": "no"}}', {})
        score = dive.score + (case.shift if new else 0)
        clips = ",".join(["{}"] * dive.clips)
        return Answer(200, f'{{"score": {score:.4f}, "clips": [{clips}]}}'.encode(), {})


class World:
    """One host, its callers, and a trial on it."""

    def __init__(self, case: Case, seed: int) -> None:
        self.case = case
        self.dice = random.Random(f"{case.name} {seed}")
        self.loop = Loop()
        self.queue = Queue()
        self.dives: dict[bytes, Dive] = {}
        self.attempts = 0
        self._tasks = set[Any]()
        self._metrics = self._new_metrics()
        self._dispatcher = Dispatcher(self.queue, self._lost_worker, self._record)
        mean = CLIPS * math.exp(case.sigma**2) * (1 + 4 * case.long) * case.clip_seconds * case.slower
        away = case.rate * (case.everywhere * RESTART_SECONDS + mean * RESTART_SECONDS / case.restarts)
        self._workers = 1 + math.ceil(1.6 * case.rate * mean + away)

    def _new_metrics(self) -> Metrics:
        state: Any = SimpleNamespace(
            queue=self.queue, admission=Admission(Limits()), draining=False, name="dive-scoring"
        )
        return Metrics(state, self.loop.time)

    stable = "stable"

    def show(self, shares: list[tuple[str, Any, int]]) -> bool:
        """As deploy/traffic does, with the front and TorchServe in one."""
        self.loop.run_until_complete(self._use(shares))
        return True

    async def _use(self, shares: list[tuple[str, Any, int]]) -> None:
        variants = [
            Variant(name=name, release=one.version, address=one.address, weight=weight)
            for name, one, weight in shares
        ]
        self.queue.use(variants, None, lambda served: Model(served, self))
        for lane in self.queue.lanes.values():
            lane.workers = Workers(frozenset(range(self._workers)), self._workers, 1)
        self.queue.pump()

    def read(self) -> Sample:
        """As deploy/figures does, of the text that it reads: the rest of it takes as long again."""
        registry: Any = self._metrics.registry
        sample = parse(generate_latest(registry.restricted_registry(READ)).decode())
        ready = {
            (lane.name, lane.served.release): float(len(lane.workers.ready)) for lane in self.queue.all_lanes
        }
        return replace(sample, ready=ready)

    def _record(self, attempt: Attempt) -> None:
        self.attempts += attempt.variant == "canary" and not attempt.again
        self._metrics.record_attempt(attempt)

    def _lost_worker(self, lane: Lane, failure: AttemptFailed) -> None:
        if isinstance(failure, WorkerDied) and lane.workers.ready:
            pid = max(lane.workers.ready)
            lane.workers = Workers(lane.workers.ready - {pid}, lane.workers.total, 1)
            self.loop.call_later(RESTART_SECONDS, self._ready_again, lane, pid)

    def _ready_again(self, lane: Lane, pid: int) -> None:
        lane.workers = Workers(lane.workers.ready | {pid}, lane.workers.total, 1)
        self.queue.pump()

    def _film(self) -> bytes:
        case, dice = self.case, self.dice
        clips = max(round(CLIPS * dice.lognormvariate(0, case.sigma)), 1) * (
            5 if dice.random() < case.long else 1
        )
        fates = ["kills", "raises", "refused", "scored"]
        shares = [case.everywhere / 2, case.everywhere / 2, case.refused, 1 - case.everywhere - case.refused]
        (fate,) = dice.choices(fates, shares)
        body = len(self.dives).to_bytes(8, "big")
        self.dives[body] = Dive(
            clips,
            clips * dice.lognormvariate(0, case.sigma),
            max(dice.gauss(REFERENCE.mean, REFERENCE.sd), 0.0),
            fate,
            dice.random(),
        )
        return body

    async def _call(self, body: bytes, tries: int) -> None:
        """Call as boto3 does: again, when it was the server's fault."""
        for pause in range(1, tries + 1):
            now = self.loop.time()
            ticket = Ticket(since=now, target=now + DEADLINE_SECONDS / 2, deadline=now + DEADLINE_SECONDS)
            try:
                scored = await self._dispatcher.score(Video(body, ""), ticket)
                if scored.answer.status < 500:
                    return
            except (ModelFailed, KillsWorkers, Overloaded, NotReady, DeadlineExceeded):
                pass
            await asyncio.sleep(pause)

    async def _callers(self) -> None:
        if self.case.stubborn:
            poisoned = self._film()
            self.dives[poisoned].fate = "raises"
            self._begin(self._repeat(poisoned))
        if self.case.front_restarts < math.inf:
            self._begin(self._restart_front())
        while True:
            await asyncio.sleep(self.dice.expovariate(self.case.rate))
            self._begin(self._call(self._film(), 3))

    async def _repeat(self, body: bytes) -> None:
        while True:
            await self._call(body, 5)

    async def _restart_front(self) -> None:
        while True:
            await asyncio.sleep(self.dice.expovariate(1 / self.case.front_restarts))
            self._metrics = self._new_metrics()

    def _begin(self, coroutine: Any) -> None:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def judged(self) -> tuple[str, int]:
        """Return why the new release was rolled back, empty when it was not, and its first attempts."""
        old, new = (
            SimpleNamespace(name=version, version=version, address=f"http://127.0.0.1:{port}")
            for version, port in ((OLD, 8180), (NEW, 8190))
        )
        rules = Canary(weight=self.case.weight, **self.case.rules)
        traffic: Any = self
        traffic.front = self
        trial = canary.Trial(traffic, rules, old, new, REFERENCE, lambda _: None)  # type: ignore[arg-type]
        why = ""
        self.show([("stable", old, 100)])
        self._begin(self._callers())
        self.loop.sleep(3)
        with self._virtual():
            try:
                for step, (weight, seconds) in enumerate(trial.steps):
                    trial.run(weight, seconds, hold=step == 0)
            except canary.Rejected as error:
                why = str(error)
        return why, self.attempts

    @contextmanager
    def _virtual(self) -> Iterator[None]:
        clock = SimpleNamespace(monotonic=self.loop.time, sleep=self.loop.sleep)
        services = SimpleNamespace(restarts=lambda _: 0, running=lambda _: True, unit=str)
        # Between two looks a worker may well have come and gone.
        dead = canary._DEAD_SECONDS + LOOK_SECONDS
        with mock.patch.multiple(
            canary, time=clock, services=services, _LOOK_SECONDS=LOOK_SECONDS, _DEAD_SECONDS=dead
        ):
            yield

    def close(self) -> None:
        """End what is still at work."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.sleep(0)
        self.loop.close()


def trial(case: Case, seed: int) -> tuple[str, int]:
    """Run one trial; return the reason of a rollback, or none, and the attempts the new release had."""
    logging.disable()
    gc.disable()  # a fifth of the time
    world = World(case, seed)
    try:
        return world.judged()
    finally:
        world.close()
        gc.enable()
