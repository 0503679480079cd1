"""The worker: takes jobs off the queue, has them scored, writes what came of it, and only then forgets them.

    claim ──> written already? ──> expired, or begun too often? ──> asked ──> written ──> told ──> done
                                                                      └── a fault: back to the queue, later

Whatever is cut off anywhere is begun again by another: what is written is written once.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from springboard.endpoint.asynchronous import Async
from springboard.jobs import drops
from springboard.jobs.asking import EXPIRED, Answer, Asking, Stopped
from springboard.jobs.desk import Desk, OtherInput
from springboard.jobs.job import CANCELLED, Job, NoJob, reason_of
from springboard.jobs.notices import Notices
from springboard.jobs.queue import Claim, JobQueue, LeaseLost, QueueAway
from springboard.jobs.report import Ended, Outcome
from springboard.jobs.store import Store, StoreAway
from springboard.jobs.webhook import Hooks

log = logging.getLogger("springboard.jobs")

_PAUSE_SECONDS = 1.0
# After a fault of ours a job waits so long, and twice as long each time.
_AGAIN_SECONDS, _LONGEST_AGAIN_SECONDS = 2.0, 300.0
# A result that cannot be written is worth so much patience; then the job is begun again.
_WRITE_SECONDS = 600.0
_T = TypeVar("_T")


@dataclass(eq=False)
class _Held:
    claim: Claim
    job_id: str = ""
    received: float = 0.0
    began: float = field(default_factory=time.time)
    ends: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def last(self) -> Claim:
        """Return the claim to end it by; no lease is extended of what may be gone."""
        with self.lock:
            self.ends = True
        return self.claim

    def ended(self, outcome: Outcome) -> Ended:
        queued = max(self.began - self.received, 0.0) if self.received else 0.0
        worked = max(time.time() - self.began, 0.0)
        return Ended(outcome=outcome, attempt=self.claim.attempt, queued=queued, worked=worked)


class Worker:
    """Works on one queue until stopped, on up to `max_concurrent` jobs at a time."""

    def __init__(
        self,
        settings: Async,
        endpoint: str,
        queue: JobQueue,
        asking: Callable[[Callable[[float], bool]], Asking],
        store: Store | None = None,
        told: Callable[[Ended], None] = lambda _: None,
        hooks: Hooks | None = None,
    ) -> None:
        """`endpoint`: whose jobs these are; `asking` makes what asks the front, given what it pauses with.

        `told` is called with each claim that ended; `hooks` is who tells the webhook.
        """
        self._settings = settings
        self._endpoint = endpoint
        self._queue = queue
        self._store = store or Store()
        self._desk = Desk(settings, endpoint, self._store, queue)
        self._told = told
        self._notices = Notices(settings, hooks)
        self._stopping = threading.Event()
        self._asking = asking(self._stopping.wait)
        self._held: dict[_Held, None] = {}
        self._room = threading.BoundedSemaphore(settings.max_concurrent)
        self._threads = [
            threading.Thread(target=target, name=target.__name__, daemon=True)
            for target in (self._claim_on, self._extend_on)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def finish(self, hurry: threading.Event) -> None:
        """Take no more jobs; return once those at work have ended, or it is to `hurry`. Then comes `stop`."""
        self._stopping.set()
        while self._held and not hurry.wait(_PAUSE_SECONDS):
            pass

    def stop(self, seconds: float) -> None:
        """Take no more jobs; what is not done within `seconds` goes back to the queue at once."""
        self._stopping.set()
        end = time.monotonic() + seconds
        while self._held and time.monotonic() < end:
            time.sleep(0.05)
        if self._held:
            self._threads[0].join(self._queue.patience + _PAUSE_SECONDS)  # lest it takes them again
        left = list(self._held)
        for held in left:
            log.info("job %s goes back to the queue", held.job_id)
            self._give_back(held, 0)
        for thread in self._threads:
            thread.join(_PAUSE_SECONDS)
        if not left:
            self._asking.close()
            self._notices.close()

    def _claim_on(self) -> None:
        while not self._stopping.is_set():
            if not self._asking.ready():
                self._stopping.wait(_PAUSE_SECONDS)
                continue
            if not self._room.acquire(timeout=_PAUSE_SECONDS):
                continue
            if not self._begin_one():
                self._room.release()

    def _begin_one(self) -> bool:
        """Take a job, and have a thread work on it; return whether there was one."""
        try:
            claim = self._queue.claim(self._queue.patience)
        except (QueueAway, LeaseLost) as error:
            log.error("%s", error)
            self._stopping.wait(_PAUSE_SECONDS)
            return False
        if claim is None:
            return False
        held = _Held(claim)
        self._held[held] = None
        if self._stopping.is_set():
            self._give_back(held, 0)
            return False
        threading.Thread(target=self._work, args=(held,), daemon=True).start()
        return True

    def _extend_on(self) -> None:
        """Keep the leases of what is at work."""
        while not self._stopping.wait(self._settings.lease_seconds / 3) or self._held:
            for held in list(self._held):
                self._extend(held)
            if self._stopping.is_set():
                time.sleep(_PAUSE_SECONDS)

    def _extend(self, held: _Held) -> None:
        with held.lock:  # one that is given back meanwhile is no longer ours to extend
            if held.ends or held not in self._held:
                return
            try:
                self._queue.extend(held.claim, self._settings.lease_seconds)
            except (LeaseLost, QueueAway) as error:
                log.warning("the lease of job %s was not extended: %s", held.job_id, error)

    def _work(self, held: _Held) -> None:
        outcome: Outcome | None = "again"
        try:
            outcome = self._finish(held)
        except LeaseLost:
            outcome = None
            log.info("job %s is another worker's by now", held.job_id)
        except (Stopped, StoreAway, QueueAway) as error:
            log.warning("job %s goes back to the queue: %s", held.job_id, error or "this worker ends")
            self._give_back(held, 0 if self._stopping.is_set() else _AGAIN_SECONDS)
        except Exception:
            log.exception("a bug of ours with job %s", held.job_id)
            self._give_back(held, _AGAIN_SECONDS)
        finally:
            self._held.pop(held, None)
            self._room.release()
        if outcome:
            self._told(held.ended(outcome))

    def _finish(self, held: _Held) -> Outcome | None:
        """Work on a job to some end; return which, None where it had ended before."""
        try:
            job = Job.read(held.claim.message)
        except NoJob:
            return self._take_drops(held)
        held.job_id, held.received = job.id, job.received
        if self._insist(lambda: self._store.has(job.output)):
            self._notices.completed(job)  # who wrote it may have been cut off before telling
            self._queue.done(held.last())
        elif failure := self._insist(lambda: self._store.get(job.failure)):
            reason = reason_of(failure)
            self._notices.failed(job, reason)
            self._queue.done(held.last())
            return "cancelled" if reason.startswith(CANCELLED) else None
        else:
            return self._end(held, job, self._answer(held.claim, job))
        return None

    def _take_drops(self, held: _Held) -> Outcome | None:
        """Make jobs of S3's message of new objects. Who is cut off between makes the same ones again."""
        try:
            found = drops.read(held.claim.message)
        except NoJob as error:
            log.error("a message on the queue is no job (%s); it goes to the dead letters", error)
            self._queue.dead(held.last(), f"no_job: {error}")
            return "dead"
        try:
            for one in found:
                self._insist(partial(drops.take_in, self._desk, one))
        except OtherInput:
            log.error("an event of S3 names a job that has another input; it goes to the dead letters")
            self._queue.dead(held.last(), "other_input: its job has another input")
            return "dead"
        self._queue.done(held.last())
        return None

    def _answer(self, claim: Claim, job: Job) -> Answer:
        if job.endpoint != self._endpoint:
            return Answer.failure("unknown_endpoint", f"This queue is that of the endpoint {self._endpoint}.")
        if job.expired:
            return EXPIRED
        most = self._settings.max_attempts
        if claim.attempt > most:
            return Answer.failure("gave_up", f"The job was begun {most} times and never ended.", deadly=True)
        return self._asking.score(job)

    def _end(self, held: _Held, job: Job, answer: Answer) -> Outcome:
        claim, seconds = held.claim, round(time.time() - held.began, 1)
        extra = {"inference_id": job.id, "attempt": claim.attempt, "seconds": seconds, "code": answer.code}
        if not answer.code:
            if self._insist(lambda: self._store.has(job.failure)):  # an operator's doing, meanwhile
                self._queue.done(held.last())
                return "cancelled"
            self._insist(lambda: self._store.put_new(job.output, answer.content))
            self._notices.completed(job)
            self._queue.done(held.last())
            log.info("job scored", extra=extra)
            return "completed"
        if answer.try_again and claim.attempt < self._settings.max_attempts:
            pause = min(_AGAIN_SECONDS * 2 ** (claim.attempt - 1), _LONGEST_AGAIN_SECONDS)
            log.warning("job failed, and is tried again in %g s", pause, extra=extra)
            self._give_back(held, pause)
            return "again"
        reason = f"{answer.code}: {answer.message}"
        self._insist(lambda: self._store.put_new(job.failure, answer.content))
        self._notices.failed(job, reason)
        log.warning("job failed: %s", answer.message, extra=extra)
        if answer.try_again or answer.deadly:
            self._queue.dead(held.last(), reason)
            return "dead"
        self._queue.done(held.last())
        return "expired" if answer is EXPIRED else "failed"

    def _insist(self, call: Callable[[], _T]) -> _T:
        """Call until the store is there; raise what it says after some minutes, or when this worker ends."""
        end, pause = time.monotonic() + _WRITE_SECONDS, 0.5
        while True:
            try:
                return call()
            except StoreAway as error:
                if time.monotonic() > end or self._stopping.is_set():
                    raise
                log.warning("%s; trying again in %g s", error, pause)
            self._stopping.wait(pause)
            pause = min(2 * pause, 15.0)

    def _give_back(self, held: _Held, seconds: float) -> None:
        with held.lock:
            if held not in self._held:
                return  # it was given back before
            del self._held[held]
            try:
                self._queue.extend(held.claim, seconds)
            except (LeaseLost, QueueAway) as error:
                log.warning("job %s waits until its lease is over: %s", held.job_id, error)
