"""What people do to jobs: list, show, retry, cancel, drop. Records and results say where each one stands.

Neither kind of queue can take one waiting message out, so nothing here does: who cancels a job writes its
failure, and the worker that comes to its message only forgets it.
"""

import json
import time
from collections.abc import Iterator
from typing import Literal
from urllib.parse import unquote

from springboard.jobs.desk import Desk, Standing
from springboard.jobs.job import CANCELLED, Job, NoJob
from springboard.jobs.queue import DeadLetter

# So many dead letters are looked through.
MOST_DEAD = 1000
_SUFFIX = ".json"

State = Literal["unfinished", "completed", "failed"]


class Refused(Exception):
    """That cannot be done to this job; the message says why."""


class Handling(Desk):
    """Handles the jobs of one endpoint. All of it may block, and raises `QueueAway` and `StoreAway`."""

    def jobs(self, state: State | None = None) -> Iterator[Standing]:
        """Yield all jobs that have a record, as they stand, those in one state if given; in no order."""
        for name in self._store.names(f"{self._root}/.jobs", _SUFFIX):
            standing = self.find(unquote(name.removesuffix(_SUFFIX)))
            if standing and state in (None, standing.state):
                yield standing

    def dead(self) -> list[tuple[str, str, str]]:
        """Return the queue's name, the job's id (empty for what is no job) and the reason of dead letters."""
        with self._queue.dead_letters(MOST_DEAD) as letters:
            return [(one.name, _job_id(one), one.reason) for one in letters]

    def retry(self, job_id: str) -> Job:
        """Have a job begun anew, with all its attempts and as much time as it had; raise `Refused`."""
        standing = self._known(job_id)
        if standing.state == "completed":
            raise Refused(f"Job {job_id} has its result in {standing.job.output}, which is never changed.")
        now, old = time.time(), standing.job
        job = old.model_copy(
            update={"run": old.run + 1, "received": now, "expires": now + old.expires - old.received}
        )
        # The message comes last: who is cut off before it does all of this again.
        self._store.put(self._record(job.id), job.written())
        self._store.remove(job.failure)
        self._queue.put(job)
        self._drop(job_id)
        return job

    def cancel(self, job_id: str) -> None:
        """Let a job that is not finished have no result; raise `Refused`."""
        standing = self._known(job_id)
        if standing.state != "unfinished":
            raise Refused(f"Job {job_id} has {standing.state}.")
        error = {"code": CANCELLED, "message": "The job was cancelled by an operator."}
        self._store.put_new(standing.job.failure, json.dumps({"error": error}).encode())

    def drop(self, name: str) -> int:
        """Forget the dead letters of a job, or that of this name on the queue; raise `Refused`.

        Its record and its failure object stay.
        """
        if not (dropped := self._drop(name)):
            raise Refused(
                f"None of the (first {MOST_DEAD}) dead letters is of a job {name}, or has this name."
            )
        return dropped

    def _drop(self, name: str) -> int:
        with self._queue.dead_letters(MOST_DEAD) as letters:
            found = [one for one in letters if name in (one.name, _job_id(one))]
            for one in found:
                one.drop()
        return len(found)

    def _known(self, job_id: str) -> Standing:
        if (standing := self.find(job_id)) is None:
            raise Refused(f"There is no job {job_id}: {self._record(job_id)} is not there.")
        return standing


def _job_id(letter: DeadLetter) -> str:
    try:
        return Job.read(letter.message).id
    except NoJob:
        return ""
