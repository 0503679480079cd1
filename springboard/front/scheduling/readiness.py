"""Who can answer: the truth from TorchServe's management API, kept fresh, so that nobody has to wait for it.

TorchServe's own /ping says 200 while it loads, with no model and through crash loops, so it is never asked.
Nor is one late answer the truth: a pause of its JVM, or a busy machine, silences nobody who works.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from springboard.front.scheduling.lane import Lane
from springboard.front.scheduling.queue import Queue
from springboard.torchserve.client import (
    AttemptFailed,
    HandlerRaised,
    Interrupted,
    Unreachable,
    Video,
    WorkerDied,
)
from springboard.torchserve.management import Workers

log = logging.getLogger("springboard.readiness")

POLL_SECONDS = 0.25
# At the fourth poll without an answer, after some 5 s, a TorchServe that accepts connections counts as away.
MISSED_POLLS = 4
# TorchServe itself ends a worker that is silent for so long (responseTimeout, 28 s in model-config.yaml).
WARM_UP_SECONDS = 60.0


@dataclass
class _Known:
    """What is known of a lane's workers beyond TorchServe's word.

    `proven` have answered, or were ready beside one that had. `missed` polls and `broken` connections are
    those since the lane's last answer, its `answers`-th. `processes` are all that TorchServe told of last.
    """

    proven: frozenset[int] = frozenset()
    processes: frozenset[int] = frozenset()
    missed: int = 0
    broken: int = 0
    answers: int = 0
    doubt: asyncio.Event = field(default_factory=asyncio.Event)

    def look(self, lane: Lane) -> None:
        """Forget what was held against workers that have answered since."""
        if lane.backend.answers != self.answers:
            self.answers, self.missed, self.broken = lane.backend.answers, 0, 0


class Readiness:
    """Keeps every lane's workers up to date, one task a lane."""

    def __init__(
        self, queue: Queue, ended: Callable[[str, str, int], None] = lambda variant, release, count: None
    ) -> None:
        """Tell `ended` how many processes of a variant's workers have ended."""
        self._queue = queue
        self._ended = ended
        self._known: dict[Lane, _Known] = {}

    async def run(self, changed: asyncio.Event) -> None:
        """Watch the queue's lanes until cancelled; `changed` says that the queue has other lanes now."""
        async with asyncio.TaskGroup() as group:
            watches: dict[Lane, asyncio.Task[None]] = {}
            while True:
                changed.clear()
                lanes = self._queue.all_lanes
                for gone in set(watches) - set(lanes):
                    watches.pop(gone).cancel()
                    self._known.pop(gone, None)
                for lane in lanes:
                    if lane not in watches:
                        self._known[lane] = _Known()
                        watches[lane] = group.create_task(self._watch(lane, self._known[lane]))
                await changed.wait()

    def lost_worker(self, lane: Lane, failure: AttemptFailed) -> None:
        """Believe in fewer workers at once when an attempt showed it, and ask TorchServe again now."""
        if isinstance(failure, HandlerRaised):
            return
        known = self._known.get(lane) or _Known()
        known.look(lane)
        if isinstance(failure, WorkerDied) and len(lane.workers.ready) > 1:
            lane.workers = replace(lane.workers, ready=frozenset(list(lane.workers.ready)[1:]))
        elif isinstance(failure, Interrupted) and known.broken < lane.capacity:
            # A connection that TorchServe had closed meanwhile, say: each that is open may be such a one.
            known.broken += 1
        else:
            known.proven = frozenset()
            self._silence(lane, str(failure))
        known.doubt.set()

    async def _watch(self, lane: Lane, known: _Known) -> None:
        while True:
            known.doubt.clear()
            await self._check(lane, known)
            self._queue.pump()
            try:
                # Not wait_for: before Python 3.12 it loses a cancellation that comes with the doubt.
                async with asyncio.timeout(POLL_SECONDS):
                    await known.doubt.wait()
            except TimeoutError:
                continue
            # TorchServe needs a moment to notice a death itself; asking in a tight loop would not hasten it.
            await asyncio.sleep(POLL_SECONDS / 5)

    async def _check(self, lane: Lane, known: _Known) -> None:
        try:
            workers = await lane.backend.workers()
        except Interrupted as error:
            # Silence is no death: who was proven stays so, and is believed in again at the next answer.
            known.look(lane)
            known.missed += 1
            if known.missed >= MISSED_POLLS or not lane.living:
                self._silence(lane, str(error))
            return
        except Unreachable as error:
            known.proven = frozenset()
            self._silence(lane, str(error))
            return
        known.missed = 0
        self._count_ends(lane, known, workers)
        known.proven &= workers.ready
        trusted = known.proven or (lane.living and workers.ready)
        reason = "" if trusted else await _doubt(lane, workers)
        if reason:
            self._silence(lane, reason, workers)
            return
        if not lane.living:
            log.info("variant %s is ready", lane.name)
        lane.workers, lane.reason, known.proven = workers, "", workers.ready

    def _count_ends(self, lane: Lane, known: _Known, workers: Workers) -> None:
        """Tell of processes that are gone, those that died while they loaded or had nothing to do too."""
        if gone := known.processes - workers.processes:
            self._ended(lane.name, lane.served.release, len(gone))
            named = ", ".join(map(str, sorted(gone)))
            log.warning("variant %s lost worker processes: %s", lane.name, named)
        known.processes = workers.processes

    def _silence(self, lane: Lane, reason: str, workers: Workers | None = None) -> None:
        """Believe in none of its workers. How many there should be stays: metrics show what is missing."""
        lived = lane.living
        lane.workers, lane.reason = replace(workers or lane.workers, ready=frozenset()), reason
        if lived:
            alone = lane.weight > 0 and not self._queue.serving
            level = logging.ERROR if alone else logging.WARNING
            log.log(level, "variant %s went away: %s", lane.name, reason)


async def _doubt(lane: Lane, workers: Workers) -> str:
    """Return why these workers cannot be believed in; READY is TorchServe's word, an answer is proof.

    An empty body gets one from the handler. Workers that may all be at work are not asked for more.
    """
    if not workers.ready:
        return f"none of its {workers.total} workers is ready"
    if lane.busy >= len(workers.ready):
        return "its workers are at work on what they had before"
    try:
        await lane.backend.predict(Video(b"", "warm-up"), WARM_UP_SECONDS)
    except Unreachable as error:
        return str(error)
    except AttemptFailed as error:
        return f"its workers do not answer ({error.outcome})"
    return ""
