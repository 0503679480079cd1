"""GPU metrics, with NVML's answers put in its place: no machine of the tests has a GPU."""

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from springboard.system.gpu import GpuCollector


def not_supported(*_: object) -> Any:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def next_event(events: list[int], milliseconds: int) -> Any:
    assert milliseconds == 0, "a scrape must not wait"
    if not events:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
    return SimpleNamespace(device=0, eventData=events.pop())


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=40),
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=3e9, total=16e9),
        "nvmlDeviceGetTemperature": lambda handle, sensor: 61,
        "nvmlDeviceGetPowerUsage": not_supported,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: (
            pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
        ),
        "nvmlEventSetCreate": lambda: [79],
        "nvmlDeviceRegisterEvents": lambda handle, kinds, events: None,
        "nvmlEventSetWait_v2": next_event,
        "nvmlDeviceGetIndex": lambda handle: handle,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)


def scrape() -> list[str]:
    registry = CollectorRegistry()
    registry.register(GpuCollector())
    return generate_latest(registry).decode().splitlines()


@pytest.mark.usefixtures("one_gpu")
def test_a_gpu_shows_what_it_supports_in_base_units() -> None:
    lines = scrape()
    assert 'springboard_gpu_utilization_ratio{gpu="0"} 0.4' in lines
    assert 'springboard_gpu_memory_total_bytes{gpu="0"} 1.6e+10' in lines
    assert 'springboard_gpu_temperature_celsius{gpu="0"} 61.0' in lines
    assert 'springboard_gpu_throttled{gpu="0",reason="heat"} 1.0' in lines
    assert 'springboard_gpu_throttled{gpu="0",reason="power"} 0.0' in lines
    assert 'springboard_gpu_lost{gpu="0"} 0.0' in lines
    assert not [line for line in lines if line.startswith("springboard_gpu_power_watts{")]


@pytest.mark.usefixtures("one_gpu")
def test_xid_errors_are_counted_once_and_the_last_is_named() -> None:
    registry = CollectorRegistry()
    registry.register(GpuCollector())
    for _ in range(2):
        lines = generate_latest(registry).decode().splitlines()
        assert 'springboard_gpu_xid_errors_total{gpu="0"} 1.0' in lines
        assert 'springboard_gpu_last_xid{gpu="0"} 79.0' in lines


@pytest.mark.usefixtures("one_gpu")
def test_a_gpu_without_events_has_its_other_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceRegisterEvents", not_supported)
    lines = scrape()
    assert 'springboard_gpu_utilization_ratio{gpu="0"} 0.4' in lines
    assert not [line for line in lines if "xid" in line]


@pytest.mark.usefixtures("one_gpu")
def test_a_gpu_that_is_lost_shows_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: int) -> Any:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lost)
    assert 'springboard_gpu_lost{gpu="0"} 1.0' in scrape()


@pytest.mark.usefixtures("one_gpu")
def test_the_xid_of_a_gpu_that_is_lost_is_counted_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: int) -> Any:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    def of_the_second(events: list[int], milliseconds: int) -> Any:
        event = next_event(events, milliseconds)
        event.device = 1
        return event

    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlEventSetWait_v2", of_the_second)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetIndex", lost)
    lines = scrape()
    assert 'springboard_gpu_xid_errors_total{gpu="0"} 0.0' in lines
    assert 'springboard_gpu_xid_errors_total{gpu="1"} 1.0' in lines
    assert 'springboard_gpu_last_xid{gpu="1"} 79.0' in lines


@pytest.mark.usefixtures("one_gpu")
def test_a_driver_that_comes_up_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    registry = CollectorRegistry()
    with monkeypatch.context() as later:
        later.setattr(pynvml, "nvmlInit", absent)
        registry.register(GpuCollector())
        assert generate_latest(registry) == b""
    lines = generate_latest(registry).decode().splitlines()
    assert 'springboard_gpu_utilization_ratio{gpu="0"} 0.4' in lines
    assert 'springboard_gpu_xid_errors_total{gpu="0"} 1.0' in lines


def test_a_machine_without_a_driver_has_no_gpu_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    assert scrape() == []
