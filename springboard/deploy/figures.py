"""The front's own figures, as a deployment reads them from its /metrics."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import exp, inf, log, sqrt

import httpx

from springboard.torchserve import transport

_TIMEOUT_SECONDS = 10.0


class FrontAway(Exception):
    """The front does not answer, or not as it should; the message says what to look at."""


# Counters of one variant by what they count: an outcome ("scored", "worker_died"...), "points", "squares", or
# a bucket of times, "attempt=0.5", "clip=0.1".
Counts = dict[str, float]

_FIRST = "springboard_first_attempt"
# How a series is called here, and which of its labels comes after that.
_COUNTED = {
    f"{_FIRST}s_total": ("", "outcome"),
    f"{_FIRST}_duration_seconds_bucket": ("attempt=", "le"),
    f"{_FIRST}_clip_seconds_bucket": ("clip=", "le"),
    f"{_FIRST}_points_total": ("points", ""),
    f"{_FIRST}_square_points_total": ("squares", ""),
    "springboard_truths_matched_total": ("truths", ""),
    "springboard_truth_error_points_total": ("off", ""),
    "springboard_truth_square_error_points_total": ("off_squares", ""),
}
_READY = "springboard_workers_ready"
_MODIFIED, _VALID = "springboard_endpoint_file_modified_seconds", "springboard_endpoint_file_valid"
_RETIRED = "springboard_retired_in_flight"
# Every series of the front that a deployment reads.
READ = (*_COUNTED, _READY, _MODIFIED, _VALID, _RETIRED)
# Of those only: a parser of everything takes 20 times as long, each second. Names, releases and outcomes hold
# nothing that is escaped.
_LINE = re.compile(rf"(?P<name>{'|'.join(READ)})({{(?P<labels>.*)}})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Sample:
    """The front at one moment; variants are by name and release."""

    modified: float
    valid: bool
    retired_in_flight: float
    ready: dict[tuple[str, str], float]
    counts: dict[tuple[str, str], Counts]


@dataclass
class Times:
    """A histogram: cumulative counts by upper bound in seconds."""

    buckets: dict[float, float] = field(default_factory=dict)

    @property
    def counts(self) -> list[float]:
        """How many are in each bucket, from the shortest on."""
        cumulative = [count for _, count in sorted(self.buckets.items())]
        return [count - before for before, count in pairwise([0.0, *cumulative])]

    def quantile(self, share: float) -> float:
        """Seconds, interpolated within its bucket as Prometheus' histogram_quantile does; 0 of none."""
        below, bound_below = 0.0, 0.0
        rank = share * max(self.buckets.values(), default=0.0)
        for bound, count in sorted(self.buckets.items()):
            if count >= rank and count > below:
                if bound == inf:
                    return bound_below
                return bound_below + (bound - bound_below) * (rank - below) / (count - below)
            below, bound_below = count, bound
        return 0.0

    @property
    def typical(self) -> float:
        """The geometric mean in seconds, of buckets' geometric middles; 0 of none."""
        bounds = [bound for bound in sorted(self.buckets) if bound < inf]
        middles = (
            [bounds[0], *(sqrt(low * high) for low, high in pairwise(bounds)), bounds[-1]] if bounds else []
        )
        counted = list(zip(self.counts, middles, strict=False))
        total = sum(count for count, _ in counted)
        return exp(sum(count * log(middle) for count, middle in counted) / total) if total else 0.0

    def above(self, seconds: float) -> float:
        """How many took longer than the first bound that is not below `seconds`."""
        under = min((bound for bound in self.buckets if bound >= seconds), default=inf)
        return max(self.buckets.values(), default=0.0) - self.buckets.get(under, 0.0)


@dataclass
class Side:
    """What one variant did with the videos it got first, by chance, in a span of time.

    `scored` and `unscored` count answers; `alike` those that failed at another release too; `repeated`
    failures of a video that had failed here before, or in one outage; `failures` all others, by kind. Of
    those scored: `durations` of attempts, `clip_times` of an attempt by its clips, the sum of `points` and of
    their `squares`. `truths` came of its answers: sums of their absolute errors `off`, and of the squares.
    """

    scored: float = 0
    unscored: float = 0
    alike: float = 0
    repeated: float = 0
    failures: dict[str, float] = field(default_factory=dict)
    points: float = 0
    squares: float = 0
    truths: float = 0
    off: float = 0
    off_squares: float = 0
    durations: Times = field(default_factory=Times)
    clip_times: Times = field(default_factory=Times)

    @property
    def answered(self) -> float:
        """Attempts that got an answer of the model."""
        return self.scored + self.unscored

    @property
    def failed(self) -> float:
        """Attempts that got none, and through no fault of the video."""
        return sum(self.failures.values())

    @property
    def attempts(self) -> float:
        """Facts: each poisoned video is one."""
        return self.answered + self.failed + self.alike

    @property
    def tries(self) -> float:
        """All that it got by chance: its share of them is the share of equal releases' failures."""
        return self.attempts + self.repeated

    @property
    def error_ratio(self) -> float:
        """Failed attempts by attempts."""
        return _ratio(self.failed, self.attempts)

    @property
    def unscored_ratio(self) -> float:
        """Answers that are no score (refusals) by answers."""
        return _ratio(self.unscored, self.answered)

    @property
    def mean_score(self) -> float:
        """Points."""
        return _ratio(self.points, self.scored)

    @property
    def score_variance(self) -> float:
        """Of one score, in square points, unbiased; 0 of fewer than two."""
        return _variance(self.scored, self.mean_score, self.squares)

    @property
    def mean_off(self) -> float:
        """Mean absolute error in points, of the answers that judges' scores came of."""
        return _ratio(self.off, self.truths)

    @property
    def off_variance(self) -> float:
        """Of one absolute error, in square points, unbiased; 0 of fewer than two."""
        return _variance(self.truths, self.mean_off, self.off_squares)

    @property
    def p95(self) -> float:
        """Of an attempt, in seconds."""
        return self.durations.quantile(0.95)


def _variance(count: float, mean: float, squares: float) -> float:
    """Return that of one value, unbiased, from the sum of the squares; 0 of fewer than two."""
    return max(squares - count * mean**2, 0.0) / (count - 1) if count > 1 else 0.0


def _ratio(part: float, of: float) -> float:
    return part / of if of else 0.0


class Window:
    """Two variants' counters from its beginning on; a front that restarts counts from 0 again."""

    def __init__(self, canary: tuple[str, str], baseline: tuple[str, str], first: Sample) -> None:
        self._keys = (canary, baseline)
        self._last = first
        self._sums: tuple[Counts, Counts] = ({}, {})
        self._bounds = self._bounds_of(first)

    def _bounds_of(self, sample: Sample) -> set[str]:
        return {name for key in self._keys for name in sample.counts.get(key, {}) if "=" in name}

    def add(self, sample: Sample) -> None:
        """Add what happened since the last sample.

        Times by other buckets, of a front of another version, cannot be added: they begin anew.
        """
        bounds = self._bounds_of(sample)
        if bounds and self._bounds and bounds != self._bounds:
            for sums in self._sums:
                for name in self._bounds & sums.keys():
                    del sums[name]
        self._bounds = bounds or self._bounds
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


# Counts that are a side's fields, by their names.
_FIELDS = (
    *("scored", "unscored", "alike", "repeated"),
    *("points", "squares", "truths", "off", "off_squares"),
)


def _side(sums: Counts) -> Side:
    side = Side()
    for name in _FIELDS:
        setattr(side, name, sums.get(name, 0.0))
    for name, value in sums.items():
        kind, _, bound = name.partition("=")
        if bound:
            (side.durations if kind == "attempt" else side.clip_times).buckets[float(bound)] = value
        elif name not in _FIELDS and value:
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
            answer = transport.request("GET", f"{self._url}/metrics", timeout=_TIMEOUT_SECONDS)
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
        return parse(answer.text)

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


def parse(text: str) -> Sample:
    """Read the front's metrics, in Prometheus' text format."""
    gauges: dict[str, float] = {}
    ready: dict[tuple[str, str], float] = {}
    counts: dict[tuple[str, str], Counts] = {}
    for line in filter(None, map(_LINE.fullmatch, text.splitlines())):
        name, labels, value = line["name"], dict(_LABEL.findall(line["labels"] or "")), float(line["value"])
        key = (labels.get("variant", ""), labels.get("release", ""))
        if name in _COUNTED:
            prefix, label = _COUNTED[name]
            counts.setdefault(key, {})[prefix + labels.get(label, "")] = value
        elif name == _READY:
            ready[key] = value
        else:
            gauges[name] = value
    return Sample(
        modified=gauges.get(_MODIFIED, 0.0),
        valid=bool(gauges.get(_VALID, 0.0)),
        retired_in_flight=gauges.get(_RETIRED, 0.0),
        ready=ready,
        counts=counts,
    )
