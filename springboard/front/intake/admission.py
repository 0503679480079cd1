"""Admission: what the front holds at once, in requests and in bytes, shared fairly by its callers.

A caller alone may fill all of it. When it is full, a request of one who holds less than another takes the
place of the newest request of whoever holds most ("buffer stealing": P. E. McKenney, Stochastic Fairness
Queueing, IEEE INFOCOM 1990): one who floods, or stalls in its uploads, leaves the others their part. What a
worker has already is never taken away. Memory for callers is bounded by what is held: one who holds nothing
is forgotten.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from math import ceil

from springboard.endpoint.document import Limits
from springboard.front.errors import ClientGone, Overloaded


class Admission:
    """Bounds what the front holds and refuses at once when it is full.

    Counted under a lock: S3 objects arrive on threads.
    """

    def __init__(self, limits: Limits, wait: Callable[[], float] = lambda: 0.0) -> None:
        """`wait` tells the line's expected wait in seconds, for those who are refused."""
        self.limits = limits
        self._wait = wait
        self.requests = 0
        self.bytes = 0
        self._seats: dict[Seat, None] = {}  # in the order they came
        self._lock = threading.Lock()

    @asynccontextmanager
    async def seat(self, caller: str = "") -> AsyncIterator["Seat"]:
        """Let one request of `caller` in, holding nothing yet; what it comes to hold is given back.

        Ends what runs in it by `Overloaded` when another caller's request needs the place.
        """
        try:
            async with asyncio.timeout(None) as patience:
                loop = asyncio.get_running_loop()
                seat = Seat(self, caller, lambda: loop.call_soon_threadsafe(_end, patience))
                with self._lock:
                    self._seats[seat] = None
                try:
                    yield seat
                finally:
                    with self._lock:
                        self._leave(seat)
        except TimeoutError:
            if not patience.expired():
                raise
            raise _pushed_out() from None

    def check(self, caller: str = "") -> None:
        """Refuse a request before its body is read if there is no place for it; raise `Overloaded`."""
        with self._lock:
            if (
                self.requests >= self.limits.queue_requests
                and next(self._victims(caller, 1, _requests), None) is None
            ):
                raise self._full()

    def hold(self, seat: "Seat", size: int) -> None:
        """Hold `size` more bytes for a request; raise `Overloaded` when there is no room for them."""
        with self._lock:
            seat.check()
            left, victims = self.bytes, list[Seat]()
            leaving = self._victims(seat.caller, size, _bytes)
            while left + size > self.limits.queue_bytes:
                if (victim := next(leaving, None)) is None:
                    raise self._full(f"its videos fill queue_bytes = {self.limits.queue_bytes:,}")
                victims.append(victim)
                left -= victim.bytes
            for victim in victims:  # only now: nobody leaves for one who is refused all the same
                self._push_out(victim)
            self.bytes += size
            seat.bytes += size

    def keep(self, seat: "Seat", size: int) -> None:
        """Give back what a request no longer holds: it keeps `size` bytes of what it held."""
        with self._lock:
            if not seat.left:
                self.bytes -= seat.bytes - size
                seat.bytes = size

    def count(self, seat: "Seat") -> None:
        """Count a request whose body is here: slow uploads must not fill the queue. Raises `Overloaded`."""
        with self._lock:
            seat.check()
            if self.requests >= self.limits.queue_requests:
                if (victim := next(self._victims(seat.caller, 1, _requests), None)) is None:
                    raise self._full()
                self._push_out(victim)
            self.requests += 1
            seat.counted = True

    def _full(self, reason: str = "") -> Overloaded:
        reason = reason or f"queue_requests is {self.limits.queue_requests}"
        return Overloaded(f"The queue is full: {reason}. Try again shortly.", ceil(self._wait()) or None)

    def _victims(self, caller: str, more: int, held: Callable[["Seat"], int]) -> Iterator["Seat"]:
        """Yield who leaves for `more` of `caller`, one after the other, while another caller holds more.

        Each seat is looked at twice, however many leave: one who floods makes them many.
        """
        shares = Counter[str]()
        seats: dict[str, list[Seat]] = {}
        for seat in self._seats:
            if held(seat):
                shares[seat.caller] += held(seat)
                seats.setdefault(seat.caller, []).append(seat)
        # Smallest first in a heap, so negative; of equal ones whoever came first.
        largest = [(-share, at, name) for at, (name, share) in enumerate(shares.items())]
        heapify(largest)
        while largest and shares[caller] + more < -largest[0][0]:
            share, at, name = largest[0]
            while seats[name] and not seats[name][-1].may_leave():
                seats[name].pop()
            if not seats[name]:
                return
            victim = seats[name].pop()
            heapreplace(largest, (share + held(victim), at, name))
            yield victim

    def _push_out(self, seat: "Seat") -> None:
        seat.pushed_out = True
        self._leave(seat)
        seat.end()

    def _leave(self, seat: "Seat") -> None:
        if not seat.left:
            seat.left = True
            del self._seats[seat]
            self.requests -= seat.counted
            self.bytes -= seat.bytes


@dataclass(eq=False)
class Seat:
    """What one request holds of the admission. `may_leave` says whether its place may be given to another."""

    admission: Admission
    caller: str
    end: Callable[[], object]
    bytes: int = 0
    counted: bool = False
    left: bool = False
    pushed_out: bool = False
    may_leave: Callable[[], bool] = field(default=lambda: True)

    def check(self) -> None:
        """Raise when the seat is no more: a download goes on for a moment after its request has ended."""
        if self.pushed_out:
            raise _pushed_out()
        if self.left:
            raise ClientGone

    def hold(self, size: int) -> None:
        """See `Admission.hold`."""
        self.admission.hold(self, size)

    def keep(self, size: int) -> None:
        """See `Admission.keep`."""
        self.admission.keep(self, size)

    def count(self) -> None:
        """See `Admission.count`."""
        self.admission.count(self)


def _requests(seat: Seat) -> int:
    return int(seat.counted)


def _bytes(seat: Seat) -> int:
    return seat.bytes


def _end(patience: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it has ended by itself meanwhile
        patience.reschedule(asyncio.get_running_loop().time())


def _pushed_out() -> Overloaded:
    return Overloaded("The queue is full, and its place went to a caller who holds less. Try again shortly.")
