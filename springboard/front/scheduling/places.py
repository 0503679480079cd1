"""How far a request is, for its caller to ask while it waits for the answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from springboard.front.scheduling.lane import Ticket

Place = tuple[Literal["absent", "waiting", "at_work"], int]


class Places:
    """Requests that are here, by their caller and the id that the caller gave them."""

    def __init__(self) -> None:
        self._tickets: dict[tuple[str, str], Ticket] = {}

    @contextmanager
    def holding(self, caller: str, inference_id: str | None, ticket: Ticket) -> Iterator[None]:
        """Have a request found while this lasts; of two with one id the later."""
        if inference_id is None:
            yield
            return
        key = (caller, inference_id)
        self._tickets[key] = ticket
        try:
            yield
        finally:
            if self._tickets.get(key) is ticket:
                del self._tickets[key]

    def find(self, caller: str, inference_id: str) -> Place:
        """Return whether a request waits or is at work, and how many turns are before its own.

        `absent` is one that has not arrived whole, or was answered, or is another caller's.
        """
        ticket = self._tickets.get((caller, inference_id))
        if ticket is None:
            return "absent", 0
        if ticket.at_work or ticket.line is None:
            return "at_work", 0
        return "waiting", ticket.line.before(ticket)
