"""The queue: whose turn it is.

TorchServe never holds more than its READY workers can take at once; everything else waits here, in one line,
first come first served within a variant. So a deadline counts, a client that goes away leaves, and a variant
that dies gives its waiting requests to the living ones.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from springboard.endpoint.document import Served, Shadow, Variant
from springboard.front.errors import UnknownVariant
from springboard.front.scheduling.routing import Router
from springboard.torchserve.client import Backend
from springboard.torchserve.management import NO_WORKERS, Workers


@dataclass(eq=False)
class Lane:
    """One release at work: what its workers can take, and what they have taken.

    `workers` counts only what readiness.py found READY and warm; `reason` says why there is none.
    """

    name: str
    served: Served
    backend: Backend
    workers: Workers = NO_WORKERS
    reason: str = "not asked yet"
    busy: int = 0
    alone: bool = False

    @property
    def living(self) -> bool:
        """Whether some worker of this release can answer."""
        return bool(self.workers.ready)

    @property
    def weight(self) -> int:
        """Its share of the traffic; a shadow has none."""
        return self.served.weight if isinstance(self.served, Variant) else 0

    @property
    def capacity(self) -> int:
        """How many requests TorchServe may hold at once."""
        return len(self.workers.ready) * self.workers.batch_size

    def has_room(self, alone: bool) -> bool:
        """Whether one more request fits; with `alone`, whether it would share no batch with another."""
        if self.alone or self.busy >= self.capacity:
            return False
        return not alone or self.workers.batch_size == 1 or self.busy == 0

    def take(self, alone: bool) -> None:
        """Count one more request; `alone` keeps others out of its batch until it is done."""
        self.busy += 1
        self.alone = alone and self.workers.batch_size > 1

    def done(self) -> None:
        """Count one request less."""
        self.busy -= 1
        self.alone = False


@dataclass(eq=False)
class Ticket:
    """One request's place in the line.

    `pin` is the caller's variant, `session` its Session-Id. `alone` asks for a batch of its own, after a
    worker died with this body in it. `at_work` while TorchServe has the request; `lane` had it last. `failed`
    are the releases it failed at: another one gets it next, if there is one. `number` is the process's count.
    """

    pin: str | None = None
    session: str | None = None
    alone: bool = False
    choice: str | None = None
    at_work: bool = False
    lane: Lane | None = None
    failed: set[Lane] = field(default_factory=set)
    number: int = field(default_factory=itertools.count().__next__)
    turn: asyncio.Future[Lane] = field(init=False)


class Queue:
    """The line before all variants. Lives on the event loop; `pump` may be called at any time."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.shadow: Lane | None = None
        self._retired: list[Lane] = []
        self._router = Router({})
        self._line: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._line)

    def waiting(self, variant: str) -> int:
        """How many requests wait for `variant`."""
        return sum(ticket.choice == variant for ticket in self._line)

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
        self, variants: Sequence[Variant], shadow: Shadow | None, client_of: Callable[[Served], Backend]
    ) -> None:
        """Serve these variants from now on.

        A release that stays at its address keeps its lane, and so its count of what is running. One that went
        finishes what it has; who waited for it chooses anew.
        """
        before = [*self._retired, *self.all_lanes]
        known = {(lane.served.address, lane.served.release): lane for lane in before}

        def lane_of(name: str, served: Served) -> Lane:
            lane = known.get((served.address, served.release)) or Lane(name, served, client_of(served))
            lane.name, lane.served = name, served
            lane.backend.served = served
            return lane

        self.lanes = {variant.name: lane_of(variant.name, variant) for variant in variants}
        self.shadow = lane_of("shadow", shadow) if shadow else None
        self._retired = [lane for lane in before if lane.busy and lane not in self.all_lanes]
        self._router = Router({variant.name: variant.weight for variant in variants})
        for ticket in self._line:
            ticket.choice = None
        self.pump()

    async def turn(self, ticket: Ticket, again: bool = False) -> Lane:
        """Wait for a lane with room and take it; call `done` once TorchServe has let go of the request.

        With `again` the ticket goes to the head of the line: it has waited once. Raises `UnknownVariant` for
        a pin on a variant that is not (or no longer) there.
        """
        ticket.turn = asyncio.get_running_loop().create_future()
        (self._line.appendleft if again else self._line.append)(ticket)
        self.pump()
        try:
            return await ticket.turn
        except asyncio.CancelledError:
            if ticket.turn.done() and not ticket.turn.cancelled() and not ticket.turn.exception():
                self.done(ticket.turn.result())
            raise
        finally:
            if ticket in self._line:
                self._line.remove(ticket)

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
        """Give out every turn that there is room for, in order."""
        living = {name for name, lane in self.lanes.items() if lane.living}
        held: set[str] = set()
        for ticket in list(self._line):
            if ticket.turn.done():  # cancelled, and about to leave by itself
                continue
            lane = self._lane_for(ticket, living)
            if lane is None or lane.name in held:
                continue
            if lane.has_room(ticket.alone):
                self._line.remove(ticket)
                lane.take(ticket.alone)
                ticket.lane = lane
                ticket.turn.set_result(lane)
            else:
                held.add(lane.name)
                if living <= held:
                    break

    def _lane_for(self, ticket: Ticket, living: set[str]) -> Lane | None:
        if ticket.pin is not None:
            if ticket.pin not in self.lanes:
                self._line.remove(ticket)
                ticket.turn.set_exception(unknown_variant(ticket.pin, self.lanes))
                return None
            ticket.choice = ticket.pin
        elif ticket.choice not in living:
            others = {name for name in living if self.lanes[name] not in ticket.failed}
            ticket.choice = self._router.choose(others, ticket.session) or self._router.choose(
                living, ticket.session
            )
        return self.lanes[ticket.choice] if ticket.choice in living else None


def unknown_variant(name: str, lanes: dict[str, Lane]) -> UnknownVariant:
    """Say which variants there are."""
    return UnknownVariant(f"There is no variant {name}; this endpoint has {', '.join(lanes)}.")
