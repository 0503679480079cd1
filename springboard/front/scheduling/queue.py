"""The queue: whose turn it is, and whom to send away.

TorchServe never holds more than its READY workers can take at once; everything else waits here, a line a
variant, in which callers take turns. So a deadline counts, a client that goes away leaves, and a variant that
dies gives its waiting requests to the living ones. overload.py tells who waits in vain. Jobs only take turns
that nobody waits for, and beside those a share of the others' so that they never starve (`async.least_share`
in endpoint.yml, one in twenty by default).
"""

import asyncio
import math
from collections.abc import Callable, Sequence

from springboard.endpoint.document import Served, Shadow, Variant
from springboard.front.errors import UnknownVariant
from springboard.front.scheduling.lane import Lane, Ticket
from springboard.front.scheduling.line import Line
from springboard.front.scheduling.overload import expected_wait, in_vain, refusal, turned_away
from springboard.front.scheduling.pace import Pace
from springboard.front.scheduling.routing import Router
from springboard.torchserve.client import Backend


class Queue:
    """The lines before all variants. Lives on the event loop; `pump` may be called at any time."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.shadow: Lane | None = None
        self._retired: list[Lane] = []
        self._router = Router({})
        # Those who wait while no variant lives that could take them.
        self._nowhere: Line[Ticket] = Line()

    def __len__(self) -> int:
        return sum(map(len, self._lines))

    @property
    def _lines(self) -> list[Line[Ticket]]:
        return [self._nowhere, *(lane.line for lane in self.lanes.values())]

    def waiting(self, variant: str) -> int:
        """How many requests wait for `variant`."""
        return len(self.lanes[variant].line) if variant in self.lanes else 0

    def oldest(self, now: float) -> float:
        """Since how many seconds the oldest of all waits, jobs aside; 0 when nobody does."""
        waiting = (ticket for line in self._lines for ticket in line.heads() if not ticket.low)
        return max((now - ticket.since for ticket in waiting), default=0.0)

    @property
    def busy(self) -> int:
        """How many requests the variants' workers have."""
        return sum(lane.busy for lane in self.lanes.values())

    @property
    def retired_busy(self) -> int:
        """How many requests are still at releases that the endpoint no longer has."""
        return sum(lane.busy for lane in self._retired)

    @property
    def all_lanes(self) -> list[Lane]:
        """Every lane, the shadow's too."""
        return [*self.lanes.values(), *([self.shadow] if self.shadow else [])]

    @property
    def serving(self) -> bool:
        """Whether some variant with traffic can answer."""
        return any(lane.living and lane.weight for lane in self.lanes.values())

    def use(
        self,
        variants: Sequence[Variant],
        shadow: Shadow | None,
        client_of: Callable[[Served], Backend],
        least_share: float = 0.0,
    ) -> None:
        """Serve these variants from now on.

        A release that stays at its address keeps its lane, and so its count of what is running. One that went
        finishes what it has; who waited for it chooses anew. `least_share`: of the turns, for jobs.
        """
        before = [*self._retired, *self.all_lanes]
        known = {(lane.served.address, lane.served.release): lane for lane in before}
        waiting = [ticket for line in self._lines for ticket in line]
        # A new release works about as long as the one before, until it was measured.
        paces = [lane.pace for lane in self.lanes.values()]

        def lane_of(name: str, served: Served) -> Lane:
            lane = known.get((served.address, served.release)) or Lane(
                name, served, client_of(served), pace=Pace.like(paces)
            )
            lane.name, lane.served = name, served
            lane.backend.served = served
            lane.line.least_share = least_share
            return lane

        self.lanes = {variant.name: lane_of(variant.name, variant) for variant in variants}
        self.shadow = lane_of("shadow", shadow) if shadow else None
        self._retired = [lane for lane in before if lane.busy and lane not in self.all_lanes]
        self._router = Router({variant.name: variant.weight for variant in variants})
        for ticket in waiting:
            self._leave(ticket)
        for ticket in sorted(waiting, key=lambda ticket: ticket.since):
            ticket.choice = None
            self._place(ticket)
        if waiting:
            self.pump()

    def check(self, ticket: Ticket) -> None:
        """Refuse a request before its body is read if no variant can answer it in good time.

        Raises `Overloaded` or `NotReady`.
        """
        now, lanes = _now(), self.open_to(ticket)
        living = [lane for lane in lanes if lane.living]
        if living:
            refusals = [refusal(ticket, lane.line, [lane], now) for lane in living]
        else:
            refusals = [refusal(ticket, self._line_of(ticket), lanes, now)]
        if all(refusals):
            raise min((r for r in refusals if r), key=lambda one: one.retry_after or 0)

    def expected_wait(self, now: float) -> float:
        """Seconds until a newcomer's turn at whichever variant with traffic is nearest; 0 without any."""
        waits = [expected_wait(lane.line, [lane], now) for lane in self.lanes.values() if lane.weight]
        return min(waits, default=0.0)

    async def turn(self, ticket: Ticket, again: bool = False) -> Lane:
        """Wait for a lane with room and take it; call `done` once TorchServe has let go of the request.

        With `again` the ticket goes to the head of its line: it has waited once, and is not refused for the
        line's length. Raises `UnknownVariant` for a pin on a variant that is not (or no longer) there,
        `Overloaded` or `NotReady` for a request that would wait, or has waited, in vain.
        """
        ticket.turn = asyncio.get_running_loop().create_future()
        ticket.again = again
        if math.isinf(ticket.since):
            ticket.since = _now()
        self._place(ticket, new=True)
        self.pump()
        try:
            return await ticket.turn
        except asyncio.CancelledError:
            if ticket.turn.done() and not ticket.turn.cancelled() and not ticket.turn.exception():
                self.done(ticket.turn.result())
            raise
        finally:
            self._leave(ticket)

    def open_to(self, ticket: Ticket) -> list[Lane]:
        """Return the lanes that this request may go to."""
        if ticket.pin is not None:
            return [lane for name, lane in self.lanes.items() if name == ticket.pin]
        return [lane for lane in self.lanes.values() if lane.weight]

    def done(self, lane: Lane) -> None:
        """Give a turn back."""
        lane.done()
        self.pump()

    def pump(self) -> None:
        """Give out every turn that there is room for, in order, and send away who waits in vain."""
        living = {name for name, lane in self.lanes.items() if lane.living}
        for line in [self._nowhere, *(lane.line for lane in self.lanes.values() if not lane.living)]:
            for ticket in [ticket for ticket in line if ticket.pin is None]:
                if living or ticket.line is not self._nowhere:
                    self._leave(ticket)
                    self._place(ticket)
        self._shed(self._nowhere, [lane for lane in self.lanes.values() if lane.weight])
        for lane in self.lanes.values():
            self._shed(lane.line, [lane])
            while (head := lane.line.head()) and lane.has_room(head.alone):
                self._give(lane, lane.line.pop())
                self._shed(lane.line, [lane])

    def _place(self, ticket: Ticket, new: bool = False) -> None:
        """Put a ticket into its line, unless it is refused or can go at once."""
        if ticket.turn.done():  # cancelled, and about to leave by itself
            return
        if ticket.pin is not None and ticket.pin not in self.lanes:
            ticket.turn.set_exception(unknown_variant(ticket.pin, self.lanes))
            return
        lane = self._choose(ticket)
        line = lane.line if lane else self._nowhere
        if new and not ticket.again:
            lanes = [lane] if lane else self.open_to(ticket)
            if refused := refusal(ticket, line, lanes, _now()):
                ticket.turn.set_exception(refused)
                return
        if lane and not len(line) and lane.has_room(ticket.alone):
            self._give(lane, ticket)
            return
        ticket.line = line
        (line.put_first if ticket.again else line.append)(ticket)

    def _choose(self, ticket: Ticket) -> Lane | None:
        living = {name for name, lane in self.lanes.items() if lane.living}
        if ticket.pin is not None:
            ticket.choice = ticket.pin
        elif ticket.choice not in living:
            others = {name for name in living if self.lanes[name] not in ticket.failed}
            ticket.choice = self._router.choose(others, ticket.session) or self._router.choose(
                living, ticket.session
            )
        return self.lanes[ticket.choice] if ticket.choice else None

    def _line_of(self, ticket: Ticket) -> Line[Ticket]:
        pinned = self.lanes.get(ticket.pin or "")
        return pinned.line if pinned else self._nowhere

    def _give(self, lane: Lane, ticket: Ticket) -> None:
        ticket.line = None
        if not ticket.turn.done():  # as above
            lane.take(ticket.alone)
            ticket.lane = lane
            ticket.turn.set_result(lane)

    def _shed(self, line: Line[Ticket], lanes: Sequence[Lane]) -> None:
        while tickets := in_vain(line, lanes, now := _now()):
            for ticket in tickets:
                self._leave(ticket)
                if not ticket.turn.done():
                    wait = expected_wait(line, lanes, now, ticket.caller)
                    ticket.turn.set_exception(turned_away(ticket, lanes, wait))

    def _leave(self, ticket: Ticket) -> None:
        if ticket.line is not None:
            ticket.line.remove(ticket)
            ticket.line = None


def unknown_variant(name: str, lanes: dict[str, Lane]) -> UnknownVariant:
    """Say which variants there are."""
    return UnknownVariant(f"There is no variant {name}; this endpoint has {', '.join(lanes)}.")


def _now() -> float:
    return asyncio.get_running_loop().time()
