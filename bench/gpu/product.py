"""Stages of the GPU check about the whole server: load, memory, a killed worker, a GPU without memory."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench import machine
from bench.archives import with_config
from bench.contenders import Contender, running
from bench.gpu.room import (
    ARCHIVE,
    OUT,
    QUICK,
    WORK,
    Found,
    attempt,
    clip,
    device,
    keep,
    read,
    seconds_left,
    show,
)
from bench.load import drive
from springboard.system.gpu import GpuCollector
from springboard.system.ports import free_ports

CLIENTS = (1, 2) if QUICK else (1, 2, 4, 8, 16, 32)
_SECONDS = 2.0 if QUICK else 3.5
_COLUMNS = (
    "clip, clients, dives/s, p50 s, p99 s, failed, decode ms, gate ms, score ms, GPU use, GPU MB, CPU cores"
)
# A neighbour that takes all but so many MB of the GPU; without one it only answers.
_NEIGHBOUR = """
import sys, torch
held = None
for line in sys.stdin:
    held, wanted, take = None, float(line) * 1e6, torch.cuda.mem_get_info
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        if wanted >= 0:
            held = torch.empty(max(0, int(take()[0] - wanted)), dtype=torch.uint8, device="cuda")
    print(torch.cuda.mem_get_info()[0] / 1e6 if torch.cuda.is_available() else 0, flush=True)
"""


class Server:
    """A running `springboard serve`."""

    def __init__(self, pid: int, port: int, start: float) -> None:
        self.pid, self.start = pid, start
        self.address = f"http://127.0.0.1:{port}"
        self.url = f"{self.address}/invocations"

    def workers(self) -> list[int]:
        """Return the processes that hold the model."""
        found = []
        for one in machine.group_of(self.pid):
            try:
                if any("model_service_worker" in part for part in one.cmdline()):
                    found.append(one.pid)
            except psutil.Error:
                continue
        return found

    def ping(self) -> int | None:
        """Return /ping's status, None where nobody answers."""
        try:
            return httpx.get(f"{self.address}/ping", timeout=2, trust_env=False).status_code
        except httpx.HTTPError:
            return None

    def score(self, name: str) -> Found:
        """Score a clip once."""
        said = drive(self.url, clip(name), 1, 1)
        return {
            "score": min(said.scores, default=None),
            "s": min(said.spent, default=None),
            "failed": said.failed,
        }


@contextmanager
def serving(archive: Path, name: str) -> Iterator[Server]:
    """Start the server as a person does; yields it once it is ready. Its log goes beside the figures."""
    (port,) = free_ports(1)
    temporary = WORK / "tmp"
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "springboard", "serve", "--archive", str(archive), "--port", str(port)]
    environment = os.environ | {"TMPDIR": str(temporary), "SPRINGBOARD_CACHE": str(WORK / "cache")}
    server = Contender(f"gpu-{name}", (*command, "--drain-seconds", "0"))
    with running(server, port, environment) as (pid, start):
        yield Server(pid, port, start)
        with (OUT / "server.log").open("a") as log:
            for said in temporary.glob("springboard-torchserve-*/torchserve.log"):
                lines = said.read_text(errors="replace").splitlines()
                log.write("\n".join([f"=== {name}", *lines[:200], "...", *lines[-200:], ""]))


class Sampler(threading.Thread):
    """The GPU's use and memory, as the front's metrics tell them, five times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._done, self._seen = threading.Event(), list[tuple[float, float]]()

    def run(self) -> None:
        """Sample until `end`."""
        collector = GpuCollector()
        while not self._done.wait(0.2):
            read = {
                one.name: s.value
                for one in collector.collect()
                for s in one.samples
                if s.labels.get("gpu") == "0"
            }
            if "springboard_gpu_utilization_ratio" in read:
                used = read.get("springboard_gpu_memory_used_bytes", 0)
                self._seen.append((read["springboard_gpu_utilization_ratio"], used / 1e6))

    def end(self) -> tuple[float | None, float | None]:
        """Return the mean use and the most memory in MB."""
        self._done.set()
        self.join()
        if not self._seen:
            return None, None
        return sum(use for use, _ in self._seen) / len(self._seen), max(used for _, used in self._seen)


def sweep(server: Server, plan: Sequence[tuple[str, int]], found: Found) -> None:
    """Load the server with clips by so many clients each, as far as time goes; prints a table."""
    rows = []
    for name, clients in plan:
        if seconds_left() < _SECONDS + 8:
            print(f"  (out of time before {name} of {clients} clients)")
            break
        sampler, before = Sampler(), machine.used(server.pid)["cpu_s"]
        sampler.start()
        load = drive(server.url, clip(name), clients, seconds=_SECONDS)
        use, memory = sampler.end()
        cores = (machine.used(server.pid)["cpu_s"] - before) / load.seconds
        said = load.figures()
        found[f"{name} x{clients}"] = said | {"gpu_use": use, "gpu_mb": memory, "cpu_cores": cores}
        stages = [said["stages_ms"].get(stage) for stage in ("decode", "gate", "score")]
        failed = sum(load.failed.values())
        rows.append(
            [
                name,
                clients,
                said["rate_per_s"],
                said.get("p50_s"),
                said.get("p99_s"),
                failed,
                *stages,
                use,
                memory,
                cores,
            ]
        )
    show(_COLUMNS, rows)


def http() -> None:
    """Measure the server as it ships: cold start, load, metrics, then a worker killed under load."""
    found = Found()
    with serving(ARCHIVE, "http") as server:
        found["ready_s"] = server.start
        found["first"], found["second"] = server.score("dive"), server.score("dive")
        found["off_golden"] = abs((found["second"]["score"] or 0) - read("checkpoint")["golden"]["score"])
        print(
            f"  ready after {server.start:.1f} s; {found['first']},"
            f" then {found['second']}, off {found['off_golden']:.4f}"
        )
        sweep(
            server,
            [(name, n) for name in ("dive", "720p", "1080p")[: 1 if QUICK else 3] for n in CLIENTS],
            found,
        )
        found["memory"] = machine.used(server.pid)
        (OUT / "metrics.txt").write_text(httpx.get(f"{server.address}/metrics", trust_env=False).text)
        keep("http", found)
        found["kill"] = attempt("kill", lambda: killed(server))
        print(f"  kill -9 of a worker at 8 clients: {found['kill']}")
    keep("http", found)


def killed(server: Server, clients: int = 8, seconds: float = 10.0) -> Found:
    """Kill -9 one worker under load; returns what the callers saw and when /ping was well again."""
    said: Found = {}
    loader = threading.Thread(
        target=lambda: said.update(drive(server.url, clip("dive"), clients, seconds=seconds).figures())
    )
    loader.start()
    time.sleep(2)  # the load's own beginning
    victim, began = server.workers()[0], time.monotonic()
    os.kill(victim, signal.SIGKILL)
    pings: list[tuple[float, int | None]] = []
    while time.monotonic() - began < seconds + 20 and not (len(pings) > 1 and pings[-1][1] == 200):
        status = server.ping()
        if not pings or pings[-1][1] != status:
            pings.append((round(time.monotonic() - began, 2), status))
        if len(pings) == 1 and status == 200 and time.monotonic() - began > 6:
            break  # others serve on
        time.sleep(0.02)
    loader.join()
    return {**said, "ping": pings, "after": server.score("dive")}


def variant(name: str, changes: dict[str, Any]) -> None:
    """Measure the server with other settings of its release."""
    archive, found = with_config(ARCHIVE, WORK / name, changes), Found(config=changes)
    with serving(archive, name) as server:
        found["ready_s"] = server.start
        for _ in range(2 * changes.get("maxWorkers", 1)):
            server.score("dive")
        plan = [("dive", 8), ("720p", 8), ("1080p", 8), ("dive", 32), ("720p", 32), ("dive", 1)]
        sweep(server, plan[: 1 if QUICK else None], found)
        found["memory"] = machine.used(server.pid)
    keep(name, found)
    shutil.rmtree(archive.parent)


def oom() -> None:
    """Leave the GPU less and less memory by a neighbour's plain allocation, then all of it again."""
    found: Found = {"steps": []}
    with (
        serving(ARCHIVE, "oom") as server,
        subprocess.Popen(
            [sys.executable, "-c", _NEIGHBOUR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as hog,
    ):
        given, told = hog.stdin, hog.stdout
        assert given
        assert told

        def leave(megabytes: float) -> float:
            given.write(f"{megabytes}\n")
            given.flush()
            return float(told.readline())

        for left in (-1.0, 400.0, 100.0, 20.0, 1.0, -1.0) if device().type == "cuda" else (-1.0,):
            if seconds_left() < 12:
                break
            free, workers = leave(left), server.workers()
            for name in ("long", "dive"):
                step = {"free_mb": free, "clip": name, **server.score(name), "ping": server.ping()}
                step["worker_kept"] = workers == server.workers()
                found["steps"].append(step)
                print(f"  {step}")
                keep("oom", found)
        given.close()
