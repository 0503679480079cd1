"""A line in which callers take turns: nobody's place depends on how much another one asks.

Round robin over the callers, each first come first served (J. Nagle, "On Packet Switches With Infinite
Storage", RFC 970, 1985). Who has one request in line waits for one of each other caller, not for all of a
flood's. Memory is bounded by what waits: a caller with nothing in line is forgotten.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Generic, Protocol, TypeVar


class Waits(Protocol):
    """What stands in a line."""

    caller: str
    low: bool


T = TypeVar("T", bound=Waits)

# After so many turns of a caller what was counted before weighs half.
_MEMORY_TURNS = 16


@dataclass
class _Caller(Generic[T]):
    """One caller's part: what waits, and of the line's `seen` turns since it waits those that it `had`."""

    waiting: deque[T] = field(default_factory=deque)
    had: float = 0.0
    seen: float = 0.0


class Line(Generic[T]):
    """Who waits, in order. Those put first have waited before and go before everybody.

    Low ones go when nobody else waits, and beside that get `least_share` of the turns, so that they never
    starve. They count for nobody's place: neither in the line's length nor before another one.

    `crowded` is overload.py's: somebody had to be sent away since the line was last empty. Metrics look at it
    from another thread: whatever only looks goes over copies.
    """

    def __init__(self) -> None:
        self.crowded = False
        self.least_share = 0.0
        self._owed = 0.0
        self._low: deque[T] = deque()
        self._first: deque[T] = deque()
        self._callers: OrderedDict[str, _Caller[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._first) + sum(len(caller.waiting) for caller in list(self._callers.values()))

    def __iter__(self) -> Iterator[T]:
        yield from list(self._first)
        for caller in list(self._callers.values()):
            yield from list(caller.waiting)
        yield from list(self._low)

    @property
    def low(self) -> int:
        """How many low ones wait."""
        return len(self._low)

    def append(self, one: T) -> None:
        """Put one at the end of its caller's part."""
        if one.low:
            self._low.append(one)
            return
        self._callers.setdefault(one.caller, _Caller()).waiting.append(one)

    def put_first(self, one: T) -> None:
        """Put one before everybody; a low one before the other low ones."""
        (self._low if one.low else self._first).appendleft(one)

    def remove(self, one: T) -> None:
        """Take one out, wherever it stands."""
        for part in (self._first, self._low):
            if one in part:
                part.remove(one)
                return
        waiting = self._callers[one.caller].waiting
        waiting.remove(one)
        if not waiting:
            del self._callers[one.caller]

    def heads(self) -> list[T]:
        """Return the oldest of each part."""
        parts = [self._first, self._low, *(caller.waiting for caller in list(self._callers.values()))]
        return [part[0] for part in parts if part]

    def head(self) -> T | None:
        """Return whose turn it is."""
        if self._low_is_next():
            return self._low[0]
        if self._first:
            return self._first[0]
        return next((caller.waiting[0] for caller in self._callers.values()), None)

    def _low_is_next(self) -> bool:
        return bool(self._low) and (self._owed >= 1 or not (self._first or self._callers))

    def pop(self) -> T:
        """Take out whose turn it is; its caller's next turn comes after everybody else's."""
        if self._low_is_next():
            self._owed = max(self._owed - 1, 0.0)
            return self._low.popleft()
        self._owed = self._owed + self.least_share if self._low else 0.0
        if self._first:
            return self._first.popleft()
        for caller in self._callers.values():
            caller.seen += 1
        name = next(iter(self._callers))
        caller = self._callers[name]
        caller.had += 1
        if caller.had >= _MEMORY_TURNS:
            caller.had, caller.seen = caller.had / 2, caller.seen / 2
        one = caller.waiting.popleft()
        if caller.waiting:
            self._callers.move_to_end(name)
        else:
            del self._callers[name]
        return one

    def before(self, one: T) -> int:
        """Return how many turns are before that of one that waits, as the line is now."""
        if one.low:
            return len(self) + self._low.index(one)
        if one in self._first:
            return self._first.index(one)
        mine = self._callers[one.caller].waiting.index(one)
        before, passed = len(self._first) + mine, False
        for name, other in self._callers.items():
            if name == one.caller:
                passed = True
            else:
                before += min(len(other.waiting), mine if passed else mine + 1)
        return before

    def ahead_of(self, caller: str) -> int:
        """Return how many turns are before a new one of `caller`.

        Those of now, or more by the part of the turns that this caller had lately: others whose requests
        come one by one are hardly ever in line, and yet take their turns.
        """
        own = self._callers.get(caller)
        mine = len(own.waiting) if own else 0
        before, passed = len(self._first) + mine, False
        for name, other in list(self._callers.items()):
            if name == caller:
                passed = True
            else:
                before += min(len(other.waiting), mine if passed and own else mine + 1)
        return max(before, ceil(mine * (own.seen + 1) / (own.had + 1))) if own else before
