"""Admission: what the front holds at once, in requests and in bytes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from springboard.endpoint.document import Limits
from springboard.front.errors import ClientGone, Overloaded


class Admission:
    """Bounds what the front holds and refuses at once when it is full.

    Counted under a lock: S3 objects arrive on threads.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests = 0
        self.bytes = 0
        self._lock = threading.Lock()

    @contextmanager
    def seat(self) -> Iterator["Seat"]:
        """Let one request in, holding nothing yet; whatever it comes to hold is given back at the end."""
        seat = Seat(self)
        try:
            yield seat
        finally:
            with self._lock:
                seat.left = True
                self.requests -= seat.counted
                self.bytes -= seat.bytes

    def check(self) -> None:
        """Refuse a request before its body is read if there is no place for it; raise `Overloaded`."""
        if self.requests >= self.limits.queue_requests:
            raise Overloaded(
                f"The queue is full: queue_requests is {self.limits.queue_requests}. Try again shortly."
            )

    def hold(self, seat: "Seat", size: int) -> None:
        """Hold `size` more bytes for a request; raise `Overloaded` when there is no room for them."""
        with self._lock:
            if seat.left:  # a download whose client went away
                raise ClientGone
            if self.bytes + size > self.limits.queue_bytes:
                raise Overloaded(
                    f"The queue is full: its videos fill queue_bytes = {self.limits.queue_bytes:,}. "
                    "Try again shortly."
                )
            self.bytes += size
            seat.bytes += size

    def count(self, seat: "Seat") -> None:
        """Count a request whose body is here: slow uploads must not fill the queue. Raises `Overloaded`."""
        with self._lock:
            self.check()
            self.requests += 1
            seat.counted = True


@dataclass(eq=False)
class Seat:
    """What one request holds of the admission."""

    admission: Admission
    bytes: int = 0
    counted: bool = False
    left: bool = False

    def hold(self, size: int) -> None:
        """See `Admission.hold`."""
        self.admission.hold(self, size)

    def count(self) -> None:
        """See `Admission.count`."""
        self.admission.count(self)
