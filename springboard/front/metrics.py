"""What the front counts.

Labels are bounded: endpoint, variants and releases come from the operator's file, the others from code.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from springboard.front.intake.admission import Admission
from springboard.front.scheduling.dispatch import Attempt, Scored
from springboard.front.scheduling.queue import Queue
from springboard.front.scheduling.shadow import Mirrored
from springboard.system.gpu import GpuCollector
from springboard.torchserve.client import HandlerRaised, ModelError, NoWorker, Unreachable, WorkerDied

# They would be a second series for each counter, which Prometheus does not read.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 45, 60)
# Closer: canaries are judged by their p95 beside the old release's.
_ATTEMPT_SECONDS = tuple(float(f"{0.005 * 1.25**step:.3g}") for step in range(43))
_POINTS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110)
_DIFFERENCES = (0, 0.01, 0.1, 0.25, 0.5, 1, 2, 5, 10, 25)
_STAGES = ("fetch", "decode", "gate", "score")
_VARIANT = ("variant", "release")
_FAILURES = [kind.outcome for kind in (WorkerDied, NoWorker, Unreachable, HandlerRaised, ModelError)]


class State(Protocol):
    """What gauges show: read when Prometheus asks, so that nothing stale can stay behind."""

    queue: Queue
    admission: Admission
    draining: bool

    @property
    def name(self) -> str:
        """The endpoint's name."""


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

    def __init__(self, state: State) -> None:
        self.registry = registry = CollectorRegistry()
        self.recent: dict[tuple[str, str], Recent] = {}
        self.requests = Counter(
            "springboard_requests",
            "Requests answered, by the status the caller got (499: left before its answer) and the outcome.",
            ("endpoint", *_VARIANT, "status", "outcome"),
            registry=registry,
        )
        self.duration = Histogram(
            "springboard_request_duration_seconds",
            "From a request's headers to its answer.",
            ("endpoint", *_VARIANT),
            buckets=_SECONDS,
            registry=registry,
        )
        self.stage = Histogram(
            "springboard_stage_duration_seconds",
            "Parts of a request: queue and s3 in the front, the others in the worker.",
            ("stage", *_VARIANT),
            buckets=_SECONDS,
            registry=registry,
        )
        self.attempts = Counter(
            "springboard_attempts",
            "Requests put to a worker, by how that ended.",
            (*_VARIANT, "outcome"),
            registry=registry,
        )
        self.retries = Counter(
            "springboard_retries", "Attempts after a failed one.", _VARIANT, registry=registry
        )
        self.attempt_duration = Histogram(
            "springboard_attempt_duration_seconds",
            "One attempt at a worker.",
            _VARIANT,
            buckets=_ATTEMPT_SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "springboard_refused",
            "Requests the front itself refused or gave up, by the error's code.",
            ("code",),
            registry=registry,
        )
        self.request_bytes = Counter(
            "springboard_request_bytes", "Bytes of bodies and S3 objects taken in.", registry=registry
        )
        self.score = Histogram(
            "springboard_score_points", "Scores given.", _VARIANT, buckets=_POINTS, registry=registry
        )
        self.gate_refusals = Counter(
            "springboard_gate_refusals", "Videos found not to show a dive.", _VARIANT, registry=registry
        )
        self.shadow_requests = Counter(
            "springboard_shadow_requests",
            "Videos mirrored to the shadow, by whether its status and the variant's agree.",
            ("release", "outcome"),
            registry=registry,
        )
        self.shadow_difference = Histogram(
            "springboard_shadow_difference_points",
            "How far the shadow's score was from the variant's, without sign.",
            ("release",),
            buckets=_DIFFERENCES,
            registry=registry,
        )
        self.config_valid = Gauge(
            "springboard_endpoint_file_valid",
            "0 while the endpoint file on disk is invalid and an older one serves.",
            registry=registry,
        )
        self.config_valid.set(1)
        self.config_modified = Gauge(
            "springboard_endpoint_file_modified_seconds",
            "When the endpoint file that serves was written, in Unix time.",
            registry=registry,
        )
        registry.register(_StateCollector(state))
        registry.register(GpuCollector())

    def record_attempt(self, attempt: Attempt) -> None:
        """Count an attempt that ended."""
        labels = (attempt.variant, attempt.release)
        recent = self.recent.setdefault(labels, Recent())
        recent.attempts += 1
        recent.failed += attempt.outcome != "answered"
        recent.last.append(attempt)
        self.attempts.labels(*labels, attempt.outcome).inc()
        self.attempt_duration.labels(*labels).observe(attempt.seconds)
        if attempt.again:
            self.retries.labels(*labels).inc()

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
        for outcome in ("answered", *_FAILURES):
            self.attempts.labels(*labels, outcome)
        self.retries.labels(*labels)
        self.gate_refusals.labels(*labels)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _StateCollector(Collector):
    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        state, queue = self._state, self._state.queue
        for name, text, value in (
            ("ready", "1 while /ping answers 200.", queue.serving and not state.draining),
            ("draining", "1 from SIGTERM on.", state.draining),
            ("in_flight", "Requests that workers have.", queue.busy),
            ("retired_in_flight", "Requests at releases the endpoint no longer has.", queue.retired_busy),
            ("queued", "Requests that wait for a worker.", len(queue)),
            ("held_requests", "Requests admitted and not yet answered.", state.admission.requests),
            ("held_bytes", "Bytes of videos in memory.", state.admission.bytes),
            ("held_requests_limit", "queue_requests.", state.admission.limits.queue_requests),
            ("held_bytes_limit", "queue_bytes.", state.admission.limits.queue_bytes),
        ):
            yield GaugeMetricFamily(f"springboard_{name}", text, value=float(value))
        ready = GaugeMetricFamily("springboard_workers_ready", "Workers that can answer.", labels=_VARIANT)
        total = GaugeMetricFamily("springboard_workers", "Workers there should be.", labels=_VARIANT)
        weight = GaugeMetricFamily("springboard_variant_weight", "Share of traffic.", labels=_VARIANT)
        info = GaugeMetricFamily(
            "springboard_release_info",
            "1 for each release served.",
            labels=("endpoint", *_VARIANT, "sha256"),
        )
        mean = GaugeMetricFamily(
            "springboard_release_reference_score_mean_points",
            "Mean of the release's scores over its reference clips.",
            labels=_VARIANT,
        )
        sd = GaugeMetricFamily(
            "springboard_release_reference_score_sd_points",
            "Standard deviation of the release's scores over its reference clips.",
            labels=_VARIANT,
        )
        for lane in queue.all_lanes:
            labels = (lane.name, lane.served.release)
            if reference := lane.served.reference:
                mean.add_metric(labels, reference.mean)
                sd.add_metric(labels, reference.sd)
            ready.add_metric(labels, len(lane.workers.ready))
            total.add_metric(labels, lane.workers.total)
            weight.add_metric(labels, lane.weight)
            info.add_metric((state.name, *labels, lane.served.sha256), 1)
        yield from (ready, total, weight, info, mean, sd)
