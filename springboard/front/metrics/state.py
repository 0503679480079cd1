"""Gauges of the front's state: read when Prometheus asks, so that nothing stale can stay behind."""

import time
from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from springboard.front.intake.admission import Admission
from springboard.front.metrics import names
from springboard.front.scheduling.overload import expected_wait
from springboard.front.scheduling.queue import Queue
from springboard.front.truth.ledger import Ledger


class State(Protocol):
    """What gauges show."""

    queue: Queue
    admission: Admission
    draining: bool
    truth: Ledger

    @property
    def name(self) -> str:
        """The endpoint's name."""


class StateCollector(Collector):
    """Prometheus' way of asking."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge as it is now."""
        now = time.monotonic()  # the event loop's clock, read on another thread
        state, queue, admission = self._state, self._state.queue, self._state.admission
        for declared, value in (
            (names.READY, queue.serving and not state.draining),
            (names.DRAINING, state.draining),
            (names.IN_FLIGHT, queue.busy),
            (names.RETIRED_IN_FLIGHT, queue.retired_busy),
            (names.QUEUED, len(queue)),
            (names.QUEUE_OLDEST, queue.oldest(now)),
            (names.HELD_REQUESTS, admission.requests),
            (names.HELD_BYTES, admission.bytes),
            (names.HELD_REQUESTS_LIMIT, admission.limits.queue_requests),
            (names.HELD_BYTES_LIMIT, admission.limits.queue_bytes),
        ):
            yield declared.family(float(value))
        yield from self._lanes(now)
        yield from self._live()

    def _lanes(self, now: float) -> Iterator[Metric]:
        ready, total = names.WORKERS_READY.family(), names.WORKERS.family()
        wait = names.EXPECTED_WAIT.family()
        weight, info = names.WEIGHT.family(), names.INFO.family()
        mean, sd, error = (
            one.family() for one in (names.REFERENCE_MEAN, names.REFERENCE_SD, names.REFERENCE_ERROR)
        )
        for lane in self._state.queue.all_lanes:
            labels = (lane.name, lane.served.release)
            if reference := lane.served.reference:
                mean.add_metric(labels, reference.mean)
                sd.add_metric(labels, reference.sd)
                if reference.error is not None:
                    error.add_metric(labels, reference.error)
            ready.add_metric(labels, len(lane.workers.ready))
            total.add_metric(labels, lane.workers.total)
            wait.add_metric(labels, expected_wait(lane.line, [lane], now))
            weight.add_metric(labels, lane.weight)
            info.add_metric((self._state.name, *labels, lane.served.sha256), 1)
        yield from (ready, total, wait, weight, info, mean, sd, error)

    def _live(self) -> Iterator[Metric]:
        """Yield how far the releases that serve are off from judges' scores."""
        count, error = names.LIVE_TRUTHS.family(), names.LIVE_ERROR.family()
        correlation = names.LIVE_CORRELATION.family()
        for lane in self._state.queue.all_lanes:
            labels = (lane.name, lane.served.release)
            if (live := self._state.truth.figures.get(lane.served.release)) is None:
                continue
            count.add_metric(labels, live.count)
            error.add_metric(labels, live.error)
            if live.correlation is not None:
                correlation.add_metric(labels, live.correlation)
        yield from (count, error, correlation)
