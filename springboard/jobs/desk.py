"""Where jobs are handed in and asked after: each has a record beside the results, by its id.

The record comes first, then the message. Who was cut off between them hands the same in again; what has a
result is not scored again, so a message too many costs one look.
"""

import hashlib
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from springboard.endpoint.asynchronous import Async
from springboard.jobs.job import Job, quoted, reason_of
from springboard.jobs.opening import open_queue
from springboard.jobs.queue import Backlog, JobQueue
from springboard.jobs.store import Store


class OtherInput(Exception):
    """The id is that of a job with another input."""


class NameTaken(Exception):
    """The file name of the result is another job's."""


@dataclass(frozen=True)
class Standing:
    """Where a job stands, and why it failed, as its failure object tells."""

    job: Job
    state: Literal["unfinished", "completed", "failed"]
    reason: str = ""


class Desk:
    """Takes jobs in for one endpoint. All of it may block, and raises `QueueAway` and `StoreAway`."""

    def __init__(
        self, settings: Async, endpoint: str, store: Store | None = None, queue: JobQueue | None = None
    ) -> None:
        """Open nothing yet; `queue` if it is open already."""
        self.settings = settings
        self.endpoint = endpoint
        self._store = store or Store()
        self._root = settings.output.rstrip("/")
        self._opened = queue

    @cached_property
    def _queue(self) -> JobQueue:
        return self._opened or open_queue(self.settings, self.endpoint)

    def place(self, job_id: str, extension: str = "", filename: str = "") -> tuple[str, str]:
        """Return where a job's result goes, and where its failure."""
        steps = [self._root, extension.strip("/"), filename or f"{quoted(job_id)}.out"]
        return "/".join(filter(None, steps)), f"{self.settings.failures}/{quoted(job_id)}-error.out"

    def accept(self, job: Job, named: bool = False) -> Job:
        """Take a job in, and return it as it is known: twice the same is one. `named`: by who asks for it.

        Raises `OtherInput`, `NameTaken`.
        """
        known, is_new = self._recorded(job, named)
        if is_new or not (self._store.has(known.output) or self._store.has(known.failure)):
            self._queue.put(known)
        return known

    def promise(self, job: Job, named: bool) -> tuple[Job, str]:
        """Return a job as it is known, and an address that its input may be put to with HTTP PUT until then.

        It is on the queue when S3 tells of that. Raises as `accept`.
        """
        known, _ = self._recorded(job, named)
        return known, self._store.address_to_put(known.input, max(int(known.expires - time.time()), 1))

    def _recorded(self, job: Job, named: bool) -> tuple[Job, bool]:
        """Return a job as its record says, and whether that was only written now."""
        if named:
            self._take_name(job)
        if self._store.put_new(self._record(job.id), job.written()):
            return job, True
        found = self._store.get(self._record(job.id))
        known = Job.read(found) if found else job
        if not known.same_as(job):
            raise OtherInput
        return known, False

    def find(self, job_id: str) -> Standing | None:
        """Return where a job stands, None where there is none."""
        if (record := self._store.get(self._record(job_id))) is None:
            return None
        job = Job.read(record)
        if self._store.has(job.output):
            return Standing(job, "completed")
        if (failure := self._store.get(job.failure)) is not None:
            return Standing(job, "failed", reason_of(failure))
        return Standing(job, "unfinished")

    def backlog(self) -> Backlog:
        """Count what waits."""
        return self._queue.backlog()

    def _record(self, job_id: str) -> str:
        return f"{self._root}/.jobs/{quoted(job_id)}.json"

    def _take_name(self, job: Job) -> None:
        place = f"{self._root}/.jobs/names/{hashlib.sha256(job.output.encode()).hexdigest()}"
        if not self._store.put_new(place, job.id.encode()) and self._store.get(place) != job.id.encode():
            raise NameTaken
