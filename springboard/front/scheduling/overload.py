"""Overload: who would wait in vain, and is told so at once.

A first-come-first-served line longer than its deadline serves only requests that are about to expire: workers
never rest and nobody gets an answer. So:

- A newcomer is let in only if the line before it, by the work times of late, leaves it an answer in good
  time, which is half of its deadline (`overload_share`). Everybody else is refused at once, with the time to
  come back.
- No work begins that would not end before its deadline.
- Estimates fail: workers die, videos get longer. A line in which somebody had to be refused since it was last
  empty is *crowded*, and loses its old end: who has waited until an answer in good time is out of reach goes,
  and the worker's time is for those who can still be answered. A line that merely had a long pause keeps
  them, to the deadline. This is controlled delay, dropped from the head by the time spent in line (K. Nichols
  and V. Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012), with patience long or short by whether
  the queue was empty lately (B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015). That article's adaptive LIFO
  is left out on purpose: where newcomers are refused by the expected wait, the newest first would only let
  those who were promised an answer starve.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from springboard.front.errors import NotReady, Overloaded
from springboard.front.scheduling.lane import Lane, Ticket
from springboard.front.scheduling.line import Line

# Who was let in shall hardly ever be sent away later: newcomers are promised a part of the time there is, and
# a wait of n requests counts for longer by so many standard deviations of their sum. Up to three for each
# worker come in all the same: with fewer, chance leaves workers idle even at twice their load (M/M/1/K: 93 %
# busy with two in line, 97 % with three).
PROMISED, DEVIATIONS, FEW = 0.9, 2.0, 3


@dataclass(frozen=True)
class Outlook:
    """What lanes can do: requests a second, free places, and seconds of work, mean and the longest."""

    rate: float
    free: int
    mean: float
    deviation: float
    high: float

    @classmethod
    def of(cls, lanes: Sequence[Lane], now: float) -> Self:
        """Look at at least one lane."""
        works = [lane.pace.known(now) for lane in lanes]
        return cls(
            rate=sum(lane.rate(now) for lane in lanes),
            free=sum(max(lane.capacity - lane.busy, 0) for lane in lanes),
            mean=max(work.mean for work in works),
            deviation=max(work.deviation for work in works),
            high=max(work.high for work in works),
        )

    def wait(self, ahead: int) -> float:
        """Return the seconds until the turn of a request with `ahead` before it."""
        return max(ahead + 1 - self.free, 0) / self.rate

    def longest_wait(self, ahead: int) -> float:
        """Return the seconds that this wait will hardly exceed, as the work times of those before vary.

        Of a few for each worker, which keep it from idling, it is the mean.
        """
        slots, before = self.rate * self.mean, max(ahead + 1 - self.free, 0)
        if before <= FEW * slots:
            return self.wait(ahead)
        return (self.wait(ahead) + DEVIATIONS * self.deviation * math.sqrt(before) / slots) / PROMISED

    def latest_start(self, ticket: Ticket) -> float:
        """Return until when work may begin to be answered, on the event loop's clock."""
        return ticket.deadline - self.high

    def good_start(self, ticket: Ticket, few: float = FEW) -> float:
        """Return until when work may begin to be answered in good time.

        Where long videos take most of that time the line still holds `few` turns of a worker, if those of the
        mean end in time.
        """
        floor = min(ticket.since + few * self.mean, max(ticket.target - self.mean, ticket.since + self.mean))
        return min(max(ticket.target - self.high, floor), self.latest_start(ticket))


def expected_wait(line: "Line[Ticket]", lanes: Sequence[Lane], now: float, caller: str = "") -> float:
    """Return the seconds until the turn of a newcomer's request."""
    return Outlook.of(lanes, now).wait(line.ahead_of(caller))


def refusal(
    ticket: Ticket, line: "Line[Ticket]", lanes: Sequence[Lane], now: float
) -> Overloaded | NotReady | None:
    """Return why a newcomer is not let into this line before these lanes; None if it is."""
    if ticket.low:
        return None  # it waits for others as long as it is let, and nobody waits for it
    if not len(line):
        line.crowded = False
        if any(lane.has_room(ticket.alone) for lane in lanes):
            return (
                None  # nothing to wait for; and if work times were wrong, this is how they are measured anew
            )
    if not lanes or math.isinf(ticket.deadline):
        return None
    outlook = Outlook.of(lanes, now)
    ahead = line.ahead_of(ticket.caller)
    if outlook.longest_wait(ahead) <= outlook.good_start(ticket) - now:
        return None
    line.crowded = True
    return turned_away(ticket, lanes, outlook.wait(ahead))


def in_vain(line: "Line[Ticket]", lanes: Sequence[Lane], now: float) -> list[Ticket]:
    """Return who waits at the old end of this line without hope of an answer."""
    if not lanes or not (len(line) or line.low):
        return []
    outlook = Outlook.of(lanes, now)
    return [
        ticket
        for ticket in line.heads()
        if now
        > (
            outlook.good_start(ticket, few=1.5 * FEW)
            if line.crowded and not ticket.again and not ticket.low
            else outlook.latest_start(ticket)
        )
    ]


def turned_away(ticket: Ticket, lanes: Sequence[Lane], wait: float) -> Overloaded | NotReady:
    """Return what a request is told that cannot be answered in time; `wait` is the line's, in seconds."""
    if not any(lane.living for lane in lanes):
        if ticket.pin:
            return NotReady(f"Variant {ticket.pin} is not ready: {'; '.join(lane.reason for lane in lanes)}.")
        return NotReady("No worker is ready, and the line is as long as can be answered when one is.")
    return Overloaded(
        f"More comes in than workers can do: the wait is {wait:.1f} s, too long for an answer in good time. "
        f"Try again in {whole(wait)} s.",
        retry_after=whole(wait),
    )


def whole(seconds: float) -> int:
    """Return whole seconds for Retry-After, at least one."""
    return max(math.ceil(seconds), 1)
