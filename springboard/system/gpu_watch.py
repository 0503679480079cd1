"""GPU metrics that wait for no GPU.

One that fell off the bus may keep whoever asks NVML for ever, and that is when its metrics are needed most.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from springboard.system.gpu import GpuCollector, lost_family

log = logging.getLogger("springboard.gpu")

_PERIOD_SECONDS = 2.0
# Figures older than this are not told as the present's: the GPUs count as lost.
STALE_SECONDS = 10.0
_DEVICES = Path("/dev")


class GpuWatch(Collector):
    """What NVML said last: one thread asks it again and again, a scrape only reads.

    A context manager: the thread runs within. Before its first answer there are no figures.
    """

    def __init__(
        self,
        collector: Callable[[], Collector] = GpuCollector,
        clock: Callable[[], float] = time.monotonic,
        period_s: float = _PERIOD_SECONDS,
    ) -> None:
        """`collector` makes what asks the GPUs; it is made and asked in the thread, as both may hang."""
        self._make = collector
        self._clock = clock
        self._period_s = period_s
        self._stopped = threading.Event()
        self._running = False
        # When it was, and what; swapped whole.
        self._last: tuple[float, tuple[Metric, ...] | None] = (clock(), None)
        self._stale = False

    def __enter__(self) -> Self:
        self._last, self._running = (self._clock(), None), True
        # A daemon: one that hangs must not keep the process from its end, and cannot be joined either.
        threading.Thread(target=self._watch, name="nvml", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        self._stopped.set()

    def _watch(self) -> None:
        collector = self._make()
        while not self._stopped.is_set():
            self._last = (self._clock(), tuple(collector.collect()))
            self._stopped.wait(self._period_s)

    def collect(self) -> Iterator[Metric]:
        """Yield the last figures and their age; of those too old only what is lost, and what was counted."""
        at, metrics = self._last
        age = self._clock() - at
        if not self._running or metrics == () or (metrics is None and age < STALE_SECONDS):
            return
        stale = age >= STALE_SECONDS
        if stale and not self._stale:
            log.error("no GPU has answered for %.0f s: one of them or its driver is stuck", age)
        self._stale = stale
        yield GaugeMetricFamily(
            "springboard_gpu_read_age_seconds", "How old the GPUs' figures are.", value=max(age, 0.0)
        )
        for metric in metrics or ():
            if not stale or metric.type == "counter":
                yield metric
        if stale:
            lost = lost_family()
            for gpu in _gpus(metrics or ()):
                lost.add_metric([gpu], 1)
            yield lost


def _gpus(metrics: tuple[Metric, ...]) -> list[str]:
    """Return the GPUs that were known, or those that the driver made files for; asking it would hang."""
    known = sorted({sample.labels["gpu"] for metric in metrics for sample in metric.samples})
    made = sorted(path.name.removeprefix("nvidia") for path in _DEVICES.glob("nvidia[0-9]*"))
    return known or made or ["0"]
