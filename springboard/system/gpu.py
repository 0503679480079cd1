"""GPUs through NVML. A machine without an NVIDIA driver simply has none."""

import ctypes
import logging
import queue
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pynvml
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger("springboard.gpu")

T = TypeVar("T")
# NVML takes some seconds to initialise eight GPUs that nobody uses.
_ANSWER_SECONDS = 30.0

_SLOWED = {
    "power": pynvml.nvmlClocksThrottleReasonSwPowerCap | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    "heat": pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
    | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
    "hardware": pynvml.nvmlClocksThrottleReasonHwSlowdown,
}


class GpuCollector(Collector):
    """One gauge a quantity, labelled by the GPU's index, as nvidia-smi counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._xids = _Xids(())
        try:
            self._look()
        except pynvml.NVMLError as error:
            log.info("no GPU metrics: %s", error)

    def _look(self) -> None:
        pynvml.nvmlInit()
        self._count = pynvml.nvmlDeviceGetCount()
        self._xids = _Xids(range(self._count))

    def collect(self) -> Iterator[Metric]:
        """Yield every quantity that each GPU knows; NVML says of some that they are not supported."""
        with self._lock, suppress(pynvml.NVMLError):
            if not self._count:  # its driver may only have come up since
                self._look()
        if not self._count:
            return
        gauges = {
            name: GaugeMetricFamily(f"springboard_gpu_{name}", text, labels=["gpu"])
            for name, text in (
                ("utilization_ratio", "Share of the last sample period in which kernels ran."),
                ("memory_used_bytes", "Memory in use."),
                ("memory_total_bytes", "Memory built in."),
                ("temperature_celsius", "Core temperature."),
                ("power_watts", "Power drawn."),
            )
        }
        slowed = GaugeMetricFamily(
            "springboard_gpu_throttled",
            "1 while clocks are held down for this reason.",
            labels=["gpu", "reason"],
        )
        lost = lost_family()
        for index in range(self._count):
            gpu = str(index)
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                for name, value in _read(handle):
                    gauges[name].add_metric([gpu], value)
                for reason, value in _throttled(handle):
                    slowed.add_metric([gpu, reason], value)
                lost.add_metric([gpu], 0)
            except pynvml.NVMLError as error:  # it fell off the bus, say: the other metrics must still come
                log.warning("GPU %s cannot be read: %s", gpu, error)
                lost.add_metric([gpu], 1)
        yield from (*gauges.values(), slowed, lost, *self._xids.collect())


def lost_family() -> GaugeMetricFamily:
    """Return the metric that tells which GPUs cannot be read, without samples."""
    return GaugeMetricFamily("springboard_gpu_lost", "1 while NVML cannot read the GPU.", labels=["gpu"])


class _Xids:
    """Counts Xid errors, the driver's word for trouble with a GPU (also in the kernel's log: NVRM: Xid).

    NVML queues them for whoever registered, so asking at each scrape loses none; of several since the last
    time it tells only the last one's code.
    """

    def __init__(self, gpus: Sequence[int]) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._handles: dict[int | None, int] = {}
        try:
            self._events = pynvml.nvmlEventSetCreate() if gpus else None
            for gpu in gpus:
                handle = pynvml.nvmlDeviceGetHandleByIndex(gpu)
                pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, self._events)
                self._counts[gpu] = self._last[gpu] = 0
                self._handles[_address(handle)] = gpu
        except pynvml.NVMLError as error:  # MIG's slices and some virtual GPUs have none
            log.info("no Xid metrics: %s", error)

    def collect(self) -> Iterator[Metric]:
        if not self._counts:
            return
        with self._lock:
            self._drain()
        total = CounterMetricFamily("springboard_gpu_xid_errors", "Xid errors seen.", labels=["gpu"])
        last = GaugeMetricFamily(
            "springboard_gpu_last_xid", "Code of the last Xid error, 0 before any.", labels=["gpu"]
        )
        for gpu, count in self._counts.items():
            total.add_metric([str(gpu)], count)
            last.add_metric([str(gpu)], self._last[gpu])
        yield from (total, last)

    def _drain(self) -> None:
        try:
            while True:
                event = pynvml.nvmlEventSetWait_v2(self._events, 0)
                gpu = self._gpu_of(event.device)
                self._counts[gpu] += 1
                self._last[gpu] = event.eventData
        except pynvml.NVMLError_Timeout:
            return
        except pynvml.NVMLError as error:
            log.warning("Xid events cannot be read: %s", error)

    def _gpu_of(self, handle: object) -> int:
        """Return the GPU's index, also of one that is lost: the event that says so must not get lost too."""
        try:
            return int(pynvml.nvmlDeviceGetIndex(handle))
        except pynvml.NVMLError:
            return self._handles.get(_address(handle), next(iter(self._counts)))


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value


def _throttled(handle: object) -> Iterator[tuple[str, float]]:
    try:
        reasons = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    except pynvml.NVMLError_NotSupported:
        return
    for reason, mask in _SLOWED.items():
        yield reason, float(bool(reasons & mask))


def _read(handle: object) -> Iterator[tuple[str, float]]:
    readers: dict[str, Callable[[], float]] = {
        "utilization_ratio": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
        "memory_used_bytes": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used,
        "memory_total_bytes": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).total,
        "temperature_celsius": lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        "power_watts": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
    }
    for name, read in readers.items():
        try:
            yield name, float(read())
        except pynvml.NVMLError_NotSupported:
            continue


class GpuError(Exception):
    """The GPUs cannot be read; the message says which, why, and where to look."""


def count() -> int:
    """Return how many GPUs there are, 0 without a driver. Raises `GpuError` where one is there and fails."""
    return _within(_ANSWER_SECONDS, _count)


def memory(processes: Collection[int]) -> list[tuple[int, int]]:
    """Return for each GPU the bytes that these processes have of it, and those that are free.

    Both are 0 for one that does not tell (MIG's slices, some virtual GPUs). Raises `GpuError`.
    """
    return _within(_ANSWER_SECONDS, lambda: _memory(processes))


def _count() -> int:
    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return 0
    except pynvml.NVMLError as error:
        raise GpuError(f"the GPUs cannot be counted: {error}; see nvidia-smi") from error


def _memory(processes: Collection[int]) -> list[tuple[int, int]]:
    found = []
    for index in range(_count()):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            used = sum(
                process.usedGpuMemory or 0
                for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
                if process.pid in processes
            )
            found.append((used, int(pynvml.nvmlDeviceGetMemoryInfo(handle).free)))
        except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_NoPermission):
            found.append((0, 0))
        except pynvml.NVMLError as error:
            raise GpuError(f"GPU {index} cannot be read: {error}; see nvidia-smi") from error
    return found


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """Return what `ask` returns; raise `GpuError` where a GPU keeps it waiting, for ever perhaps."""
    answers: queue.SimpleQueue[T | GpuError] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put(ask())
        except GpuError as error:
            answers.put(error)

    # A daemon, because one that hangs can be neither cancelled nor waited for.
    threading.Thread(target=answer, name="nvml", daemon=True).start()
    try:
        answered = answers.get(timeout=seconds)
    except queue.Empty:
        raise GpuError(
            f"no GPU has answered for {seconds:g} s: one of them or its driver is stuck; see "
            "dmesg | grep -i -e xid -e nvrm, and reboot"
        ) from None
    if isinstance(answered, GpuError):
        raise answered
    return answered
