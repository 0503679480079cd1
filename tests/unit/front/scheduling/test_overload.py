"""What overload.py promises, with the real queue, dispatcher and admission in virtual time."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from springboard.front.errors import NotReady, Overloaded
from springboard.front.scheduling.lane import Lane, Ticket
from springboard.front.scheduling.queue import Queue
from springboard.torchserve.management import Workers
from tests.stands.simulation import Load, Work, run, simulate
from tests.unit.front.lanes import NoBackend, variant

TWO_MINUTES = 120.0


@pytest.fixture(autouse=True)
def _no_lines_for_each_attempt() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def only(queue: Queue, ready: int = 1, work: float = 2.0) -> Lane:
    """Serve one variant whose videos have taken `work` seconds."""
    queue.use([variant("a", 1)], None, NoBackend)
    lane = queue.lanes["a"]
    lane.workers, lane.reason = (
        Workers(frozenset(range(ready)), max(ready, 1), 1),
        "" if ready else "it loads",
    )
    for _ in range(10):
        lane.pace.begin(-work)
        lane.pace.end(-work, 0.0, worked=True)
    return lane


def ticket(caller: str = "one", deadline: float = 20.0, pin: str | None = None) -> Ticket:
    now = asyncio.get_running_loop().time()
    return Ticket(pin=pin, caller=caller, since=now, target=now + deadline / 2, deadline=now + deadline)


async def enter(queue: Queue, *tickets: Ticket) -> list["asyncio.Task[Lane]"]:
    tasks = [asyncio.create_task(queue.turn(one)) for one in tickets]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def end(tasks: list["asyncio.Task[Lane]"]) -> list[Lane | BaseException]:
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_who_cannot_be_answered_in_good_time_is_refused_at_once_and_told_the_wait() -> None:
    async def main() -> None:
        queue = Queue()
        only(queue)
        tasks = await enter(queue, *[ticket() for _ in range(9)])
        refused = [task.exception() for task in tasks if task.done() and task.exception()]
        # One at work, and three of 2 s each until half of the deadline, 10 s, is reached.
        assert len(refused) == 5
        assert all(isinstance(one, Overloaded) and one.retry_after == 8 for one in refused)
        with pytest.raises(Overloaded, match=r"the wait is 8\.0 s.*Try again in 8 s"):
            queue.check(ticket())
        queue.check(ticket("another"))
        await end(tasks)

    run(main())


def test_a_request_that_finds_a_free_worker_goes_at_once_whatever_work_took_of_late() -> None:
    async def main() -> None:
        queue = Queue()
        only(queue, work=50.0)
        (task,) = await enter(queue, ticket())
        assert task.result().busy == 1

    run(main())


def test_no_work_begins_that_cannot_end_in_time_and_a_crowded_line_loses_its_old_end() -> None:
    async def main() -> None:
        queue = Queue()
        lane = only(queue)
        waiting = [ticket("at work"), *[ticket() for _ in range(3)]]
        tasks = await enter(queue, *waiting)
        await asyncio.sleep(10.5)  # the first takes longer than anybody thought
        queue.pump()
        assert len(queue) == 3, "a line that nobody was refused at keeps them to the deadline"
        with pytest.raises(Overloaded):
            queue.check(ticket(deadline=12))
        (young,) = await enter(queue, ticket("young"))
        queue.done(lane)
        await asyncio.sleep(0)
        assert [type(task.exception()) for task in tasks[1:]] == [Overloaded] * 3
        assert young.result() is lane
        (late,) = await enter(queue, ticket("late"))
        lane.busy = 0
        await asyncio.sleep(18.5)  # with 2 s of work it would end half a second after its deadline
        lane.workers = Workers(frozenset({1}), 1, 1)
        lane.busy = 1
        queue.pump()
        await asyncio.sleep(0)
        assert late.done()
        await end([*tasks, young, late])

    run(main())


def test_while_no_worker_lives_the_line_is_as_long_as_can_be_answered_later() -> None:
    async def main() -> None:
        queue = Queue()
        lane = only(queue, ready=0)
        tasks = await enter(queue, *[ticket() for _ in range(9)], ticket(pin="a"))
        refused = [task.exception() for task in tasks if task.done()]
        assert refused
        assert all(isinstance(one, NotReady) for one in refused)
        with pytest.raises(NotReady):
            queue.check(ticket())
        lane.workers = Workers(frozenset({1}), 1, 1)
        queue.pump()
        await asyncio.sleep(0)
        assert lane.busy == 1
        await end(tasks)

    run(main())


@pytest.mark.parametrize(
    "load",
    [
        Load(20, TWO_MINUTES, workers=(1,), work=Work(0.8), deadline=12),
        Load(2, TWO_MINUTES, work=Work(1.0, sigma=0.8)),
        Load(5, TWO_MINUTES, work=Work(1.0, sigma=0.3, long_part=0.05)),
        Load(5, TWO_MINUTES, burst=20),
        Load(5, TWO_MINUTES, retries=3),
        Load(2, TWO_MINUTES, workers=(3, 1), weights=(90, 10), speeds=(1.0, 0.3)),
        Load(5, TWO_MINUTES, workers=(1,), batch_size=4),
    ],
    ids=["short", "lognormal", "long", "bursts", "retries", "variants", "batches"],
)
def test_over_capacity_workers_stay_useful_and_answers_come_in_good_time(load: Load) -> None:
    seen = simulate(load)
    since = 30.0  # from an empty line to a full one
    assert seen.goodput(since) > 0.95
    assert seen.late == seen.statuses()[504] == 0
    assert seen.quantile(200, 0.99) < load.deadline / 2
    assert seen.quantile(429, 0.95) < 0.1


def test_without_these_rules_a_line_longer_than_its_deadline_answers_nobody() -> None:
    load = Load(5, TWO_MINUTES, work=Work(0.8), deadline=12)
    assert simulate(load, before=True).goodput(30) < 0.05
    assert simulate(load).goodput(30) > 0.95


def test_after_an_outage_work_is_answered_at_once() -> None:
    load = Load(2, 240, outage=(60, 60), work=Work(1.0, sigma=0.5))
    seen = simulate(load)
    after = [end for end, _ in seen.worked if 120 < end < 125]
    assert len(after) >= 5
    assert seen.goodput() > 0.95
    assert seen.quantile(200, 0.99) < load.deadline / 2
    assert seen.late == seen.statuses()[504] == 0


def test_a_short_outage_below_capacity_costs_nobody_an_answer() -> None:
    seen = simulate(Load(0.4, 240, outage=(60, 30)))
    assert set(seen.statuses()) == {200}


def test_one_who_floods_leaves_the_others_their_part() -> None:
    load = Load(10, TWO_MINUTES, callers={"flood": 9.6, "a": 0.2, "b": 0.2})
    seen = simulate(load)
    for name in ("a", "b"):
        asked = sum(caller == name for caller, *_ in seen.tries)
        assert seen.answered(name) == asked > 0
    assert seen.goodput(30) > 0.95


def test_callers_who_all_flood_get_equal_parts() -> None:
    seen = simulate(Load(6, TWO_MINUTES, callers={"a": 1.0, "b": 1.0, "c": 4.0}))
    parts = sorted(seen.answered(name) for name in "abc")
    assert parts[-1] - parts[0] <= 3
