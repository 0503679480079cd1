"""GPU metrics through NVML, read when Prometheus asks. A machine without an NVIDIA driver simply has none."""

import logging
from collections.abc import Callable, Iterator

import pynvml
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

_SLOWED = {
    "power": pynvml.nvmlClocksThrottleReasonSwPowerCap | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    "heat": pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
    | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
    "hardware": pynvml.nvmlClocksThrottleReasonHwSlowdown,
}


class GpuCollector(Collector):
    """One gauge a quantity, labelled by the GPU's index, as nvidia-smi counts."""

    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
            self._count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            log.info("no GPU metrics: %s", error)
            self._count = 0

    def collect(self) -> Iterator[Metric]:
        """Yield every quantity that each GPU knows; NVML says of some that they are not supported."""
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
        lost = GaugeMetricFamily("springboard_gpu_lost", "1 while NVML cannot read the GPU.", labels=["gpu"])
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
        yield from (*gauges.values(), slowed, lost)


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
