"""Whether a second release fits beside the running one, in main memory and on every GPU."""

import re
from collections.abc import Iterable
from pathlib import Path

from springboard.deploy import units as services
from springboard.deploy.instances import Instance, InstanceError
from springboard.system import gpu
from springboard.system.gpu import GpuError

# While it loads, a worker takes more than it keeps (1.7 GB beside 1.3 GB were measured).
_LOADING = 1.3


def check(running: Instance, version: str, growth: float) -> None:
    """Raise `InstanceError` where a release that takes `growth` times as much does not fit beside it."""
    try:
        needs = _needs(services.processes(running.name))
    except GpuError as error:
        raise InstanceError(
            f"whether {version} fits beside {running.version} cannot be seen: {error}"
        ) from error
    for what, needed, free in needs:
        if needed * growth > free:
            raise InstanceError(
                f"the {what} does not hold two releases: {version} needs about {needed * growth / 1e6:,.0f} "
                f"MB beside {running.version}, and {free / 1e6:,.0f} MB are free. Take a larger host, or "
                "fewer workers (springboard_workers: 1), or have the old one stopped first with --in-place "
                "(model_release_in_place): requests wait meanwhile, and fail past their deadline"
            )


def holds(running: Iterable[list[int]], more: int) -> bool:
    """Whether `more` as large as the largest that runs would fit beside it; each is its processes.

    Raises `GpuError`.
    """
    largest = max(running, key=used, default=[])
    return not largest or all(needed * more <= free for _, needed, free in _needs(largest))


def _needs(processes: list[int]) -> list[tuple[str, float, float]]:
    """Return, of each memory: what it is, what another of these would take of it, and what is free."""
    main = ("memory", used(processes) * _LOADING, float(available()))
    of_gpus = gpu.memory(processes)
    return [main, *((f"memory of GPU {index}", *of_gpu) for index, of_gpu in enumerate(of_gpus))]


def used(processes: list[int]) -> int:
    """Return the bytes of main memory that these processes have."""
    return sum(_kilobytes(Path(f"/proc/{pid}/status"), "VmRSS") for pid in processes)


def available() -> int:
    """Return the bytes of main memory that can still be had without swapping."""
    return _kilobytes(Path("/proc/meminfo"), "MemAvailable")


def _kilobytes(path: Path, field: str) -> int:
    try:
        found = re.search(rf"{field}:\s+(\d+) kB", path.read_text())
    except OSError:  # the process has ended
        return 0
    return int(found[1]) * 1024 if found else 0
