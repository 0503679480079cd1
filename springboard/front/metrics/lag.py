"""How late the event loop is: while it is blocked nobody is answered, and no other figure tells of it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

_EVERY_SECONDS = 0.25
# Prometheus' interval: a stall between two of its questions shows in the next.
_KEPT = int(15 / _EVERY_SECONDS)


class Lag:
    """Looks how late the loop wakes whoever sleeps."""

    def __init__(self) -> None:
        self._late: deque[float] = deque([0.0], maxlen=_KEPT)
        self._due: float | None = None

    async def watch(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Measure until cancelled; `clock` is in seconds."""
        try:
            while True:
                self._due = clock() + _EVERY_SECONDS
                await asyncio.sleep(_EVERY_SECONDS)
                self._late.append(max(clock() - self._due, 0.0))
        finally:
            self._due = None

    def worst(self, now: float) -> float:
        """Return the longest of the last 15 s, in seconds; a stall that still lasts counts too."""
        lasts = now - self._due if self._due is not None else 0.0
        return max(*list(self._late), lasts, 0.0)
