"""One front: its endpoint, its queue, what it knows of its workers, what it counts; and its end."""

import asyncio
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from springboard.auth.check import Auth
from springboard.endpoint.document import Endpoint
from springboard.front.answers import Answers
from springboard.front.capture import Capturer
from springboard.front.intake.admission import Admission
from springboard.front.intake.s3 import Downloads
from springboard.front.intake.source import THREADS, Sources
from springboard.front.metrics.jobs import LOOK_SECONDS
from springboard.front.metrics.record import Metrics
from springboard.front.scheduling.dispatch import Dispatcher
from springboard.front.scheduling.places import Places
from springboard.front.scheduling.queue import Queue
from springboard.front.scheduling.readiness import Readiness
from springboard.front.scheduling.shadow import Mirror
from springboard.front.truth.ledger import Counting, Ledger
from springboard.jobs.desk import Desk
from springboard.jobs.opening import worker_token
from springboard.jobs.queue import QueueAway
from springboard.torchserve.client import Backend

if TYPE_CHECKING:  # the server imports it where it is asked for: OpenTelemetry takes time and memory
    from springboard.front.traces import Traces

log = logging.getLogger("springboard.front")

# So many jobs are handed in at a time: each is a write and a message.
JOB_THREADS = 8
# What was captured may take so long to be written when this server ends.
_CAPTURE_SECONDS = 5.0


NOTHING_DEPLOYED = "no release is deployed yet; run playbooks/deploy.yml -e release=X.Y.Z"


class Front:
    """Everything one server process serves. `run` must be running for workers to be found ready."""

    def __init__(
        self, endpoint: Endpoint, auth: Auth, client: httpx.AsyncClient, has_successor: bool = False
    ) -> None:
        """`client` talks to TorchServe; it must bound neither connections nor time itself.

        With `has_successor` another front takes over when this one drains, so no caller is sent away.
        """
        self.endpoint = endpoint
        self.auth = auth
        self.draining = False
        self.account = ""  # of the control plane, where there is one: it names endpoints
        self.has_successor = has_successor
        self.beside: list[Front] = []  # of the control plane's further endpoints; they end with this one
        self.stop_at_once = False
        self.active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.queue = Queue()
        self.places = Places()
        self.admission = Admission(endpoint.limits, lambda: self.queue.expected_wait(time.monotonic()))
        self.truth = Ledger(
            Counting(
                lambda outcome: self.metrics.truths.labels(outcome).inc(),
                lambda matched: self.metrics.record_truth(matched.variant, matched.release, matched.error),
            )
        )
        self.metrics = Metrics(self)
        self.traces: Traces | None = None
        self.readiness = Readiness(self.queue, self.metrics.record_worker_ends)
        self._client = client
        self._changed = asyncio.Event()
        self.dispatcher = Dispatcher(
            self.queue, self.readiness.lost_worker, self.metrics.record_attempt, self.metrics.record_wait
        )
        self.answers = Answers(endpoint.cache.max_bytes)
        self.mirror = Mirror(self.queue, self.metrics.record_mirrored)
        threads = ThreadPoolExecutor(endpoint.limits.s3_concurrency, thread_name_prefix="s3")
        self.downloads = Downloads(threads)
        self.desk: Desk | None = None
        self._queue_away = False
        self.job_threads = ThreadPoolExecutor(JOB_THREADS, thread_name_prefix="jobs")
        self.sources = Sources(ThreadPoolExecutor(THREADS, thread_name_prefix="intake"))
        self.capture = Capturer(lambda outcome: self.metrics.captured.labels(outcome).inc())
        self.use(endpoint)

    def another(self, endpoint: Endpoint) -> "Front":
        """Return a front for a further endpoint of the same server: the same keys, nothing else shared."""
        made = Front(endpoint, self.auth, self._client, self.has_successor)
        made.account, made.traces = self.account, self.traces
        return made

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.endpoint.endpoint

    def answers_to(self, name: str) -> bool:
        """Whether this is the endpoint's name, or one of its further ones."""
        return name == self.name or name in self.endpoint.aliases

    def use(self, endpoint: Endpoint) -> None:
        """Serve this endpoint from now on; what runs or waits carries on. `s3_concurrency` stays."""
        self.endpoint = endpoint
        self.admission.limits = endpoint.limits
        self.answers.use(endpoint.cache.max_bytes)
        share = endpoint.asynchronous.least_share if endpoint.asynchronous else 0.0
        self.queue.use(
            endpoint.variants, endpoint.shadow, lambda served: Backend(self._client, served), share
        )
        self._take_jobs(endpoint)
        self.capture.use(endpoint.capture, self.name)
        self.truth.use(endpoint.truth, self.name)
        for variant in endpoint.variants:
            self.metrics.expect(self.name, variant.name, variant.release)
        self._changed.set()

    def _take_jobs(self, endpoint: Endpoint) -> None:
        """Take jobs in as `async` says, and know the worker that scores them."""
        settings, before = endpoint.asynchronous, self.desk
        if settings is None:
            self.desk = None
            self.metrics.jobs.begin(taking=False)
        elif before is None or (before.settings, before.endpoint) != (settings, endpoint.endpoint):
            self.desk = Desk(settings, endpoint.endpoint)
            self.metrics.jobs.begin(taking=True)
            try:
                self.auth.worker_token = worker_token()
            except (OSError, RuntimeError) as error:  # there may be no home either
                log.error("no worker can show that it is ours, so jobs wait: %s", error)

    async def run(self) -> None:
        """Watch the workers and the GPUs until cancelled."""
        with self.metrics.gpus:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.metrics.lag.watch())
                group.create_task(self.readiness.run(self._changed))
                group.create_task(self._watch_jobs())

    async def _watch_jobs(self) -> None:
        while True:
            await self.look_at_jobs()
            await asyncio.sleep(LOOK_SECONDS)

    async def look_at_jobs(self) -> None:
        """See what the queue of jobs holds, if there is one."""
        if (desk := self.desk) is None:
            return
        try:
            backlog = await asyncio.get_running_loop().run_in_executor(self.job_threads, desk.backlog)
        except Exception as error:  # whatever it is, callers are served on
            if not self._queue_away:
                log.warning("the jobs that wait are not known: %s", error, exc_info=_unknown(error))
            self._queue_away = True
            return
        self._queue_away = False
        if desk is self.desk:  # not that of a file before
            self.metrics.jobs.saw(backlog)

    @property
    def refusing(self) -> bool:
        """Whether new requests are sent away, because this server ends."""
        return self.draining and not self.has_successor

    def why_not_ready(self) -> str:
        """Return why /ping is not 200; empty when it is."""
        if self.refusing:
            return "draining: this server is shutting down"
        if not self.queue.lanes:
            return NOTHING_DEPLOYED
        if self.queue.serving:
            return ""
        return "; ".join(f"variant {lane.name}: {lane.reason}" for lane in self.queue.lanes.values())

    @contextmanager
    def accepted(self) -> Iterator[None]:
        """Count a request that shall get its answer even if the server is told to stop meanwhile."""
        self.active += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.active -= 1
            if not self.active:
                self._idle.set()

    async def drain(self, lead_seconds: float) -> None:
        """Take nothing new; return once balancers had time to notice and what was accepted is answered."""
        fronts = (self, *self.beside)
        for one in fronts:
            one.draining = True
        active = sum(one.active for one in fronts)
        log.info("draining: %d requests to finish, listening for %g s more", active, lead_seconds)
        await asyncio.sleep(lead_seconds)
        await asyncio.gather(*(one.finish() for one in fronts))

    async def finish(self) -> None:
        """Return once what was accepted is answered, or late, and what was kept of it is written."""
        try:
            async with asyncio.timeout(self.endpoint.limits.deadline_seconds):
                await self._idle.wait()
        except TimeoutError:
            log.warning("%d requests were not finished within their deadline", self.active)
        await self.close()

    async def close(self) -> None:
        """Return once what was kept of answers is written; nobody works for this front then."""
        await asyncio.to_thread(self.truth.close)
        await asyncio.to_thread(self.capture.close, _CAPTURE_SECONDS)


def _unknown(error: Exception) -> Exception | None:
    """Return an error that is a bug of ours, to be logged with its way."""
    return None if isinstance(error, QueueAway) else error
