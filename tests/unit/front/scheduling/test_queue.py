"""The queue's rules, on the event loop and without a network."""

import asyncio
import hashlib
from collections.abc import Sequence

import pytest

from springboard.endpoint.document import Limits, Served, Variant
from springboard.front.errors import ClientGone, KillsWorkers, Overloaded, UnknownVariant
from springboard.front.intake.admission import Admission
from springboard.front.scheduling.dispatch import Dispatcher, Video
from springboard.front.scheduling.queue import Queue, Ticket
from springboard.front.scheduling.strikes import Strikes
from springboard.torchserve.client import (
    Answer,
    AttemptFailed,
    Backend,
    HandlerRaised,
    ModelError,
    WorkerDied,
)
from springboard.torchserve.management import NO_WORKERS, Workers


def variant(name: str, port: int, weight: int = 1) -> Variant:
    return Variant(name=name, release="1.0.0", address=f"http://127.0.0.1:{port}", weight=weight)


class NoBackend(Backend):
    """A backend nobody calls."""

    def __init__(self, served: Served) -> None:
        self.served = served


def queue_of(*variants: Variant, ready: int = 1, batch_size: int = 1) -> Queue:
    queue = Queue()
    queue.use(variants, None, NoBackend)
    for lane in queue.lanes.values():
        lane.workers = Workers(frozenset(range(ready)), ready, batch_size)
    return queue


async def start(queue: Queue, ticket: Ticket, again: bool = False) -> "asyncio.Task[object]":
    task: asyncio.Task[object] = asyncio.create_task(queue.turn(ticket, again))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


def test_no_more_are_let_through_than_workers_can_take_and_the_rest_in_order() -> None:
    async def run() -> None:
        queue = queue_of(variant("a", 1), ready=2, batch_size=2)
        tasks = [await start(queue, Ticket()) for _ in range(6)]
        assert [task.done() for task in tasks] == [True] * 4 + [False] * 2
        queue.done(queue.lanes["a"])
        await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [True] * 5 + [False]
        queue.done(queue.lanes["a"])
        await tasks[5]

    asyncio.run(run())


def test_a_retry_goes_before_those_who_never_had_a_turn() -> None:
    async def run() -> None:
        queue = queue_of(variant("a", 1))
        await start(queue, Ticket())
        waiting = await start(queue, Ticket())
        retried = await start(queue, Ticket(), again=True)
        queue.done(queue.lanes["a"])
        await asyncio.sleep(0)
        assert (retried.done(), waiting.done()) == (True, False)
        waiting.cancel()

    asyncio.run(run())


def test_who_leaves_the_line_holds_nothing() -> None:
    async def run() -> None:
        queue = queue_of(variant("a", 1))
        await start(queue, Ticket())
        leaving = await start(queue, Ticket())
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert len(queue) == 0
        # Also who leaves in the very moment of its turn.
        late = await start(queue, Ticket())
        queue.done(queue.lanes["a"])
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        assert queue.busy == 0

    asyncio.run(run())


def test_those_who_wait_for_a_variant_that_dies_go_to_a_living_one_unless_they_pinned_it() -> None:
    async def run() -> None:
        queue = queue_of(variant("a", 1), variant("b", 2, weight=0))
        await start(queue, Ticket())
        free, pinned = await start(queue, Ticket()), await start(queue, Ticket(pin="a"))
        queue.use([variant("a", 1), variant("b", 2)], None, NoBackend)
        queue.lanes["a"].workers = NO_WORKERS
        queue.pump()
        await asyncio.sleep(0)
        assert free.done()
        assert queue.lanes["b"].busy == 1
        assert not pinned.done()
        pinned.cancel()

    asyncio.run(run())


def test_a_pin_on_a_variant_that_an_edit_removed_is_refused() -> None:
    async def run() -> None:
        queue = queue_of(variant("a", 1), variant("b", 2))
        await start(queue, Ticket(pin="b"))
        waiting = await start(queue, Ticket(pin="b"))
        queue.use([variant("a", 1)], None, NoBackend)
        with pytest.raises(UnknownVariant, match="has a"):
            await waiting

    asyncio.run(run())


def test_an_edit_keeps_what_runs_at_the_same_address() -> None:
    async def run() -> None:
        queue = queue_of(variant("a", 1))
        lane = queue.lanes["a"]
        await start(queue, Ticket())
        queue.use([variant("renamed", 1, weight=5)], None, NoBackend)
        assert queue.lanes["renamed"] is lane
        assert (lane.busy, lane.name) == (1, "renamed")

    asyncio.run(run())


def test_a_suspect_is_alone_in_its_batch() -> None:
    async def run() -> None:
        queue = queue_of(variant("a", 1), batch_size=4)
        await start(queue, Ticket())
        suspect, other = await start(queue, Ticket(alone=True)), await start(queue, Ticket())
        assert not suspect.done()
        queue.done(queue.lanes["a"])
        await asyncio.sleep(0)
        assert (suspect.done(), other.done()) == (True, False)
        queue.done(queue.lanes["a"])
        await asyncio.sleep(0)
        assert other.done()

    asyncio.run(run())


def test_admission_is_bounded_by_requests_and_by_bytes_and_gives_everything_back() -> None:
    admission = Admission(Limits(max_body_bytes=100, max_object_bytes=100, queue_bytes=100, queue_requests=1))
    with admission.seat() as first:
        first.hold(60)
        first.count()
        with admission.seat() as second:
            with pytest.raises(Overloaded, match="queue_bytes"):
                second.hold(41)
            second.hold(40)
            with pytest.raises(Overloaded, match="queue_requests"):
                second.count()
    assert (admission.requests, admission.bytes) == (0, 0)
    with pytest.raises(ClientGone):
        first.hold(1)
    assert admission.bytes == 0


def test_strikes_are_forgotten_by_success_by_time_and_by_number() -> None:
    one, two, three = (hashlib.sha256(bytes([i])).digest() for i in range(3))
    strikes = Strikes(size=2)
    for release in ("1.0.0", "1.1.0", "1.1.0"):
        strikes.add(one, release)
    assert strikes.count(one) == {"1.0.0": 1, "1.1.0": 2}
    strikes.clear(one)
    assert not strikes
    for body in (one, two, three):
        strikes.add(body, "1.0.0")
    assert [strikes.count(body).total() for body in (one, two, three)] == [0, 1, 1]
    forgetful = Strikes(memory_seconds=-1)
    forgetful.add(one, "1.0.0")
    assert not forgetful.count(one)


class Scripted(NoBackend):
    """A backend that fails as its script says, and then scores."""

    def __init__(self, served: Served, script: Sequence[AttemptFailed] = ()) -> None:
        super().__init__(served)
        self.script = list(script)

    async def predict(self, video: bytes, request_id: str, timeout: float) -> Answer:  # noqa: ASYNC109
        if self.script:
            raise self.script.pop(0)
        return SCORED


SCORED = Answer(200, b'{"score": 1}', {})
OUT_OF_MEMORY = Answer(503, b'{"error": {"code": "out_of_memory", "message": "x"}}', {})


def dispatcher(**scripts: Sequence[AttemptFailed]) -> tuple[Dispatcher, list[tuple[str, str]]]:
    """Return one before the variants `scripts`, each of its own release, and the attempts it will make."""
    queue, attempts = Queue(), list[tuple[str, str]]()
    variants = [
        Variant(name=name, release=f"1.{n}.0", address=f"http://127.0.0.1:{n + 1}", weight=1)
        for n, name in enumerate(scripts)
    ]
    queue.use(variants, None, lambda served: Scripted(served, scripts[getattr(served, "name", "")]))
    for lane in queue.lanes.values():
        lane.workers = Workers(frozenset({1}), 1, 1)
    return (
        Dispatcher(
            queue, lambda *_: None, lambda attempt: attempts.append((attempt.variant, attempt.outcome))
        ),
        attempts,
    )


async def score(dispatch: Dispatcher, pin: str | None = None) -> Answer:
    deadline = asyncio.get_running_loop().time() + 60
    return (await dispatch.score(Video(b"x", "id"), Ticket(pin=pin), deadline)).answer


@pytest.mark.parametrize("failure", [HandlerRaised("x"), ModelError(OUT_OF_MEMORY), WorkerDied("x")])
def test_what_failed_at_one_release_is_tried_at_another(failure: AttemptFailed) -> None:
    dispatch, attempts = dispatcher(canary=[failure] * 9, stable=())
    for _ in range(2):
        assert asyncio.run(score(dispatch)) == SCORED
    assert attempts == [("canary", failure.outcome), ("stable", "answered"), ("stable", "answered")]


def test_the_handlers_own_failure_is_tried_again_and_then_the_callers() -> None:
    dispatch, attempts = dispatcher(only=[ModelError(OUT_OF_MEMORY)] * 3)
    assert asyncio.run(score(dispatch)) == OUT_OF_MEMORY
    assert asyncio.run(score(dispatch)) == SCORED
    assert attempts == [("only", "model_error")] * 3 + [("only", "answered")]


def test_a_body_that_kills_one_release_alone_is_not_refused_at_another() -> None:
    dispatch, attempts = dispatcher(canary=[WorkerDied("x")] * 9, stable=())
    with pytest.raises(KillsWorkers, match="ended 3 workers"):
        asyncio.run(score(dispatch, pin="canary"))
    with pytest.raises(KillsWorkers):
        asyncio.run(score(dispatch, pin="canary"))
    assert len(attempts) == 3
    assert asyncio.run(score(dispatch)) == SCORED
    assert attempts[3:] == [("stable", "answered")]


def test_a_body_that_kills_every_release_ends_no_more_workers_for_that() -> None:
    dispatch, attempts = dispatcher(canary=[WorkerDied("x")] * 9, stable=[WorkerDied("x")] * 9)
    with pytest.raises(KillsWorkers, match="ended 3 workers"):
        asyncio.run(score(dispatch))
    assert len(attempts) == 3
