"""The front's own figures, as a deployment reads them from its /metrics."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_SECONDS = 10.0


class FrontAway(Exception):
    """The front does not answer, or not as it should; the message says what to look at."""


# Counters of one variant by what they count: "answered", "worker_died"..., "le=0.5"..., "scores", "points".
Counts = dict[str, float]


@dataclass(frozen=True)
class Sample:
    """The front at one moment; variants are by name and release."""

    modified: float
    valid: bool
    retired_in_flight: float
    ready: dict[tuple[str, str], float]
    counts: dict[tuple[str, str], Counts]


@dataclass
class Side:
    """What one variant did in a span of time; `buckets` are cumulative counts by upper bound in seconds."""

    attempts: float = 0
    answered: float = 0
    scored: float = 0
    points: float = 0
    failures: dict[str, float] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)

    @property
    def failed(self) -> float:
        """Attempts that got no answer of the model."""
        return self.attempts - self.answered

    def ratio(self, part: float, of: float) -> float:
        """Return the share, 0 of nothing."""
        return part / of if of else 0.0

    @property
    def error_ratio(self) -> float:
        """Failed attempts by attempts."""
        return self.ratio(self.failed, self.attempts)

    @property
    def unscored_ratio(self) -> float:
        """Answers that are no score (refusals, the handler's own errors) by answers."""
        return self.ratio(self.answered - self.scored, self.answered)

    @property
    def mean_score(self) -> float:
        """Points."""
        return self.ratio(self.points, self.scored)

    @property
    def p95(self) -> float:
        """Seconds, interpolated within its bucket as Prometheus' histogram_quantile does."""
        below, bound_below = 0.0, 0.0
        rank = 0.95 * max(self.buckets.values(), default=0.0)
        for bound, count in sorted(self.buckets.items()):
            if count >= rank and count > below:
                if bound == float("inf"):
                    return bound_below
                return bound_below + (bound - bound_below) * (rank - below) / (count - below)
            below, bound_below = count, bound
        return 0.0


class Window:
    """Two variants' counters from its beginning on; a front that restarts counts from 0 again."""

    def __init__(self, canary: tuple[str, str], baseline: tuple[str, str], first: Sample) -> None:
        self._keys = (canary, baseline)
        self._last = first
        self._sums: tuple[Counts, Counts] = ({}, {})

    def add(self, sample: Sample) -> None:
        """Add what happened since the last sample."""
        for key, sums in zip(self._keys, self._sums, strict=True):
            before, now = self._last.counts.get(key, {}), sample.counts.get(key, {})
            restarted = any(now.get(name, 0.0) < value for name, value in before.items())
            for name, value in now.items():
                sums[name] = sums.get(name, 0.0) + value - (0.0 if restarted else before.get(name, 0.0))
        self._last = sample

    @property
    def canary(self) -> Side:
        """The new release's."""
        return _side(self._sums[0])

    @property
    def baseline(self) -> Side:
        """The old release's."""
        return _side(self._sums[1])


def _side(sums: Counts) -> Side:
    side = Side(answered=sums.get("answered", 0), scored=sums.get("scores", 0), points=sums.get("points", 0))
    for name, value in sums.items():
        if name.startswith("le="):
            side.buckets[float(name[3:])] = value
        elif name not in ("scores", "points"):
            side.attempts += value
            if name != "answered" and value:
                side.failures[name] = value
    return side


class FrontFigures:
    """Asks one front."""

    def __init__(self, url: str) -> None:
        self._url = url

    def read(self) -> Sample:
        """Return its figures now; raise `FrontAway`."""
        try:
            # A front that restarts answers once its successor listens: systemd holds the socket meanwhile.
            answer = httpx.get(f"{self._url}/metrics", timeout=_TIMEOUT_SECONDS, trust_env=False)
        except httpx.HTTPError as error:
            raise FrontAway(
                f"the front at {self._url} does not answer ({type(error).__name__}); "
                "see: systemctl status springboard-front"
            ) from error
        if answer.status_code != 200:
            raise FrontAway(
                f"the front at {self._url} answers {answer.status_code} for /metrics; it must let this "
                "machine read them: springboard serve --metrics loopback"
            )
        return _parse(answer.text)

    def wait(self, seconds: float, patient: bool = False) -> Iterator[Sample]:
        """Yield its figures twice a second for at most `seconds`; `patient` bears with none until then."""
        end = time.monotonic() + seconds
        while True:
            try:
                yield self.read()
            except FrontAway:
                if not patient or time.monotonic() > end:
                    raise
            if time.monotonic() > end:
                return
            time.sleep(0.5)


def _parse(text: str) -> Sample:
    gauges: dict[str, float] = {}
    ready: dict[tuple[str, str], float] = {}
    counts: dict[tuple[str, str], Counts] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.labels.get("variant", ""), sample.labels.get("release", ""))
            match sample.name.removeprefix("springboard_"):
                case "attempts_total":
                    counts.setdefault(key, {})[sample.labels["outcome"]] = sample.value
                case "attempt_duration_seconds_bucket":
                    counts.setdefault(key, {})[f"le={sample.labels['le']}"] = sample.value
                case "score_points_count":
                    counts.setdefault(key, {})["scores"] = sample.value
                case "score_points_sum":
                    counts.setdefault(key, {})["points"] = sample.value
                case "workers_ready":
                    ready[key] = sample.value
                case name:
                    gauges[name] = sample.value
    return Sample(
        modified=gauges.get("endpoint_file_modified_seconds", 0.0),
        valid=bool(gauges.get("endpoint_file_valid", 0.0)),
        retired_in_flight=gauges.get("retired_in_flight", 0.0),
        ready=ready,
        counts=counts,
    )
