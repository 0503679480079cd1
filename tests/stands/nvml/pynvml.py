"""A stand-in for NVML: no machine of the tests has a GPU. On PYTHONPATH it takes pynvml's place in the front.

One GPU, index 0, whose figures move a little with time, so that graphs show something. The file
named by SPRINGBOARD_STAND_IN_XIDS may list Xid errors to come, one a line. After a 79 the GPU has no index.
"""

# ruff: noqa: N801, N802, N816 - names as in pynvml

import math
import os
import time
from types import SimpleNamespace

NVML_TEMPERATURE_GPU = 0
nvmlEventTypeXidCriticalError = 8
nvmlClocksThrottleReasonSwPowerCap = 0x04
nvmlClocksThrottleReasonHwSlowdown = 0x08
nvmlClocksThrottleReasonSwThermalSlowdown = 0x20
nvmlClocksThrottleReasonHwThermalSlowdown = 0x40
nvmlClocksThrottleReasonHwPowerBrakeSlowdown = 0x80

_xids_told = 0
_lost = False


class NVMLError(Exception):
    """As NVML's."""


class NVMLError_NotSupported(NVMLError):
    """As NVML's."""


class NVMLError_GpuIsLost(NVMLError):
    """As NVML's."""


class NVMLError_Timeout(NVMLError):
    """As NVML's."""


def _wave() -> float:
    return (math.sin(time.time() / 10) + 1) / 2


def nvmlInit() -> None:
    pass


def nvmlDeviceGetCount() -> int:
    return 1


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    return index


def nvmlDeviceGetIndex(handle: int) -> int:
    if _lost:
        raise NVMLError_GpuIsLost
    return handle


def nvmlDeviceGetUtilizationRates(handle: int) -> SimpleNamespace:
    return SimpleNamespace(gpu=round(40 + 50 * _wave()))


def nvmlDeviceGetMemoryInfo(handle: int) -> SimpleNamespace:
    return SimpleNamespace(used=int(5e9 + 2e9 * _wave()), total=int(24e9))


def nvmlDeviceGetTemperature(handle: int, sensor: int) -> int:
    return round(58 + 10 * _wave())


def nvmlDeviceGetPowerUsage(handle: int) -> int:
    return round(90_000 + 60_000 * _wave())


def nvmlDeviceGetCurrentClocksThrottleReasons(handle: int) -> int:
    return nvmlClocksThrottleReasonSwPowerCap if _wave() > 0.5 else 0


def nvmlEventSetCreate() -> str:
    return "events"


def nvmlDeviceRegisterEvents(handle: int, kinds: int, events: str) -> None:
    pass


def nvmlEventSetWait_v2(events: str, milliseconds: int) -> SimpleNamespace:
    global _xids_told, _lost
    with open(os.environ["SPRINGBOARD_STAND_IN_XIDS"]) as file:
        codes = file.read().split()
    if _xids_told == len(codes):
        raise NVMLError_Timeout
    _xids_told += 1
    _lost = _lost or codes[_xids_told - 1] == "79"
    return SimpleNamespace(device=0, eventData=int(codes[_xids_told - 1]))
