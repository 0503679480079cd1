"""Has what runs follow from a transform job's document: its model is deployed, and a batch goes through it.

    objects ──> batch ──> queue ──> worker ──> front ──> the job's own instance
                  └──> OUTPUT/PATH.out

All that is known of it lies in the job's place: whoever comes after a killed one goes on with it.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from springboard.control import sources
from springboard.control.agent import EXPECTED
from springboard.control.documents import workers_of
from springboard.control.errors import ControlError
from springboard.control.inputs import Inputs
from springboard.control.names import TRANSFORM
from springboard.control.place import Place
from springboard.control.store import Document, Folder
from springboard.control.transforms import COMPLETED, FAILED, STOPPED, STOPPING, UNENDED, ended
from springboard.deploy.rollout import Rollout
from springboard.deploy.settings import Canary, Host, Worker
from springboard.deploy.stop import Stopped
from springboard.endpoint.asynchronous import Async
from springboard.jobs.batch import Batch
from springboard.jobs.local import LocalQueue
from springboard.jobs.queue import QueueAway
from springboard.jobs.store import Store, StoreAway

log = logging.getLogger("springboard.control")

_PART, _AT_ONCE = 100, 200
_DEFAULT_AT_WORK, _MOST_AT_WORK = 4, 64
# SageMaker's, where ModelClientConfig says nothing.
_WORK_SECONDS, _RETRIES = 600, 3
_LEASE_SECONDS = 10.0
_HEAL_SECONDS = 5.0
# Results that cannot be written are worth so much patience.
_WRITE_SECONDS = 600.0
_LONGEST_REASON = 1000


class TransformError(Exception):
    """A job cannot be done; the message says why."""


_EXPECTED = (*EXPECTED, TransformError, ControlError, QueueAway, StoreAway)


@dataclass
class Transformer:
    """One job's; `base` is the host as it is without any endpoint, `ask` raises where this server ends.

    `holds` says whether so many more models fit into memory.
    """

    name: str
    place: Place
    documents: Folder
    base: Host
    ask: Callable[[], None] = lambda: None
    holds: Callable[[int], bool] = lambda _: True
    store: Store = field(default_factory=Store)
    _failing_since: float = 0.0
    _healed: float = 0.0

    def run(self) -> None:
        """Work until the job has ended or `ask` raises."""
        if (document := self._begun()) is None:
            return
        try:
            self._look()
            self._report(*self._work(document))
        except Exception as error:
            self.ask()  # of one that was told to end, the next one goes on
            if self._halted():
                self._report(STOPPED)
                return
            if not isinstance(error, _EXPECTED):
                log.exception("a bug of ours")
            self._report(FAILED, str(error) or type(error).__name__)

    def _begun(self) -> Document | None:
        """Write down that it has begun; return its document, None where it has ended."""

        def how(document: Document) -> Document | None:
            if document["status"] not in UNENDED or "started" in document:
                return None
            now = time.time()
            return {**document, "started": now, "modified": now}

        document = self.documents.change(TRANSFORM, self.name, how)
        return document if document and document["status"] in UNENDED else None

    def _look(self) -> None:
        """Raise where there is nothing more to do."""
        self.ask()
        if self._halted():
            raise Stopped("StopTransformJob was called")

    def _halted(self) -> bool:
        found = self.documents.read(TRANSFORM, self.name)
        return found is None or found[0]["status"] == STOPPING

    def _report(self, status: str, failure: str = "") -> None:
        log.info("transform job %s: %s %s", self.name, status, failure)
        failure = failure[:_LONGEST_REASON]
        self.documents.change(TRANSFORM, self.name, lambda document: ended(document, status, failure))

    def _work(self, document: Document) -> tuple[str, str]:
        """Have everything scored; return the status it ends in, and why not all was."""
        asked, settings = document["said"], jobs_of(document, self.place.own)
        source = asked["TransformInput"]["DataSource"]["S3DataSource"]
        inputs = Inputs(self.store, source, self.base.allowed_buckets)

        def keep(
            _: int, results: list[tuple[str, bytes]], failures: list[tuple[str, dict[str, Any]]]
        ) -> None:
            self._note(failures)
            self._write(inputs, asked["TransformOutput"], results)

        with closing(LocalQueue(Path(settings.queue), settings.lease_seconds)) as queue:
            batch = Batch(
                str(self.place.own / "batch" / self.name),
                self.name,
                queue,
                self.store,
                _AT_ONCE,
                part=_PART,
                timeout=asked.get("ModelClientConfig", {}).get("InvocationsTimeoutInSeconds", _WORK_SECONDS),
                keep=keep,
            )
            batch.prepare(json.dumps(source), inputs.places)
            if not batch.total:
                raise TransformError(
                    f'No S3 objects found under S3 URL "{inputs.uri}" given in input data source.'
                )
            with self._scoring(document, settings, queue) as look:
                batch.run(threading.Event(), lambda _: look())
        return self._outcome(batch)

    @contextmanager
    def _scoring(
        self, document: Document, settings: Async, queue: LocalQueue
    ) -> Iterator[Callable[[], None]]:
        """Have what is on the queue scored by the job's model; yields what is called each second."""
        rollout = self._serve(document)
        yield lambda: self._go_on(rollout)

    def _serve(self, document: Document) -> Rollout:
        """Have the job's model serve at its own front, whose worker takes what is on the queue."""
        if not self.holds(1):
            raise TransformError(
                "CapacityError: this server's memory holds no model beside what serves. Delete an endpoint, "
                "or have it serve on fewer workers, and create the job anew."
            )

        def say(said: str) -> None:
            log.info("transform job %s: %s", self.name, said)

        release = sources.acquire(document["model"], self.place.releases, say)
        host = host_of(self.base, document, self.place.own)
        rollout = Rollout(self.place, host, say, self._look)
        rollout.deploy(release)
        return rollout

    def _go_on(self, rollout: Rollout) -> None:
        self._look()
        if time.monotonic() - self._healed < _HEAL_SECONDS:
            return
        self._healed = time.monotonic()
        try:
            rollout.heal()
        except EXPECTED as error:
            log.warning("transform job %s: %s", self.name, error)

    def _note(self, failures: list[tuple[str, dict[str, Any]]]) -> None:
        for place, error in failures:
            log.warning("transform job %s: %s: %s: %s", self.name, place, error["code"], error["message"])
        if failures:
            (place, error), *_ = failures
            first = f"{place}: {error['code']}: {error['message']}"
            self.documents.change(TRANSFORM, self.name, lambda document: {"first": first, **document})

    def _write(self, inputs: Inputs, output: Document, results: list[tuple[str, bytes]]) -> None:
        end = b"\n" if output.get("AssembleWith") == "Line" else b""
        try:
            for place, result in results:
                self.store.put(inputs.result(place, output["S3OutputPath"]), result + end)
        except StoreAway as error:
            self._failing_since = self._failing_since or time.monotonic()
            if time.monotonic() - self._failing_since > _WRITE_SECONDS:
                raise TransformError(f"its results cannot be written: {error}") from error
            raise
        self._failing_since = 0.0

    def _outcome(self, batch: Batch) -> tuple[str, str]:
        failed = batch.tally.failed
        if not failed:
            return COMPLETED, ""
        found = self.documents.read(TRANSFORM, self.name)
        first = found[0].get("first", "") if found else ""
        codes = ", ".join(f"{code} {count}" for code, count in failed.most_common(4))
        return FAILED, (
            f"{failed.total()} of {batch.total} objects were not scored ({codes}), the others were. "
            f"The first: {first}"
        )


def host_of(base: Host, document: Document, own: Path) -> Host:
    """Return the host that has a job's model serve, for the engine; `own` is the job's folder."""
    asked, limits = document["said"], base.limits
    if payload := asked.get("MaxPayloadInMB"):
        most = min(limits.max_object_bytes, payload * 2**20)
        limits = limits.model_copy(update={"max_object_bytes": most})
    workers = workers_of(document["model"], base.worker.workers)
    changes: dict[str, Any] = {
        "endpoint": document["name"],
        "worker": Worker(runtime=base.worker.runtime, workers=workers),
        "canary": Canary(weight=0, steps=()),
        "limits": limits,
        "asynchronous": jobs_of(document, own),
    }
    return base.model_copy(update=changes)


def jobs_of(document: Document, own: Path) -> Async:
    """Return how a job's videos are worked on, in a queue below `own`."""
    asked = document["said"]
    return Async(
        output=str(own / "scores"),
        queue=str(own / "jobs"),
        max_concurrent=min(asked.get("MaxConcurrentTransforms") or _DEFAULT_AT_WORK, _MOST_AT_WORK),
        max_attempts=1 + asked.get("ModelClientConfig", {}).get("InvocationsMaxRetries", _RETRIES),
        lease_seconds=_LEASE_SECONDS,
    )
