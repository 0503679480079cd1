"""What the front counts, and how; metrics/names.py declares it."""

import platform
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from model_handler.request.errors import ScoringError
from springboard import __version__
from springboard.auth.errors import REASONS
from springboard.front.metrics import names
from springboard.front.metrics.jobs import JobFigures
from springboard.front.metrics.lag import Lag
from springboard.front.metrics.state import State, StateCollector
from springboard.front.scheduling.comparison import SCORED, UNSCORED, Comparison, Fact
from springboard.front.scheduling.dispatch import Attempt, Scored
from springboard.front.scheduling.shadow import Mirrored
from springboard.system.gpu_watch import GpuWatch
from springboard.torchserve.client import HandlerRaised, ModelError, NoWorker, Unreachable, WorkerDied

# They would be a second series for each counter, which Prometheus does not read.
disable_created_metrics()  # type: ignore[no-untyped-call]

# Keys are an operator's, but come and go; Prometheus keeps each name's series.
_MOST_CALLERS = 200
_STAGES = ("fetch", "decode", "gate", "score")
_FAILURES = [kind.outcome for kind in (WorkerDied, NoWorker, Unreachable, HandlerRaised, ModelError)]


@dataclass(frozen=True)
class Refused:
    """A request that got no score: when it ended in Unix time, its id, the plain status, the error's code."""

    at: float
    request_id: str
    status: int
    code: str
    variant: str


@dataclass
class Recent:
    """A variant's last attempts, for people who look at `GET /endpoints/{name}`."""

    attempts: int = 0
    failed: int = 0
    last: deque[Attempt] = field(default_factory=lambda: deque(maxlen=1000))

    def quantiles(self) -> dict[str, float] | None:
        """Return p50, p90 and p99 of the last attempts in seconds, None before the first."""
        ordered = sorted(attempt.seconds for attempt in self.last)
        if not ordered:
            return None
        return {
            f"p{q}": round(ordered[min(len(ordered) * q // 100, len(ordered) - 1)], 4) for q in (50, 90, 99)
        }

    def error_rate(self) -> float:
        """Return the share of the last attempts that got no answer of the model."""
        return sum(attempt.outcome != "answered" for attempt in self.last) / max(len(self.last), 1)


class Metrics:
    """Every counter and histogram of one front, in a registry of its own."""

    def __init__(self, state: State, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds."""
        self.registry = registry = CollectorRegistry()
        self.recent: dict[tuple[str, str], Recent] = {}
        self._callers: set[str] = set()
        self.last_refused: deque[Refused] = deque(maxlen=20)
        self.requests = names.REQUESTS.counter(registry)
        self.cache = names.CACHE.counter(registry)
        self.duration = names.DURATION.histogram(registry)
        self.stage = names.STAGE.histogram(registry)
        self.attempts = names.ATTEMPTS.counter(registry)
        self.queue_wait = names.QUEUE_WAIT.histogram(registry)
        self.retries = names.RETRIES.counter(registry)
        self.attempt_duration = names.ATTEMPT_DURATION.histogram(registry)
        self._comparison = Comparison(clock)
        self.first_attempts = names.FIRST_ATTEMPTS.counter(registry)
        self.first_duration = names.FIRST_ATTEMPT_DURATION.histogram(registry)
        self.first_clip = names.FIRST_ATTEMPT_CLIP.histogram(registry)
        self.first_points = names.FIRST_ATTEMPT_POINTS.counter(registry)
        self.first_squares = names.FIRST_ATTEMPT_SQUARE_POINTS.counter(registry)
        self.refused = names.REFUSED.counter(registry)
        self.answers = names.ANSWERS.counter(registry)
        self.callers = names.CALLER_REQUESTS.counter(registry)
        self.not_authorized = names.NOT_AUTHORIZED.counter(registry)
        self.worker_ends = names.WORKER_ENDS.counter(registry)
        self.request_bytes = names.REQUEST_BYTES.counter(registry)
        self.score = names.SCORE.histogram(registry)
        self.gate_refusals = names.GATE_REFUSALS.counter(registry)
        self.shadow_requests = names.SHADOW_REQUESTS.counter(registry)
        self.shadow_difference = names.SHADOW_DIFFERENCE.histogram(registry)
        self.captured = names.CAPTURED.counter(registry)
        self.truths = names.TRUTHS.counter(registry)
        self._truth_matched = names.TRUTH_MATCHED.counter(registry)
        self._truth_error = names.TRUTH_ERROR.counter(registry)
        self._truth_squares = names.TRUTH_SQUARES.counter(registry)
        self.config_valid = names.CONFIG_VALID.gauge(registry)
        self.config_valid.set(1)
        self.config_modified = names.CONFIG_MODIFIED.gauge(registry)
        self.lag = Lag()
        names.LOOP_LAG.gauge(registry).set_function(lambda: self.lag.worst(time.monotonic()))
        build = (__version__, Path(sys.prefix).resolve().name, platform.python_version())
        names.BUILD.gauge(registry).labels(*build).set(1)
        ProcessCollector(registry=registry)
        self._begin()
        registry.register(StateCollector(state))
        self.jobs = JobFigures(registry, clock)
        self.gpus = GpuWatch()
        registry.register(self.gpus)

    def _begin(self) -> None:
        """Start at 0 what could happen to any front, so that its first step is seen."""
        for code in _codes(ScoringError):
            self.refused.labels(code)
        for reason in REASONS:
            self.not_authorized.labels(reason)
        self.answers.labels("", "", "not_authorized")
        for outcome in ("written", "dropped"):
            self.captured.labels(outcome)
        for outcome in ("matched", "corrected", "repeated", "unknown", "unusable", "dropped"):
            self.truths.labels(outcome)

    def record_caller(self, caller: str, outcome: str) -> None:
        """Count a request of the key of this name; empty where no key was accepted."""
        name = caller or "none"
        if name not in self._callers and len(self._callers) >= _MOST_CALLERS:
            name = "others"
        self._callers.add(name)
        self.callers.labels(name, outcome).inc()

    def record_worker_ends(self, variant: str, release: str, count: int) -> None:
        """Count worker processes that ended."""
        self.worker_ends.labels(variant, release).inc(count)

    def record_attempt(self, attempt: Attempt) -> None:
        """Count an attempt that ended."""
        labels = (attempt.variant, attempt.release)
        recent = self.recent.setdefault(labels, Recent())
        recent.attempts += 1
        recent.failed += attempt.outcome != "answered"
        recent.last.append(replace(attempt, answer=None))
        self.attempts.labels(*labels, attempt.outcome).inc()
        self.attempt_duration.labels(*labels).observe(attempt.seconds)
        if attempt.again:
            self.retries.labels(*labels).inc()
        for fact in self._comparison.facts(attempt):
            self._record_fact(fact)

    def _record_fact(self, fact: Fact) -> None:
        labels = (fact.variant, fact.release)
        self.first_attempts.labels(*labels, fact.outcome).inc()
        if fact.outcome == SCORED:
            self.first_duration.labels(*labels).observe(fact.seconds)
            self.first_clip.labels(*labels).observe(fact.seconds / fact.clips)
            points = max(fact.points, 0.0)  # in both, or their variance is of neither
            self.first_points.labels(*labels).inc(points)
            self.first_squares.labels(*labels).inc(points**2)

    def record_wait(self, seconds: float, outcome: str) -> None:
        """Count a wait in the line that ended: in a `turn`, `refused`, or because the caller `left`."""
        self.queue_wait.labels(outcome).observe(seconds)

    def record_truth(self, variant: str, release: str, error: float) -> None:
        """Count an answer that got its truth, `error` points off."""
        self._truth_matched.labels(variant, release).inc()
        self._truth_error.labels(variant, release).inc(error)
        self._truth_squares.labels(variant, release).inc(error**2)

    def record_mirrored(self, mirrored: Mirrored) -> None:
        """Count a copy that went to the shadow."""
        release = mirrored.attempt.release
        self.shadow_requests.labels(release, mirrored.outcome).inc()
        if mirrored.difference is not None:
            self.shadow_difference.labels(release).observe(mirrored.difference)
        self.record_attempt(mirrored.attempt)

    def record_answer(self, scored: Scored, s3_seconds: float | None) -> float | None:
        """Count what the model said, and where the time went; `s3_seconds` for videos that came from S3.

        Returns the points it gave, None for a refusal.
        """
        labels = (scored.variant, scored.release)
        self.stage.labels("queue", *labels).observe(scored.queued_seconds)
        if s3_seconds is not None:
            self.stage.labels("s3", *labels).observe(s3_seconds)
        for name in _STAGES:
            if name in scored.answer.stages:
                self.stage.labels(name, *labels).observe(scored.answer.stages[name] / 1000)
        if (points := scored.answer.score) is not None:
            # Below 0 the sum would fall, which Prometheus takes for a restart.
            self.score.labels(*labels).observe(max(points, 0.0))
        elif scored.answer.code == "not_a_dive":
            self.gate_refusals.labels(*labels).inc()
        return points

    def expect(self, endpoint: str, variant: str, release: str) -> None:
        """Start a variant's counters at 0: Prometheus cannot see the first step of one that starts at 1."""
        labels = (variant, release)
        self.requests.labels(endpoint, *labels, "200", "scored")
        for status in ("424", "502", "503", "504"):
            self.requests.labels(endpoint, *labels, status, "failed")
        for status in ("429", "503"):  # they never reached a variant
            self.requests.labels(endpoint, "", "", status, "failed")
        for outcome in ("turn", "refused", "left"):
            self.queue_wait.labels(outcome)
        for outcome in ("answered", "late", *_FAILURES):
            self.attempts.labels(*labels, outcome)
        for outcome in (SCORED, UNSCORED, *_FAILURES):
            self.first_attempts.labels(*labels, outcome)
        self.retries.labels(*labels)
        self.worker_ends.labels(*labels)
        for code in ("scored", "unreadable_video", "not_a_dive"):
            self.answers.labels(*labels, code)
        self.gate_refusals.labels(*labels)

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return everything, and its Content-Type: OpenMetrics where `Accept` takes it, which has exemplars.

        Else Prometheus' text format, which has none.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


def _codes(kind: type[ScoringError]) -> set[str]:
    """Return the codes of all errors that a caller can be answered with."""
    return {kind.code}.union(*map(_codes, kind.__subclasses__()))
