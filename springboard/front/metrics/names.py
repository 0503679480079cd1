"""Every metric of the front: name, labels, buckets, meaning. Recorded and collected from here only.

Labels are bounded: endpoint, variants and releases come from the operator's file, the others from code.
Dashboards, rules, `springboard top` and deployments read these names; a rename is a breaking change.
"""

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 45, 60)
# Closer: canaries are judged by theirs beside the old release's.
_ATTEMPT_SECONDS = tuple(float(f"{0.005 * 1.25**step:.3g}") for step in range(43))
_CLIP_SECONDS = tuple(float(f"{0.0005 * 1.25**step:.3g}") for step in range(48))
_POINTS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110)
_DIFFERENCES = (0, 0.01, 0.1, 0.25, 0.5, 1, 2, 5, 10, 25)
# A job may wait for as long as its RequestTTLSeconds.
_JOB_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 1800, 3600, 7200, 21600)
_VARIANT = ("variant", "release")


@dataclass(frozen=True)
class Declared:
    """One metric. A counter's samples are called `name` with `_total`; histograms have `buckets`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def counter(self, registry: CollectorRegistry) -> Counter:
        """Return it as a counter of this registry."""
        return Counter(self.name, self.about, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """Return it as a gauge of this registry."""
        return Gauge(self.name, self.about, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """Return it as a histogram of this registry."""
        return Histogram(self.name, self.about, self.labels, buckets=self.buckets, registry=registry)

    def family(self, value: float | None = None) -> GaugeMetricFamily:
        """Return a gauge made for one scrape; with `value` where it has no labels."""
        return GaugeMetricFamily(
            self.name, self.about, value=value, labels=None if value is not None else self.labels
        )


REQUESTS = Declared(
    "springboard_requests",
    "counter",
    "Requests answered, by the status the caller got (499: left before its answer) and the outcome.",
    ("endpoint", *_VARIANT, "status", "outcome"),
)
CACHE = Declared(
    "springboard_cache",
    "counter",
    "Videos looked for among the answers that are kept (`cache` in endpoint.yml), by `hit` or `miss`.",
    ("result",),
)
DURATION = Declared(
    "springboard_request_duration_seconds",
    "histogram",
    "From a request's headers to its answer.",
    ("endpoint", *_VARIANT),
    _SECONDS,
)
STAGE = Declared(
    "springboard_stage_duration_seconds",
    "histogram",
    "Parts of a request: queue and s3 in the front, the others in the worker.",
    ("stage", *_VARIANT),
    _SECONDS,
)
ATTEMPTS = Declared(
    "springboard_attempts",
    "counter",
    "Requests put to a worker, by how that ended; `late` is an answer after the caller's deadline.",
    (*_VARIANT, "outcome"),
)
RETRIES = Declared("springboard_retries", "counter", "Attempts after a failed one.", _VARIANT)
ATTEMPT_DURATION = Declared(
    "springboard_attempt_duration_seconds",
    "histogram",
    "One attempt at a worker.",
    _VARIANT,
    _ATTEMPT_SECONDS,
)
FIRST_ATTEMPTS = Declared(
    "springboard_first_attempts",
    "counter",
    "What variants did with videos they got first and by chance, by which a canary is judged.",
    (*_VARIANT, "outcome"),
)
FIRST_ATTEMPT_DURATION = Declared(
    "springboard_first_attempt_duration_seconds",
    "histogram",
    "A first attempt that gave a score.",
    _VARIANT,
    _ATTEMPT_SECONDS,
)
FIRST_ATTEMPT_CLIP = Declared(
    "springboard_first_attempt_clip_seconds",
    "histogram",
    "The same by the clips that were scored: long videos take longer.",
    _VARIANT,
    _CLIP_SECONDS,
)
FIRST_ATTEMPT_POINTS = Declared(
    "springboard_first_attempt_points", "counter", "The sum of scores of first attempts.", _VARIANT
)
FIRST_ATTEMPT_SQUARE_POINTS = Declared(
    "springboard_first_attempt_square_points", "counter", "The sum of their squares.", _VARIANT
)
REFUSED = Declared(
    "springboard_refused",
    "counter",
    "Requests the front itself refused or gave up, by the error's code.",
    ("code",),
)
ANSWERS = Declared(
    "springboard_answers",
    "counter",
    "Answers to requests for a score, by the error's code; `scored` for a score, `left` where nobody waited.",
    (*_VARIANT, "code"),
)
CALLER_REQUESTS = Declared(
    "springboard_caller_requests",
    "counter",
    "Requests by the name of their key (`none` without one that was accepted) and their outcome.",
    ("caller", "outcome"),
)
NOT_AUTHORIZED = Declared(
    "springboard_not_authorized",
    "counter",
    "Requests without the right credentials, by what was wrong with them.",
    ("reason",),
)
REQUEST_BYTES = Declared("springboard_request_bytes", "counter", "Bytes of bodies and S3 objects taken in.")
SCORE = Declared("springboard_score_points", "histogram", "Scores given.", _VARIANT, _POINTS)
GATE_REFUSALS = Declared("springboard_gate_refusals", "counter", "Videos found not to show a dive.", _VARIANT)
SHADOW_REQUESTS = Declared(
    "springboard_shadow_requests",
    "counter",
    "Videos mirrored to the shadow, by whether its status and the variant's agree.",
    ("release", "outcome"),
)
SHADOW_DIFFERENCE = Declared(
    "springboard_shadow_difference_points",
    "histogram",
    "How far the shadow's score was from the variant's, without sign.",
    ("release",),
    _DIFFERENCES,
)
CONFIG_VALID = Declared(
    "springboard_endpoint_file_valid",
    "gauge",
    "0 while the endpoint file on disk is invalid and an older one serves.",
)
CONFIG_MODIFIED = Declared(
    "springboard_endpoint_file_modified_seconds",
    "gauge",
    "When the endpoint file that serves was written, in Unix time.",
)
READY = Declared("springboard_ready", "gauge", "1 while /ping answers 200.")
DRAINING = Declared("springboard_draining", "gauge", "1 from SIGTERM on.")
IN_FLIGHT = Declared("springboard_in_flight", "gauge", "Requests that workers have.")
RETIRED_IN_FLIGHT = Declared(
    "springboard_retired_in_flight", "gauge", "Requests at releases the endpoint no longer has."
)
QUEUED = Declared("springboard_queued", "gauge", "Requests that wait for a worker.")
QUEUE_WAIT = Declared(
    "springboard_queue_wait_seconds",
    "histogram",
    "Waits in the line, by how they ended: a turn at a worker, refused, or the caller left.",
    ("outcome",),
    _SECONDS,
)
QUEUE_OLDEST = Declared(
    "springboard_queue_oldest_seconds",
    "gauge",
    "How long the oldest request in the line has waited.",
)
EXPECTED_WAIT = Declared(
    "springboard_queue_expected_wait_seconds",
    "gauge",
    "How long a newcomer would wait for a worker, by the line and the work times of late.",
    _VARIANT,
)
HELD_REQUESTS = Declared("springboard_held_requests", "gauge", "Requests admitted and not yet answered.")
HELD_BYTES = Declared("springboard_held_bytes", "gauge", "Bytes of videos in memory.")
HELD_REQUESTS_LIMIT = Declared("springboard_held_requests_limit", "gauge", "queue_requests.")
HELD_BYTES_LIMIT = Declared("springboard_held_bytes_limit", "gauge", "queue_bytes.")
WORKER_ENDS = Declared(
    "springboard_worker_restarts",
    "counter",
    "Worker processes that ended under TorchServe, which starts another for each.",
    _VARIANT,
)
BUILD = Declared(
    "springboard_build_info",
    "gauge",
    "1; which code this front runs: `build` is its environment's folder on hosts.",
    ("version", "build", "python"),
)
LOOP_LAG = Declared(
    "springboard_event_loop_lag_seconds",
    "gauge",
    "How late the event loop was at worst within 15 seconds; meanwhile nobody is answered.",
)
WORKERS_READY = Declared("springboard_workers_ready", "gauge", "Workers that can answer.", _VARIANT)
WORKERS = Declared("springboard_workers", "gauge", "Workers there should be.", _VARIANT)
WEIGHT = Declared("springboard_variant_weight", "gauge", "Share of traffic.", _VARIANT)
INFO = Declared(
    "springboard_release_info", "gauge", "1 for each release served.", ("endpoint", *_VARIANT, "sha256")
)
REFERENCE_MEAN = Declared(
    "springboard_release_reference_score_mean_points",
    "gauge",
    "Mean of the release's scores over its reference clips.",
    _VARIANT,
)
REFERENCE_SD = Declared(
    "springboard_release_reference_score_sd_points",
    "gauge",
    "Standard deviation of the release's scores over its reference clips.",
    _VARIANT,
)
CAPTURED = Declared(
    "springboard_captured",
    "counter",
    "Requests that were to be captured, `written` or, where that did not keep up, `dropped`.",
    ("outcome",),
)
REFERENCE_ERROR = Declared(
    "springboard_release_reference_absolute_error_points",
    "gauge",
    "Mean absolute error of the release's scores over its reference clips, where judges' scores are known.",
    _VARIANT,
)
TRUTHS = Declared(
    "springboard_truths",
    "counter",
    "Judges' scores that came, by what became of them; `dropped` are answers that could not be remembered.",
    ("outcome",),
)
TRUTH_MATCHED = Declared(
    "springboard_truths_matched", "counter", "Answers that got their first truth, by who gave them.", _VARIANT
)
TRUTH_ERROR = Declared(
    "springboard_truth_error_points", "counter", "Sum of those answers' absolute errors.", _VARIANT
)
TRUTH_SQUARES = Declared(
    "springboard_truth_square_error_points", "counter", "Sum of the squares of those errors.", _VARIANT
)
LIVE_TRUTHS = Declared(
    "springboard_live_truths", "gauge", "Truths that the release's live figures are over.", _VARIANT
)
LIVE_ERROR = Declared(
    "springboard_live_absolute_error_points",
    "gauge",
    "Mean absolute error of the release's scores, over the truths that came last.",
    _VARIANT,
)
LIVE_CORRELATION = Declared(
    "springboard_live_rank_correlation",
    "gauge",
    "Spearman's rank correlation of the release's scores with judges', over the truths that came last.",
    _VARIANT,
)
JOBS_WAITING = Declared(
    "springboard_jobs_waiting",
    "gauge",
    "Asynchronous jobs on the queue that no worker has; as of a few seconds ago.",
)
JOBS_LEASED = Declared("springboard_jobs_leased", "gauge", "Asynchronous jobs that a worker has.")
JOBS_DEAD = Declared("springboard_jobs_dead", "gauge", "Dead letters: jobs that were given up.")
JOBS_OLDEST = Declared(
    "springboard_jobs_oldest_seconds",
    "gauge",
    "For how long the oldest of them waits; SQS does not tell, CloudWatch does.",
)
JOB_WORKERS = Declared(
    "springboard_job_workers", "gauge", "Processes of `springboard work` that this front heard of lately."
)
JOBS = Declared(
    "springboard_jobs",
    "counter",
    "Asynchronous jobs that ended, by how; `dead` are those that were given up.",
    ("outcome",),
)
JOB_ATTEMPTS = Declared(
    "springboard_job_attempts", "counter", "Claims of jobs that ended, also those that are begun again."
)
JOB_QUEUED = Declared(
    "springboard_job_queued_seconds",
    "histogram",
    "From when a job was handed in until it was first begun.",
    buckets=_JOB_SECONDS,
)
JOB_WORKED = Declared(
    "springboard_job_work_seconds",
    "histogram",
    "From a job's claim to its end, waiting for a turn in the front included.",
    buckets=_JOB_SECONDS,
)

# In this file's order; the reference in docs/ is made from it.
ALL = tuple(one for one in list(globals().values()) if isinstance(one, Declared))
