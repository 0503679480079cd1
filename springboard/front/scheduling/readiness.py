"""Who can answer: the truth from TorchServe's management API, kept fresh, so that nobody has to wait for it.

TorchServe's own /ping says 200 while it loads, with no model and through crash loops, so it is never asked.
"""

import asyncio
import logging
from dataclasses import replace

from springboard.front.scheduling.queue import Lane, Queue
from springboard.torchserve.client import AttemptFailed, HandlerRaised, Unreachable, WorkerDied

log = logging.getLogger("springboard.readiness")

POLL_SECONDS = 0.25
WARM_UP_SECONDS = 20.0


class Readiness:
    """Keeps every lane's workers up to date, one task a lane."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._doubts: dict[Lane, asyncio.Event] = {}

    async def run(self, changed: asyncio.Event) -> None:
        """Watch the queue's lanes until cancelled; `changed` says that the queue has other lanes now."""
        async with asyncio.TaskGroup() as group:
            watches: dict[Lane, asyncio.Task[None]] = {}
            while True:
                changed.clear()
                lanes = self._queue.all_lanes
                for gone in set(watches) - set(lanes):
                    watches.pop(gone).cancel()
                    self._doubts.pop(gone, None)
                for lane in lanes:
                    if lane not in watches:
                        watches[lane] = group.create_task(self._watch(lane))
                await changed.wait()

    def lost_worker(self, lane: Lane, failure: AttemptFailed) -> None:
        """Believe in fewer workers at once when an attempt showed it, and ask TorchServe again now."""
        if isinstance(failure, HandlerRaised):
            return
        if isinstance(failure, WorkerDied) and len(lane.workers.ready) > 1:
            lane.workers = replace(lane.workers, ready=frozenset(list(lane.workers.ready)[1:]))
        else:
            _silence(lane, str(failure))
        if lane in self._doubts:
            self._doubts[lane].set()

    async def _watch(self, lane: Lane) -> None:
        doubt = self._doubts[lane] = asyncio.Event()
        while True:
            doubt.clear()
            was = lane.living
            await self._check(lane)
            if lane.living != was:
                log.info(
                    "variant %s %s", lane.name, "is ready" if lane.living else f"went away: {lane.reason}"
                )
            self._queue.pump()
            try:
                await asyncio.wait_for(doubt.wait(), POLL_SECONDS)
            except TimeoutError:
                continue
            # TorchServe needs a moment to notice a death itself; asking in a tight loop would not hasten it.
            await asyncio.sleep(POLL_SECONDS / 5)

    async def _check(self, lane: Lane) -> None:
        try:
            workers = await lane.backend.workers()
            if workers.ready and not lane.living:
                # READY is TorchServe's word; an answer is proof. An empty body gets one from the handler.
                await lane.backend.predict(b"", "warm-up", WARM_UP_SECONDS)
        except Unreachable as error:
            _silence(lane, str(error))
        except AttemptFailed as error:
            _silence(lane, f"its workers do not answer ({error.outcome})")
        else:
            lane.workers = workers
            lane.reason = "" if workers.ready else f"none of its {workers.total} workers is ready"


def _silence(lane: Lane, reason: str) -> None:
    """Believe in none of its workers. How many there should be stays: metrics show that they are missing."""
    lane.workers, lane.reason = replace(lane.workers, ready=frozenset()), reason
