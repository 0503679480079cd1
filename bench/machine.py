"""What a figure was measured on, and what a group of processes has taken of it."""

import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil


def described() -> dict[str, Any]:
    """Return the processor, what of it we may use, the memory, and how busy it was."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    return {
        "processor": next((line.split(": ")[1] for line in lines if line.startswith("model name")), ""),
        "has": [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory.split()[1]) // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def group_of(pid: int) -> list[psutil.Process]:
    """Return a process and all below it."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def used(pid: int) -> dict[str, float]:
    """Return CPU seconds and resident MiB of a process and all below it; of the dead, no more."""
    seconds = memory = 0.0
    for one in group_of(pid):
        with suppress(psutil.NoSuchProcess):
            spent = one.cpu_times()
            seconds += spent.user + spent.system
            memory += one.memory_info().rss / 2**20
    return {"cpu_s": seconds, "memory_mib": memory}
