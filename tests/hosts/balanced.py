"""Clients of several hosts, for as long as a test module takes: nothing done to one host may fail them."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.hosts.served import CLIP, Caller
from tests.stands.waiting import at_work, wait_until

CLIENTS = 4
# Between two calls of a client; what is done to hosts has to share this machine with them.
_PAUSE_S = 6


class Balanced:
    """Clients behind what sends each request to the next host, on to another where one is not there.

    As proxies do by default: only what no host has taken up is sent again. `callers` are its hosts.
    """

    def __init__(self, callers: list[Caller]) -> None:
        self.callers = callers
        self.served: list[str] = []
        self.failed: list[str] = []
        self._turn = itertools.count()

    def _call(self) -> None:
        turn, said = next(self._turn) % len(self.callers), []
        for caller in self.callers[turn:] + self.callers[:turn]:
            try:
                # On a connection of its own: one that is closed as it is used again may have lost anything.
                answer = caller.client.post(
                    "/invocations", content=CLIP.read_bytes(), headers={"Connection": "close"}
                )
            except httpx.ConnectError as error:
                said.append(repr(error))
                continue
            except httpx.HTTPError as error:  # it had begun, and nobody knows how far it came
                said.append(repr(error))
                break
            if answer.status_code == 200:
                self.served.append(caller.url)
                return
            said.append(f"{answer.status_code} {answer.text[:200]}")
            if answer.status_code not in (502, 503):
                break
        self.failed.append(f"{said}")

    @contextmanager
    def calling(self) -> Iterator["Balanced"]:
        """Have the clients call until the end."""
        with at_work(*[self._call] * CLIENTS, pause=_PAUSE_S):
            yield self

    @contextmanager
    def unnoticed(self) -> Iterator[None]:
        """Require that clients are served throughout, and a while longer."""
        failed = len(self.failed)
        yield
        self.wait_served(CLIENTS)
        assert self.failed[failed:] == []

    def wait_served(self, more: int = 1, by: str = "") -> None:
        """Wait until hosts, or one by its URL, have served some more."""
        start = len(self.served)

        def found() -> bool:
            new = self.served[start:]
            return (new.count(by) if by else len(new)) >= more

        wait_until(found, f"{more} more scores by {by or 'any host'}", 120)
