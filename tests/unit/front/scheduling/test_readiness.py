"""Who is believed in: late answers of the management API, broken connections, deaths, and warm-ups."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from springboard.endpoint.document import Served
from springboard.front.scheduling import readiness
from springboard.front.scheduling.lane import Lane
from springboard.front.scheduling.queue import Queue
from springboard.front.scheduling.readiness import MISSED_POLLS, Readiness
from springboard.torchserve.client import (
    Answer,
    AttemptFailed,
    HandlerRaised,
    Interrupted,
    NoWorker,
    Unreachable,
    Video,
    WorkerDied,
)
from springboard.torchserve.management import Workers
from tests.unit.front.lanes import NoBackend, variant


class TorchServe(NoBackend):
    """What TorchServe says of its workers, and how often one was asked for an answer."""

    def __init__(self, served: Served) -> None:
        super().__init__(served)
        self.workers_are: Workers | AttemptFailed = Workers(frozenset({7}), 1, 1)
        self.polls = 0
        self.warm_ups = 0
        self.proof: AttemptFailed | None = None

    async def workers(self) -> Workers:
        self.polls += 1
        if isinstance(self.workers_are, AttemptFailed):
            raise self.workers_are
        return self.workers_are

    async def predict(self, video: Video, seconds: float) -> Answer:
        self.warm_ups += 1
        if self.proof:
            raise self.proof
        self.answers += 1
        return Answer(400, b"{}", {})


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - there is no event for every attribute
        await asyncio.sleep(0.001)


class Stage:
    """One lane, watched."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.queue.use([variant("a", 1)], None, TorchServe)
        self.lane: Lane = self.queue.lanes["a"]
        self.readiness = Readiness(self.queue)

    @property
    def torchserve(self) -> TorchServe:
        assert isinstance(self.lane.backend, TorchServe)
        return self.lane.backend

    async def polls(self, count: int) -> None:
        """Let TorchServe be asked so often, and the last answer be believed or not."""
        seen = self.torchserve.polls
        await until(lambda: self.torchserve.polls > seen + count)

    async def ready(self, workers: int = 1) -> None:
        self.torchserve.workers_are = Workers(frozenset(range(7, 7 + workers)), workers, 1)
        await until(lambda: len(self.lane.workers.ready) == workers)


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    stage = Stage()
    watching = asyncio.create_task(stage.readiness.run(asyncio.Event()))
    try:
        async with asyncio.timeout(60):
            yield stage
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "POLL_SECONDS", 0.002)


def test_a_few_missed_polls_silence_nobody() -> None:
    async def test() -> None:
        async with staged() as stage:
            await stage.ready()
            missed = 0

            async def workers() -> Workers:
                nonlocal missed
                missed += 1
                if missed % MISSED_POLLS:
                    raise Interrupted("late")
                return Workers(frozenset({7}), 1, 1)

            stage.torchserve.workers = workers  # type: ignore[method-assign] # late, but for one
            while missed < 10 * MISSED_POLLS:
                assert stage.lane.living
                await asyncio.sleep(0.001)
            assert stage.torchserve.warm_ups == 1

    asyncio.run(test())


def test_who_is_silent_for_long_is_away_and_back_at_once_without_a_warm_up() -> None:
    """A warm-up would wait for the video that the worker has."""

    async def test() -> None:
        async with staged() as stage:
            await stage.ready()
            stage.lane.take(alone=False)
            stage.torchserve.workers_are = Interrupted("late")
            await stage.polls(MISSED_POLLS)
            assert (stage.lane.living, stage.lane.reason) == (False, "late")
            assert stage.lane.workers.total == 1
            await stage.ready()
            assert stage.torchserve.warm_ups == 1

    asyncio.run(test())


def test_whose_answers_come_is_not_silenced_by_missed_polls() -> None:
    async def test() -> None:
        async with staged() as stage:
            await stage.ready()
            stage.torchserve.workers_are = Interrupted("late")
            for _ in range(3 * MISSED_POLLS):
                stage.torchserve.answers += 1
                await stage.polls(0)
                assert stage.lane.living

    asyncio.run(test())


@pytest.mark.parametrize("why", [Unreachable("refused"), Unreachable("is not TorchServe")])
def test_a_torchserve_that_is_gone_is_away_at_once_and_proves_itself_when_back(why: Unreachable) -> None:
    async def test() -> None:
        async with staged() as stage:
            await stage.ready()
            stage.torchserve.workers_are = why
            await stage.polls(1)
            assert (stage.lane.living, stage.lane.reason) == (False, str(why))
            await stage.ready()
            assert stage.torchserve.warm_ups == 2

    asyncio.run(test())


def test_workers_that_are_all_at_work_are_not_warmed_up() -> None:
    async def test() -> None:
        async with staged() as stage:
            await stage.ready()
            stage.lane.take(alone=False)
            stage.torchserve.workers_are = Unreachable("gone")
            await stage.polls(1)
            stage.torchserve.workers_are = Workers(frozenset({9}), 1, 1)
            await stage.polls(3)
            assert (stage.torchserve.warm_ups, stage.lane.living) == (1, False)
            assert stage.lane.reason == "its workers are at work on what they had before"
            stage.queue.done(stage.lane)
            await until(lambda: stage.lane.living)
            assert stage.torchserve.warm_ups == 2

    asyncio.run(test())


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_connections_that_broke_silence_nobody_and_torchserve_is_asked(workers: int) -> None:
    """TorchServe closes idle ones, and each request may meet one."""

    async def test() -> None:
        async with staged() as stage:
            await stage.ready(workers)
            for _ in range(workers):
                stage.readiness.lost_worker(stage.lane, Interrupted("ReadError"))
                assert len(stage.lane.workers.ready) == workers
            await stage.polls(1)
            stage.torchserve.answers += 1
            stage.readiness.lost_worker(stage.lane, Interrupted("ReadError"))
            assert len(stage.lane.workers.ready) == workers
            assert stage.torchserve.warm_ups == 1

    asyncio.run(test())


def test_a_torchserve_that_breaks_every_connection_has_to_prove_itself() -> None:
    """Otherwise a request would be tried again and again, as fast as a machine can."""

    async def test() -> None:
        async with staged() as stage:
            await stage.ready(2)
            stage.torchserve.proof = Interrupted("ReadError")
            for _ in range(3):
                assert stage.lane.living
                stage.readiness.lost_worker(stage.lane, Interrupted("ReadError"))
            assert not stage.lane.living
            await stage.polls(3)
            assert (stage.lane.living, stage.lane.reason) == (False, "ReadError")

    asyncio.run(test())


@pytest.mark.parametrize(
    ("workers", "failure", "left"),
    [
        (1, WorkerDied("died"), 0),
        (3, WorkerDied("died"), 2),
        (3, NoWorker("none"), 0),
        (3, Unreachable("refused"), 0),
        (3, HandlerRaised("bug"), 3),
    ],
)
def test_what_an_attempt_shows_is_believed_at_once(workers: int, failure: AttemptFailed, left: int) -> None:
    async def test() -> None:
        async with staged() as stage:
            await stage.ready(workers)
            stage.readiness.lost_worker(stage.lane, failure)
            assert len(stage.lane.workers.ready) == left

    asyncio.run(test())


def test_workers_that_do_not_answer_their_warm_up_are_not_believed_in() -> None:
    async def test() -> None:
        async with staged() as stage:
            stage.torchserve.proof = WorkerDied("died")
            await stage.polls(1)
            assert (stage.lane.living, stage.lane.reason) == (
                False,
                "its workers do not answer (worker_died)",
            )
            stage.torchserve.proof = None
            await stage.ready()

    asyncio.run(test())


@pytest.mark.parametrize(("other_lives", "level"), [(False, logging.ERROR), (True, logging.WARNING)])
def test_a_variant_that_goes_away_is_told_whoever_found_out(
    caplog: pytest.LogCaptureFixture, other_lives: bool, level: int
) -> None:
    def away() -> list[tuple[int, str]]:
        return [(r.levelno, r.getMessage()) for r in caplog.records if "went away" in r.getMessage()]

    async def test(lose: Callable[[Stage], None]) -> None:
        async with staged() as stage:
            await stage.ready()
            if other_lives:
                stage.queue.lanes["b"] = Lane("b", variant("b", 2), NoBackend(variant("b", 2)))
                stage.queue.lanes["b"].workers = Workers(frozenset({1}), 1, 1)
            lose(stage)
            await stage.polls(2)

    def by_a_request(stage: Stage) -> None:
        stage.torchserve.workers_are = Workers(frozenset(), 1, 1)
        stage.readiness.lost_worker(stage.lane, NoWorker("no worker"))

    def by_a_poll(stage: Stage) -> None:
        stage.torchserve.workers_are = Workers(frozenset(), 1, 1)

    asyncio.run(test(by_a_request))
    asyncio.run(test(by_a_poll))
    assert away() == [
        (level, "variant a went away: no worker"),
        (level, "variant a went away: none of its 1 workers is ready"),
    ]


def processes(*ids: int) -> Workers:
    return Workers(frozenset(ids[:1]), 2, 1, frozenset(ids))


def test_each_worker_that_ends_is_counted_idle_and_loading_ones_too() -> None:
    async def test() -> None:
        ended: list[tuple[str, str, int]] = []
        async with staged() as stage:
            stage.readiness._ended = lambda *one: ended.append(one)
            for known in (processes(7), processes(7, 8), processes(7, 9), processes(), processes(10)):
                stage.torchserve.workers_are = known
                await stage.polls(1)
            assert ended == [("a", stage.lane.served.release, count) for count in (1, 2)]

    asyncio.run(test())
