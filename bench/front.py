"""What the front costs: beside TorchServe called directly in the same run, and /ping under full load.

The release is the tests' puppet, which answers at once, so that only the serving is measured. Run from the
repository: `.venv/bin/python -m bench.front`. Exits with 1 when over the limits of the project's issue.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from rich.console import Console
from rich.table import Table

from springboard.torchserve import transport
from springboard.torchserve.process import TorchServe
from tests.stands.front import FrontProcess, write_endpoint
from tests.stands.release import build_puppet

FRONT_COST_MS = 4.0
PING_P99_MS = 50.0
SIZES = (1_000, 1_000_000, 5_000_000, 20_000_000)
LOAD_CLIENTS = 6


def timed(call: Callable[[], httpx.Response]) -> float:
    """Return how many milliseconds a successful call took."""
    began = time.perf_counter()
    call().raise_for_status()
    return (time.perf_counter() - began) * 1000


def cost(direct_url: str, front_url: str, size: int, rounds: int) -> dict[str, Any]:
    """Call both in turn, so that whatever else the machine does hits both alike; milliseconds at p50."""
    body = b"x" * size
    direct, fronted = [], []
    headers = {"Content-Type": "application/octet-stream"}
    with transport.client(timeout=60, headers=headers) as client:
        for _ in range(5):
            client.post(direct_url, content=body), client.post(front_url, content=body)
        for _ in range(rounds):
            direct.append(timed(lambda: client.post(direct_url, content=body)))
            fronted.append(timed(lambda: client.post(front_url, content=body)))
    p50, p50_front = statistics.median(direct), statistics.median(fronted)
    return {"bytes": size, "direct_ms": p50, "front_ms": p50_front, "cost_ms": p50_front - p50}


def load(url: str, stop: Any) -> None:
    """Post 1 MB over and over."""
    body = b"sleep=0.02 " + b"x" * 1_000_000
    with httpx.Client(timeout=60) as client:
        while not stop.is_set():
            client.post(url, content=body)


def ping_under_load(front_url: str, pings: int) -> dict[str, Any]:
    """Return /ping's quantiles in milliseconds while more clients post 1 MB than there are workers."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    loads = [
        context.Process(target=load, args=(f"{front_url}/invocations", stop)) for _ in range(LOAD_CLIENTS)
    ]
    for process in loads:
        process.start()
    address = urlsplit(front_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 0, timeout=30)
    spent = []
    try:
        while httpx.get(f"{front_url}/endpoints/dive-scoring").json()["queue"]["in_flight"] == 0:
            time.sleep(0.1)
        for _ in range(pings):
            began = time.perf_counter()
            connection.request("GET", "/ping")
            status = connection.getresponse()
            status.read()
            spent.append((time.perf_counter() - began) * 1000)
            time.sleep(0.01)
    finally:
        stop.set()
        connection.close()
        for process in loads:
            process.join()
    quantiles = statistics.quantiles(spent, n=100)
    return {"pings": pings, "p50_ms": statistics.median(spent), "p99_ms": quantiles[98], "max_ms": max(spent)}


def main() -> int:
    """Measure, print, and compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--pings", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    # Other work on the machine is in every figure; a load well below 1 makes them comparable.
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, TorchServe(build_puppet(Path(folder), workers=2)) as server:
        path = write_endpoint(Path(folder) / "endpoint.yml", [("only", server, 1)])
        with FrontProcess("--endpoint-file", path) as front:
            front.wait_ready()
            url = f"{front.url}/invocations"
            costs = [
                cost(server.predictions_url, url, size, max(20, options.rounds // (1 + size // 2_000_000)))
                for size in SIZES
            ]
            ping = ping_under_load(front.url, options.pings)
    table = Table("body", "TorchServe p50 ms", "through the front p50 ms", "the front's cost ms")
    for row in costs:
        figures = [f"{row[name]:.2f}" for name in ("direct_ms", "front_ms", "cost_ms")]
        table.add_row(f"{row['bytes'] / 1e6:g} MB", *figures)
    console = Console()
    console.print(table)
    console.print(f"load average before: {busy:.1f} on {os.cpu_count()} cores")
    console.print(f"/ping under {LOAD_CLIENTS} clients of 1 MB: " + json.dumps(ping))
    if options.json:
        options.json.write_text(
            json.dumps({"load_before": busy, "cost": costs, "ping": ping}, indent=2) + "\n"
        )
    at_1_mb = next(row["cost_ms"] for row in costs if row["bytes"] == 1_000_000)
    return int(at_1_mb > FRONT_COST_MS or ping["p99_ms"] > PING_P99_MS)


if __name__ == "__main__":
    sys.exit(main())
