"""How long a release works on a video, by what it did lately: what the line's expected wait is made of."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

# Before anything was measured: a dive takes a few tenths of a second on a GPU and a few seconds on a CPU.
FIRST_GUESS_SECONDS = 1.0
# The window: long enough to average short and long videos, short enough to notice within two minutes that
# work has become slower. At least so many, however old they are.
WINDOW_SECONDS = 120.0
MOST, LEAST = 200, 8


class Pace:
    """A release's recent work times, all in seconds on one clock.

    Only attempts that a model answered count: one that hung until it was killed says nothing of the next.
    """

    def __init__(self, guess: float = FIRST_GUESS_SECONDS) -> None:
        """`guess` stands for the work time until one was measured."""
        self._guess = guess
        self._recent: deque[tuple[float, float]] = deque(maxlen=MOST)
        self._running: list[float] = []
        self._known: WorkTimes | None = None

    @classmethod
    def like(cls, others: Iterable["Pace"]) -> Self:
        """Return the pace of a release that nobody has measured, beside these: as slow as the slowest."""
        means = [sum(s for _, s in other._recent) / len(other._recent) for other in others if other._recent]
        return cls(max(means, default=FIRST_GUESS_SECONDS))

    def begin(self, now: float) -> None:
        """Note that an attempt began."""
        self._running.append(now)

    def end(self, began: float, now: float, worked: bool) -> None:
        """Note that the attempt which began at `began` ended, and whether the model answered it."""
        self._running.remove(began)
        if worked:
            self._recent.append((now, now - began))
            self._known = None

    def mean(self, now: float) -> float:
        """Return the mean work time."""
        return self.known(now).mean

    def known(self, now: float) -> "WorkTimes":
        """Return what is known of the work times now."""
        while len(self._recent) > LEAST and self._recent[0][0] < now - WINDOW_SECONDS:
            self._recent.popleft()
            self._known = None
        if self._known is None or len(self._recent) < LEAST:
            self._known = _summed_up(self._seconds(now))
        return self._known

    def _seconds(self, now: float) -> list[float]:
        seconds = [spent for _, spent in list(self._recent)]  # metrics ask from another thread
        if len(seconds) < LEAST:
            # What still runs says that work takes longer than was guessed, before anything has ended.
            known = sum(seconds) / len(seconds) if seconds else self._guess
            seconds += [now - began for began in list(self._running) if now - began > known]
        return sorted(seconds or [self._guess])


@dataclass(frozen=True)
class WorkTimes:
    """Seconds of work: mean and standard deviation, and what hardly a video exceeds, one in a hundred.

    Of many, one outlier moves nothing: the longest counts as the second longest.
    """

    mean: float
    deviation: float
    high: float


def _summed_up(ordered: list[float]) -> WorkTimes:
    count = len(ordered)
    high = ordered[int(0.99 * (count - 1))]
    if count >= LEAST:
        ordered[-1] = ordered[-2]
    mean = sum(ordered) / count
    return WorkTimes(mean, math.sqrt(sum((one - mean) ** 2 for one in ordered) / count), high)
