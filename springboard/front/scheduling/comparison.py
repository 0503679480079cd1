"""Which attempts compare two releases fairly, and what each says of its release.

Chance, by weight, gives a video to a release; what that release makes of it is a fact that compares. What
follows is none: another release gets only the videos that failed, so its attempts at them would count against
it, and against a canary of a tenth of the traffic nine times as much as against the old release.

    first attempt ──> answered: scored | unscored (a video refused before says nothing new)
             └──> failed ──> another release fails on the video too: alike, nobody's fault but the video's
                      ├──> another answers, or none is asked: a failure of the release, by its outcome
                      └──> it failed on this very video last time as well: repeated, one fact and not many
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from springboard.front.scheduling.dispatch import Attempt
from springboard.torchserve.client import AttemptFailed, NoWorker, Unreachable, WorkerDied

SCORED, UNSCORED, ALIKE, REPEATED = "scored", "unscored", "alike", "repeated"
# The video had no part in these.
_UNSEEN = {AttemptFailed.outcome, NoWorker.outcome, Unreachable.outcome}
# Until the release answers again these tell of one event, however many requests were at work in it.
_OUTAGES = _UNSEEN | {WorkerDied.outcome}
# Beyond every deadline: no second attempt comes any more.
_PATIENCE_SECONDS = 120.0
_REMEMBERED = 10_000


@dataclass(frozen=True)
class Fact:
    """What one first attempt says. `outcome` is one of the above or an `AttemptFailed.outcome`.

    Of a scored one: `seconds` of the attempt, `clips` that were scored in them, `points`.
    """

    variant: str
    release: str
    outcome: str
    seconds: float = 0.0
    clips: int = 0
    points: float = 0.0


@dataclass
class _Memory:
    """The last videos that something was seen of; bounded, oldest out first."""

    seen: OrderedDict[bytes, set[str]] = field(default_factory=OrderedDict)

    def of(self, mark: bytes) -> set[str]:
        """Return the releases it was seen of."""
        return self.seen.get(mark, set())

    def add(self, mark: bytes, release: str) -> None:
        """Remember it of this release."""
        self.seen.setdefault(mark, set()).add(release)
        self.seen.move_to_end(mark)
        while len(self.seen) > _REMEMBERED:
            self.seen.popitem(last=False)

    def drop(self, mark: bytes, release: str) -> None:
        """Forget it of this release."""
        releases = self.of(mark)
        releases.discard(release)
        if not releases:
            self.seen.pop(mark, None)


class Comparison:
    """Makes facts of attempts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds."""
        self._clock = clock
        self._failing, self._refused = _Memory(), _Memory()
        self._open: OrderedDict[int, tuple[Attempt, float]] = OrderedDict()
        self._out: set[tuple[str, str]] = set()

    def facts(self, attempt: Attempt) -> list[Fact]:
        """Return what is known now that this attempt ended: mostly one fact, or none yet."""
        facts = self._overdue()
        if not attempt.by_chance:
            return facts
        if attempt.outcome == "answered":
            self._out.discard((attempt.variant, attempt.release))
            self._failing.drop(attempt.mark, attempt.release)
            if attempt.again:
                return facts + self._resolved(attempt, alike=False)
            return facts + self._answered(attempt)
        if attempt.again:
            facts += self._resolved(attempt, alike=True)
        elif attempt.outcome in _UNSEEN:
            facts += self._against(attempt)
        else:
            facts += self._failed(attempt)
        if attempt.outcome not in _UNSEEN:
            self._failing.add(attempt.mark, attempt.release)
        return facts

    def _answered(self, attempt: Attempt) -> list[Fact]:
        answer = attempt.answer
        if answer is None or (points := answer.score) is None:
            if self._refused.of(attempt.mark):
                return []
            self._refused.add(attempt.mark, attempt.release)
            return [_fact(attempt, UNSCORED)]
        if not math.isfinite(points):
            return [_fact(attempt, "no_number")]
        return [Fact(attempt.variant, attempt.release, SCORED, attempt.seconds, answer.clips, points)]

    def _failed(self, attempt: Attempt) -> list[Fact]:
        failing = self._failing.of(attempt.mark)
        if failing - {attempt.release}:
            return [_fact(attempt, ALIKE)]
        if attempt.release in failing:
            return [_fact(attempt, REPEATED)]
        self._open[attempt.request] = (attempt, self._clock())
        return []

    def _resolved(self, second: Attempt, alike: bool) -> list[Fact]:
        """Judge the first attempt of a request by what came of the one after it."""
        first, _ = self._open.get(second.request, (None, 0.0))
        if first is None or (alike and (first.release == second.release or second.outcome in _UNSEEN)):
            return []
        del self._open[second.request]
        return [_fact(first, ALIKE)] if alike else self._against(first)

    def _against(self, attempt: Attempt) -> list[Fact]:
        side = (attempt.variant, attempt.release)
        if attempt.outcome in _OUTAGES:
            if side in self._out:
                return [_fact(attempt, REPEATED)]
            self._out.add(side)
        return [_fact(attempt, attempt.outcome)]

    def _overdue(self) -> list[Fact]:
        facts, now = list[Fact](), self._clock()
        while self._open:
            attempt, since = next(iter(self._open.values()))
            if now - since < _PATIENCE_SECONDS:
                break
            del self._open[attempt.request]
            facts += self._against(attempt)
        return facts


def _fact(attempt: Attempt, outcome: str) -> Fact:
    return Fact(attempt.variant, attempt.release, outcome)
