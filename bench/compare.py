"""Ours beside peers that serve the same core, and beside the bare networks, in one run.

usage: make bench [WEIGHTS=folder] [CLIP=file] [QUICK=1]

Prints one table and writes build/bench.json. Read the ratios: each row's figures over the bare core's of the
same run. Nothing else should run on the machine.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from bench import machine
from bench.load import drive
from bench.peers.core import PORT, WEIGHTS
from springboard.cli.packing import archive_of
from springboard.system.checkout import ROOT
from springboard.system.ports import free_ports
from springboard.system.processes import Child
from tests.stands.waiting import wait_until

PEERS = ROOT / "build" / "peers-venv" / "bin" / "python"
_START_SECONDS = 300.0
_BARE = """
import sys, time
from bench.peers.core import Core
core, video = Core(), open(sys.argv[1], "rb").read()
core.score(video)
for _ in range(int(sys.argv[2])):
    began = time.perf_counter(); core.score(video); print(time.perf_counter() - began, flush=True)
"""


@dataclass(frozen=True)
class Contender:
    """A server: its name, its command, and what says that it is ready."""

    name: str
    command: tuple[str, ...]
    ready: str = "/ping"
    path: str = "/invocations"


def contenders(archive: Path, port: int) -> list[Contender]:
    """Return ours and the peers that this machine has."""
    ours = (sys.executable, "-m", "springboard", "serve", "--archive", str(archive), "--port", str(port))
    found = [
        Contender("springboard", ours),
        Contender("FastAPI + uvicorn", (sys.executable, "-m", "bench.peers.with_fastapi")),
    ]
    if PEERS.exists():
        found.append(Contender("mosec", (str(PEERS), "-m", "bench.peers.with_mosec"), "/", "/inference"))
    return found


@contextmanager
def running(one: Contender, port: int, environment: dict[str, str]) -> Iterator[tuple[int, float]]:
    """Start a server; yields its process id and the seconds until it was ready."""
    began = time.perf_counter()
    log = (ROOT / "build" / f"bench-{one.name.split()[0].lower()}.log").open("wb")
    child = Child(one.command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def ready() -> bool:
        if not child.running:
            raise SystemExit(f"{one.name} did not start; {log.name} says why")
        try:
            return httpx.get(f"http://127.0.0.1:{port}{one.ready}", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until(ready, f"{one.name} to start; {log.name} may say why", _START_SECONDS)
        yield child.process.pid, time.perf_counter() - began
    finally:
        child.stop(30)
        log.close()


def measured(
    one: Contender, port: int, environment: dict[str, str], clip: Path, clients: list[int], requests: int
) -> dict[str, Any]:
    """Return a server's figures: start, memory, CPU seconds a dive, and each load's."""
    video = clip.read_bytes()
    with running(one, port, environment) as (pid, start):
        url = f"http://127.0.0.1:{port}{one.path}"
        httpx.post(url, content=video, timeout=300, trust_env=False).raise_for_status()
        before = machine.used(pid)
        loads = [drive(url, video, count, max(requests, 2 * count)).figures() for count in clients]
        after = machine.used(pid)
        done = sum(int(load["requests"]) for load in loads if isinstance(load["requests"], int))
        return {
            "name": one.name,
            "ready_s": round(start, 2),
            "cpu_s_per_dive": round((after["cpu_s"] - before["cpu_s"]) / max(done, 1), 4),
            "memory_mib": round(after["memory_mib"]),
            "loads": loads,
        }


def bare(clip: Path, requests: int, environment: dict[str, str]) -> float:
    """Return the median seconds of the core alone, without any server."""
    command = (sys.executable, "-c", _BARE, str(clip), str(requests))
    said = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    spent = sorted(float(line) for line in said.stdout.split())
    return spent[len(spent) // 2]


COLUMNS = "server, ready s, clients, p50 s, p99 s, dives/s, x bare rate, failed, CPU s/dive, MiB"


def table(found: dict[str, Any]) -> Table:
    """Return all figures, each rate also as a multiple of the bare core's in the same run."""
    shown, limit = Table(*COLUMNS.split(", ")), found["bare_s"]
    shown.add_row("the bare core", "", "1", f"{limit:.3f}", "", f"{1 / limit:.3f}", "1.00", "", "", "")
    for server in found["servers"]:
        start, cpu, memory = (server[name] for name in ("ready_s", "cpu_s_per_dive", "memory_mib"))
        for load in server["loads"]:
            rate, p50, p99 = (load.get(name, float("nan")) for name in ("rate_per_s", "p50_s", "p99_s"))
            said = [f"{start:.1f}", str(load["clients"]), f"{p50:.3f}", f"{p99:.3f}", f"{rate:.3f}"]
            said += [f"{rate * limit:.2f}", str(sum(load["failed"].values())), f"{cpu:.2f}", str(memory)]
            shown.add_row(server["name"], *said)
    return shown


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "demo" / "weights")
    parser.add_argument("--clip", type=Path, default=ROOT / "demo" / "clips" / "good-dive.mp4")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--requests", type=int, default=40, help="of each load")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    args = parser.parse_args()
    archive = archive_of(args.weights)
    weights = ROOT / "build" / "bench-weights.safetensors"
    with zipfile.ZipFile(archive) as mar:
        weights.write_bytes(mar.read("weights.safetensors"))
    (port,) = free_ports(1)
    environment = os.environ | {WEIGHTS: str(weights), PORT: str(port), "PYTHONPATH": str(ROOT)}
    environment["SPRINGBOARD_CACHE"] = str(ROOT / "build" / "engines")
    found: dict[str, Any] = {"machine": machine.described(), "clip": args.clip.name}
    try:
        before = bare(args.clip, args.requests, environment)
        found["servers"] = [
            measured(one, port, environment, args.clip, args.clients, args.requests)
            for one in contenders(archive, port)
        ]
        # Before and after: what else the machine did meanwhile shows in the difference.
        after = bare(args.clip, args.requests, environment)
    finally:
        weights.unlink()
    found |= {"bare_s": (before + after) / 2, "bare_before_s": before, "bare_after_s": after}
    args.json.write_text(json.dumps(found, indent=2) + "\n")
    Console(width=130).print(table(found))
    print(f"{json.dumps(found['machine'])}\n{args.json}")


if __name__ == "__main__":
    main()
