"""The shadow: a release that sees real videos while nobody depends on its answers."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from springboard.endpoint.document import Shadow
from springboard.front.scheduling.dispatch import OVERTIME_SECONDS, Attempt
from springboard.front.scheduling.lane import Lane
from springboard.front.scheduling.queue import Queue
from springboard.torchserve.client import Answer, AttemptFailed, Video

log = logging.getLogger("springboard.shadow")


@dataclass(frozen=True)
class Mirrored:
    """One copy as metrics count it: its attempt, how it compares, and how far its score was off."""

    attempt: Attempt
    outcome: str
    difference: float | None


class Mirror:
    """Copies a share of the answered videos to the shadow, one at a time, and only while workers idle."""

    def __init__(self, queue: Queue, record: Callable[[Mirrored], None]) -> None:
        """`record` is told of every copy."""
        self._queue = queue
        self._record = record
        self._credit = 0.0
        self._task: asyncio.Task[None] | None = None

    def offer(self, body: bytes, answer: Answer, request_id: str) -> None:
        """Mirror this answered video if it is its turn by percentage and there is nothing better to do."""
        lane = self._queue.shadow
        if lane is None or not isinstance(lane.served, Shadow):
            return
        self._credit = min(self._credit + lane.served.sample_percent, 100.0)
        idle = not self._queue.busy and not len(self._queue) and lane.has_room(alone=True)
        if self._credit >= 100.0 and idle and (self._task is None or self._task.done()):
            self._credit -= 100.0
            lane.take(alone=True)
            self._task = asyncio.create_task(self._mirror(lane, body, answer, request_id))

    async def _mirror(self, lane: Lane, body: bytes, answer: Answer, request_id: str) -> None:
        clock = asyncio.get_running_loop().time
        began, outcome, release = clock(), "answered", lane.served.release
        compared, difference = AttemptFailed.outcome, None
        try:
            shadowed = await lane.backend.predict(Video(body, request_id), OVERTIME_SECONDS)
        except AttemptFailed as failure:
            outcome = compared = failure.outcome
            log.warning("the shadow %s failed, %s: %s", release, outcome, failure)
        else:
            compared = "agrees" if shadowed.status == answer.status else "differs"
            if shadowed.score is not None and answer.score is not None:
                difference = abs(shadowed.score - answer.score)
        finally:
            lane.done()
            attempt = Attempt("shadow", release, outcome, clock() - began, again=False)
            self._record(Mirrored(attempt, compared, difference))
