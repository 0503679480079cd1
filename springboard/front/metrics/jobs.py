"""Jobs that nobody waits for: what their queue holds, and what workers tell of them."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from springboard.front.metrics import names
from springboard.jobs.queue import Backlog
from springboard.jobs.report import GONE_SECONDS, OUTCOMES, Ended, Report

# The queue is asked so often; nobody is told what is much older.
LOOK_SECONDS = 5.0
_STALE_SECONDS = 60.0
# A worker that is started again and again has another name each time.
_MOST_WORKERS = 100
_OF_QUEUE = (names.JOBS_WAITING, names.JOBS_LEASED, names.JOBS_DEAD, names.JOBS_OLDEST)


class JobFigures(Collector):
    """Counters of what workers report, and gauges, those of the queue while it was seen lately."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds."""
        self._clock = clock
        self._backlog: Backlog | None = None
        self._seen_at = 0.0
        self._workers: dict[str, float] = {}
        self.taking = False
        self._jobs = names.JOBS.counter(registry)
        self._attempts = names.JOB_ATTEMPTS.counter(registry)
        self._queued = names.JOB_QUEUED.histogram(registry)
        self._worked = names.JOB_WORKED.histogram(registry)
        for outcome in OUTCOMES[:-1]:
            self._jobs.labels(outcome)
        registry.register(self)

    @property
    def backlog(self) -> Backlog | None:
        """What the queue held a moment ago; None where it is not known, or there is none."""
        return self._backlog if self._clock() < self._seen_at + _STALE_SECONDS else None

    @property
    def workers(self) -> int:
        """How many workers told of themselves lately."""
        return sum(at > self._clock() - GONE_SECONDS for at in list(self._workers.values()))

    def begin(self, taking: bool) -> None:
        """Know nothing of the queue yet: it is another one, or, without `taking`, there is none."""
        self.taking, self._backlog = taking, None

    def saw(self, backlog: Backlog) -> None:
        """Show this from now on."""
        self._backlog, self._seen_at = backlog, self._clock()

    def take(self, report: Report) -> None:
        """Count what a worker did."""
        self._workers.pop(report.worker, None)
        self._workers[report.worker] = self._clock()
        while len(self._workers) > _MOST_WORKERS:
            del self._workers[next(iter(self._workers))]
        for ended in report.ended:
            self._count(ended)

    def _count(self, ended: Ended) -> None:
        self._attempts.inc()
        if ended.attempt == 1:
            self._queued.observe(ended.queued)
        if ended.outcome != "again":
            self._jobs.labels(ended.outcome).inc()
            self._worked.observe(ended.worked)

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge as it is now."""
        shown: dict[names.Declared, float | None] = dict.fromkeys(_OF_QUEUE)
        if backlog := self.backlog:
            oldest = backlog.oldest_seconds if backlog.waiting else 0.0
            shown = dict(zip(_OF_QUEUE, (backlog.waiting, backlog.leased, backlog.dead, oldest), strict=True))
        shown[names.JOB_WORKERS] = self.workers if self.taking else None
        for declared, value in shown.items():
            family = declared.family()
            if value is not None:
                family.add_metric((), float(value))
            yield family
