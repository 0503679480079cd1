"""The shadow: a release that sees real videos while nobody depends on its answers."""

import asyncio
import logging

from springboard.endpoint.document import Shadow
from springboard.front.metrics import Metrics, score_of
from springboard.front.scheduling.dispatch import OVERTIME_SECONDS, Attempt
from springboard.front.scheduling.queue import Lane, Queue
from springboard.torchserve.client import Answer, AttemptFailed

log = logging.getLogger("springboard.shadow")


class Mirror:
    """Copies a share of the answered videos to the shadow, one at a time, and only while workers idle."""

    def __init__(self, queue: Queue, metrics: Metrics) -> None:
        self._queue = queue
        self._metrics = metrics
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
        try:
            shadowed = await lane.backend.predict(body, request_id, OVERTIME_SECONDS)
        except AttemptFailed as failure:
            outcome = failure.outcome
            self._metrics.shadow_requests.labels(release, outcome).inc()
            log.warning("the shadow %s failed, %s: %s", release, outcome, failure)
        else:
            agrees = "agrees" if shadowed.status == answer.status else "differs"
            self._metrics.shadow_requests.labels(release, agrees).inc()
            theirs, ours = score_of(shadowed), score_of(answer)
            if theirs is not None and ours is not None:
                self._metrics.shadow_difference.labels(release).observe(abs(theirs - ours))
        finally:
            lane.done()
            self._metrics.record_attempt(Attempt("shadow", release, outcome, clock() - began, again=False))
