"""GPUs that do not answer: scrapes and commands go on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from springboard.system import gpu
from springboard.system.gpu import GpuError
from springboard.system.gpu_watch import STALE_SECONDS, GpuWatch
from tests.stands.waiting import wait_until


class Gpus(Collector):
    """Two GPUs that answer until `hang`."""

    def __init__(self) -> None:
        self._answering = threading.Event()
        self._hanging = threading.Event()
        self._answering.set()

    def hang(self) -> None:
        self._answering.clear()
        assert self._hanging.wait(60)

    def recover(self) -> None:
        self._answering.set()

    def collect(self) -> Iterator[Metric]:
        if not self._answering.is_set():
            self._hanging.set()
            self._answering.wait()
        for name in ("springboard_gpu_power_watts", "springboard_gpu_lost"):
            metric = GaugeMetricFamily(name, "x", labels=["gpu"])
            for index in "01":
                metric.add_metric([index], 0)
            yield metric
        xids = CounterMetricFamily("springboard_gpu_xid_errors", "x", labels=["gpu"])
        xids.add_metric(["0"], 7)
        yield xids


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def gpus() -> Iterator[Gpus]:
    found = Gpus()
    yield found
    found.recover()  # its thread ends


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def watched(make: Callable[[], Collector], clock: Clock) -> Iterator[Callable[[], list[str]]]:
    """What a scrape shows, without what is said about it."""
    registry, watch = CollectorRegistry(), GpuWatch(make, clock, period_s=0.001)
    registry.register(watch)
    with watch:
        yield lambda: [
            line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")
        ]


def test_scrapes_show_what_was_read_last_with_its_age(gpus: Gpus, clock: Clock) -> None:
    with watched(lambda: gpus, clock) as page:
        wait_until(lambda: bool(page()), "the first figures")
        gpus.hang()
        clock.now += STALE_SECONDS - 1
        lines = page()
    assert 'springboard_gpu_lost{gpu="0"} 0.0' in lines
    assert 'springboard_gpu_power_watts{gpu="1"} 0.0' in lines
    assert f"springboard_gpu_read_age_seconds {STALE_SECONDS - 1}" in lines


def test_gpus_that_do_not_answer_are_lost_and_come_back(
    gpus: Gpus, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with watched(lambda: gpus, clock) as page:
        wait_until(lambda: bool(page()), "the first figures")
        gpus.hang()
        clock.now += STALE_SECONDS
        lines = page()
        assert page() == lines
        assert {f'springboard_gpu_lost{{gpu="{index}"}} 1.0' for index in "01"} <= set(lines)
        assert 'springboard_gpu_xid_errors_total{gpu="0"} 7.0' in lines
        assert not [line for line in lines if "power" in line], "old figures are not the present's"
        assert [record.getMessage() for record in caplog.records] == [
            "no GPU has answered for 10 s: one of them or its driver is stuck"
        ]
        gpus.recover()
        wait_until(lambda: 'springboard_gpu_lost{gpu="0"} 0.0' in page(), "the GPUs to be back")


def test_a_driver_that_hangs_from_the_start_shows_as_lost_too(gpus: Gpus, clock: Clock) -> None:
    asked, answering = threading.Event(), threading.Event()

    def make() -> Gpus:
        asked.set()
        answering.wait()
        return gpus

    with watched(make, clock) as page:
        assert asked.wait(60)
        assert page() == []
        clock.now += STALE_SECONDS
        assert [line for line in page() if line.startswith("springboard_gpu_lost") and line.endswith(" 1.0")]
        answering.set()


def test_a_machine_without_gpus_has_no_metrics_of_them(clock: Clock) -> None:
    asked = threading.Event()

    class NoGpus(Collector):
        def collect(self) -> Iterator[Metric]:
            asked.set()
            return iter(())

    with watched(NoGpus, clock) as page:
        assert asked.wait(60)
        clock.now += STALE_SECONDS
        wait_until(lambda: page() == [], "the next round")


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise pynvml.NVMLError(code)

    return fail


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    answers: dict[str, Callable[..., Any]] = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetComputeRunningProcesses": lambda _: [SimpleNamespace(pid=7, usedGpuMemory=5)],
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(free=9),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    return monkeypatch


def test_the_memory_of_every_gpu_is_told(nvml: pytest.MonkeyPatch) -> None:
    assert gpu.memory([7]) == [(5, 9), (5, 9)]
    nvml.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", failing(pynvml.NVML_ERROR_NOT_SUPPORTED))
    assert gpu.memory([7]) == [(0, 0), (0, 0)]


def test_a_lost_gpu_is_named(nvml: pytest.MonkeyPatch) -> None:
    nvml.setattr(pynvml, "nvmlDeviceGetMemoryInfo", failing(pynvml.NVML_ERROR_GPU_IS_LOST))
    with pytest.raises(GpuError, match=r"GPU 0 cannot be read: .*; see nvidia-smi"):
        gpu.memory([7])


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED])
def test_without_a_driver_there_are_no_gpus(nvml: pytest.MonkeyPatch, code: int) -> None:
    nvml.setattr(pynvml, "nvmlInit", failing(code))
    assert (gpu.count(), gpu.memory([7])) == (0, [])


def test_a_driver_that_fails_is_not_taken_for_none(nvml: pytest.MonkeyPatch) -> None:
    """Otherwise a host would get its workers anew as one without a GPU."""
    nvml.setattr(pynvml, "nvmlDeviceGetCount", failing(pynvml.NVML_ERROR_UNKNOWN))
    with pytest.raises(GpuError, match="cannot be counted"):
        gpu.count()


def test_a_gpu_that_hangs_ends_a_command_with_the_reason(nvml: pytest.MonkeyPatch) -> None:
    answering = threading.Event()
    nvml.setattr(pynvml, "nvmlInit", answering.wait)
    nvml.setattr(gpu, "_ANSWER_SECONDS", 0.01)
    with pytest.raises(GpuError, match="no GPU has answered"):
        gpu.count()
    answering.set()
