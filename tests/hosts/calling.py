"""Four clients who call hosts that serve the puppet, and what came of each of their requests."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.stands.waiting import at_work

CLIENTS = 4
# Between two calls of a client. Each takes 20 ms of this machine, as what is done to hosts does.
PAUSE_S = 0.6
_numbers = itertools.count()  # no two videos are alike


@dataclass(frozen=True)
class Outcome:
    """What came of one request: a failure, or who answered it."""

    failure: str
    began: float
    variant: str = ""
    release: str = ""
    # Who had it, where a balancer says so.
    host: str = ""


def ask(client: httpx.Client, seconds: float = 0) -> Outcome:
    """Send a video that takes so long."""
    began, body = time.monotonic(), f"sleep={seconds} score=50 number={next(_numbers)}"
    try:
        answer = client.post("/invocations", content=body.encode())
    except httpx.HTTPError as error:
        return Outcome(repr(error), began)
    host = answer.headers.get("x-target", "")
    if answer.status_code != 200:
        return Outcome(f"{answer.status_code} {answer.text}", began, host=host)
    variant = answer.headers["x-amzn-invoked-production-variant"]
    return Outcome("", began, variant, answer.json()["model"]["version"], host)


@contextmanager
def calling(client: httpx.Client, seconds: float = 0.1) -> Iterator[list[Outcome]]:
    """Have the clients call until the end, and yield what comes of it."""
    outcomes: list[Outcome] = []
    with at_work(*[lambda: outcomes.append(ask(client, seconds))] * CLIENTS, pause=PAUSE_S):
        yield outcomes


@contextmanager
def unnoticed(client: httpx.Client, seconds: float = 0.1) -> Iterator[list[Outcome]]:
    """As `calling`, and see in the end that none of their requests has failed."""
    with calling(client, seconds) as outcomes:
        yield outcomes
    assert [one for one in outcomes if one.failure] == []
    assert len(outcomes) > 20, "the load itself"
