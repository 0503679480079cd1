import asyncio
from contextlib import AsyncExitStack

import pytest

from springboard.endpoint.document import Limits
from springboard.front.errors import ClientGone, Overloaded
from springboard.front.intake.admission import Admission, Seat


def admission_of(queue_bytes: int = 100, queue_requests: int = 100) -> Admission:
    return Admission(
        Limits(
            max_body_bytes=min(queue_bytes, 25),
            max_object_bytes=min(queue_bytes, 25),
            queue_bytes=queue_bytes,
            queue_requests=queue_requests,
        )
    )


def test_admission_is_bounded_by_requests_and_by_bytes_and_gives_everything_back() -> None:
    async def run() -> None:
        admission = admission_of(queue_requests=1)
        async with admission.seat() as first:
            first.hold(60)
            first.count()
            async with admission.seat() as second:
                with pytest.raises(Overloaded, match="queue_bytes"):
                    second.hold(41)
                second.hold(40)
                with pytest.raises(Overloaded, match="queue_requests"):
                    second.count()
        assert (admission.requests, admission.bytes) == (0, 0)
        with pytest.raises(ClientGone):
            first.hold(1)
        assert admission.bytes == 0

    asyncio.run(run())


async def _held(
    admission: Admission, caller: str, size: int, seats: list[Seat], at_work: bool = False
) -> None:
    async with admission.seat(caller) as seat:
        seat.may_leave = lambda: not at_work
        seat.hold(size)
        seat.count()
        seats.append(seat)
        await asyncio.Event().wait()


async def _end(tasks: list["asyncio.Task[None]"]) -> list[BaseException | None]:
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("limit", [{"queue_bytes": 100}, {"queue_requests": 4}])
def test_one_who_fills_everything_makes_room_for_those_who_hold_less(limit: dict[str, int]) -> None:
    async def run() -> None:
        admission, flood, polite = admission_of(**limit), list[Seat](), list[Seat]()
        tasks = [asyncio.create_task(_held(admission, "flood", 25, flood)) for _ in range(9)]
        await asyncio.sleep(0)
        assert len(flood) == 4
        for caller in ("one", "one", "one", "two"):
            tasks.append(asyncio.create_task(_held(admission, caller, 25, polite)))
            await asyncio.sleep(0.01)
        # The flood loses its newest first, and nobody may come to hold more than it.
        assert [seat.pushed_out for seat in flood] == [False, True, True, True]
        assert [seat.caller for seat in polite] == ["one", "one", "two"]
        assert sum(seat.bytes for seat in (*flood, *polite) if not seat.left) == admission.bytes
        ended = await _end(tasks)
        assert isinstance(ended[3], Overloaded)
        assert (admission.requests, admission.bytes) == (0, 0)

    asyncio.run(run())


def test_what_a_worker_has_is_not_taken_away() -> None:
    async def run() -> None:
        admission, seats = admission_of(queue_requests=2), list[Seat]()
        tasks = [asyncio.create_task(_held(admission, "flood", 1, seats, at_work=True)) for _ in range(2)]
        await asyncio.sleep(0)
        async with AsyncExitStack() as stack:
            with pytest.raises(Overloaded, match="queue_requests"):
                admission.check("polite")
            seat = await stack.enter_async_context(admission.seat("polite"))
            with pytest.raises(Overloaded, match="queue_requests"):
                seat.count()
        assert not any(seat.left for seat in seats)
        await _end(tasks)

    asyncio.run(run())


def test_a_download_on_a_thread_pushes_out_the_newest_upload_of_who_holds_most() -> None:
    async def run() -> None:
        admission, seats = admission_of(), list[Seat]()
        tasks = [asyncio.create_task(_held(admission, "flood", 25, seats)) for _ in range(4)]
        await asyncio.sleep(0)
        async with admission.seat("polite") as seat:
            await asyncio.to_thread(seat.hold, 20)
            with pytest.raises(Overloaded, match="holds less"):
                await tasks[3]
            assert admission.bytes == 95
        await _end(tasks)

    asyncio.run(run())


def test_nobody_is_pushed_out_for_one_who_is_refused_all_the_same() -> None:
    async def run() -> None:
        admission, seats = admission_of(), list[Seat]()
        tasks = [asyncio.create_task(_held(admission, "flood", 25, seats, at_work=n < 3)) for n in range(4)]
        await asyncio.sleep(0)
        async with admission.seat("polite") as seat:
            with pytest.raises(Overloaded, match="queue_bytes"):
                seat.hold(26)  # one place of 25 can be had, the others are at work
            assert (admission.bytes, [one.pushed_out for one in seats]) == (100, [False] * 4)
        await _end(tasks)

    asyncio.run(run())


def test_making_room_looks_at_each_seat_a_few_times_however_many_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def held(seat: Seat) -> int:
        nonlocal looks
        looks += 1
        return seat.bytes

    monkeypatch.setattr("springboard.front.intake.admission._bytes", held)

    async def run() -> None:
        admission = admission_of(queue_bytes=200)
        async with AsyncExitStack() as stack:
            for _ in range(200):
                (await stack.enter_async_context(admission.seat("flood"))).hold(1)
            other = await stack.enter_async_context(admission.seat("other"))
            other.hold(90)
            assert admission.bytes == 200
            raise ClientGone

    with pytest.raises(ClientGone):
        asyncio.run(run())
    assert looks < 5 * 200
