"""The queue's rules, on the event loop and without a network."""

import asyncio

import pytest

from springboard.endpoint.document import Variant
from springboard.front.errors import UnknownVariant
from springboard.front.scheduling.lane import Ticket
from springboard.front.scheduling.queue import Queue
from springboard.torchserve.management import NO_WORKERS, Workers
from tests.unit.front.lanes import NoBackend, variant


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
