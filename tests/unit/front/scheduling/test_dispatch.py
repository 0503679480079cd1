"""What is tried again where, with backends that fail as a script says."""

import asyncio
from collections.abc import Sequence

import pytest

from springboard.endpoint.document import Served, Variant
from springboard.front.errors import KillsWorkers
from springboard.front.scheduling.dispatch import Dispatcher
from springboard.front.scheduling.lane import Ticket
from springboard.front.scheduling.queue import Queue
from springboard.torchserve.client import (
    Answer,
    AttemptFailed,
    HandlerRaised,
    ModelError,
    Video,
    WorkerDied,
)
from springboard.torchserve.management import Workers
from tests.unit.front.lanes import NoBackend


class Scripted(NoBackend):
    """A backend that fails as its script says, and then scores."""

    def __init__(self, served: Served, script: Sequence[AttemptFailed] = ()) -> None:
        super().__init__(served)
        self.script = list(script)

    async def predict(self, video: Video, seconds: float) -> Answer:
        if self.script:
            raise self.script.pop(0)
        return SCORED


SCORED = Answer(200, b'{"score": 1}', {})
OUT_OF_MEMORY = Answer(503, b'{"error": {"code": "out_of_memory", "message": "x"}}', {})


def dispatcher(**scripts: Sequence[AttemptFailed]) -> tuple[Dispatcher, list[tuple[str, str]]]:
    """Return one before the variants `scripts`, each of its own release, and the attempts it will make."""
    queue, attempts = Queue(), list[tuple[str, str]]()
    variants = [
        Variant(name=name, release=f"1.{n}.0", address=f"http://127.0.0.1:{n + 1}", weight=1)
        for n, name in enumerate(scripts)
    ]
    queue.use(variants, None, lambda served: Scripted(served, scripts[getattr(served, "name", "")]))
    for lane in queue.lanes.values():
        lane.workers = Workers(frozenset({1}), 1, 1)
    return (
        Dispatcher(
            queue, lambda *_: None, lambda attempt: attempts.append((attempt.variant, attempt.outcome))
        ),
        attempts,
    )


async def score(dispatch: Dispatcher, pin: str | None = None) -> Answer:
    now = asyncio.get_running_loop().time()
    ticket = Ticket(pin=pin, since=now, target=now + 30, deadline=now + 60)
    return (await dispatch.score(Video(b"x", "id"), ticket)).answer


@pytest.mark.parametrize("failure", [HandlerRaised("x"), ModelError(OUT_OF_MEMORY), WorkerDied("x")])
def test_what_failed_at_one_release_is_tried_at_another(failure: AttemptFailed) -> None:
    dispatch, attempts = dispatcher(canary=[failure] * 9, stable=())
    for _ in range(2):
        assert asyncio.run(score(dispatch)) == SCORED
    assert attempts == [("canary", failure.outcome), ("stable", "answered"), ("stable", "answered")]


def test_the_handlers_own_failure_is_tried_again_and_then_the_callers() -> None:
    dispatch, attempts = dispatcher(only=[ModelError(OUT_OF_MEMORY)] * 3)
    assert asyncio.run(score(dispatch)) == OUT_OF_MEMORY
    assert asyncio.run(score(dispatch)) == SCORED
    assert attempts == [("only", "model_error")] * 3 + [("only", "answered")]


def test_a_body_that_kills_one_release_alone_is_not_refused_at_another() -> None:
    dispatch, attempts = dispatcher(canary=[WorkerDied("x")] * 9, stable=())
    with pytest.raises(KillsWorkers, match="ended 3 workers"):
        asyncio.run(score(dispatch, pin="canary"))
    with pytest.raises(KillsWorkers):
        asyncio.run(score(dispatch, pin="canary"))
    assert len(attempts) == 3
    assert asyncio.run(score(dispatch)) == SCORED
    assert attempts[3:] == [("stable", "answered")]


def test_a_body_that_kills_every_release_ends_no_more_workers_for_that() -> None:
    dispatch, attempts = dispatcher(canary=[WorkerDied("x")] * 9, stable=[WorkerDied("x")] * 9)
    with pytest.raises(KillsWorkers, match="ended 3 workers"):
        asyncio.run(score(dispatch))
    assert len(attempts) == 3
