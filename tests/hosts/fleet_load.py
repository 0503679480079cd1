"""Bench: three hosts of a fleet under a load of strangers, beside bench/fleet.py's simulation of them.

    .venv/bin/python -m pytest tests/hosts/fleet_load.py -s

prints what docs/fleet-capacity.md has of it; on a machine with nothing else to do, since the hosts share it.
The puppet waits for as long as each video says, so a host has a worker's time to give and hardly a core's.
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.fleet_hosts import Floats, Service
from bench.fleet_hosts import Hosts as Simulated
from tests.hosts import fleet as stand
from tests.hosts.calling import ask
from tests.hosts.fleet import Fleet
from tests.hosts.harness import Hosts
from tests.hosts.served import Converged, Models

NAMES = ("one", "two", "three")
ASKED = Service(mean=0.4)
LOADS = (0.6, 0.8)
REQUESTS, ALONE, BUSY = 1500, 60, 240
# So that each host always has a next request, and refuses none.
CALLERS = 5 * len(NAMES)
SLOW_START_S = 35
SEED, RUNS, TICK_S = 5, 200, 1.0


def _timed(fleet: Fleet, seconds: float, due: float | None = None) -> float:
    """Return a request's seconds from when it was due."""
    due = due or time.monotonic()
    time.sleep(max(due - time.monotonic(), 0))
    outcome = ask(fleet.client, seconds)
    assert not outcome.failure, outcome
    return time.monotonic() - due


def _occupied(fleet: Fleet) -> float:
    """Return for how long a request takes a host's worker, by hosts that are never without one."""
    began = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda _: _timed(fleet, ASKED.mean), range(BUSY)))
    return (time.monotonic() - began) * len(NAMES) / BUSY


def _measured(fleet: Fleet, works: Floats, comes: Floats) -> Floats:
    """Return p50 and p99 of requests that come at these seconds, and wait for no other to be sent."""
    dues = time.monotonic() + 1 + comes
    with ThreadPoolExecutor(REQUESTS // 10) as pool:
        seconds = list(pool.map(lambda work, due: _timed(fleet, work, due), works, dues))
    return np.quantile(seconds, (0.5, 0.99))


def _in_turn(works: Floats, comes: Floats) -> Floats:
    """Return p50 and p99 of these very requests, worked off one after the other by hosts in turn."""
    free, seconds = [0.0] * len(NAMES), []
    for number, (work, came) in enumerate(zip(works, comes, strict=True)):
        host = number % len(NAMES)
        free[host] = max(came, free[host]) + work
        seconds.append(free[host] - came)
    found: Floats = np.quantile(seconds, (0.5, 0.99))
    return found


def _simulated(service: Service, rate: float, seed: int) -> tuple[float, float]:
    """Return p50 and p99 of as many requests."""
    hosts = Simulated(service, len(NAMES), seed, nodes=1)  # HAProxy is one process
    hosts.start(np.arange(len(NAMES)), -np.inf)
    for begin in np.arange(0, REQUESTS / rate, TICK_S):
        hosts.advance(float(begin), TICK_S, rate)
    return hosts.ledger.quantile(0.5), hosts.ledger.quantile(0.99)


def test_three_hosts_beside_their_simulation(
    hosts: Hosts, converged: Converged, models: Models, tmp_path: Path
) -> None:
    rng, console = np.random.default_rng(SEED), Console(width=120)
    title = f"{REQUESTS} requests to three hosts; simulated: the median of {RUNS} runs, and 5 to 95 % of them"
    table = Table(
        "load", *("p50, s", "the same in turn", "simulated", "p99, s", "the same in turn", "simulated")
    )
    with stand.fleet(hosts, converged, models, tmp_path, *NAMES) as fleet:
        fleet.launch(*NAMES)
        fleet.balancer.wait_healthy(*NAMES)
        time.sleep(SLOW_START_S)
        alone = statistics.median(_timed(fleet, ASKED.mean) for _ in range(ALONE))
        occupied = _occupied(fleet)
        console.print(f"of {ASKED.mean} s: {alone:.4f} s a request alone, {occupied:.4f} s a worker's")
        service = Service(occupied, ASKED.sigma)
        for load in LOADS:
            rate = load * len(NAMES) * service.capacity
            works, comes = ASKED.draw(rng, REQUESTS), rng.exponential(1 / rate, REQUESTS).cumsum()
            measured = _measured(fleet, works, comes)
            # What passes beside the worker's time delays nobody else.
            beside = alone - occupied
            same = _in_turn(works + occupied - ASKED.mean, comes) + beside
            runs = np.array([_simulated(service, rate, seed) for seed in range(RUNS)]) + beside
            low, middle, high = np.quantile(runs, (0.05, 0.5, 0.95), axis=0)
            row = [f"{load:.0%}"]
            for one in range(2):
                spread = f"{middle[one]:.3f} ({low[one]:.3f} to {high[one]:.3f})"
                row += [f"{measured[one]:.3f}", f"{same[one]:.3f}", spread]
            table.add_row(*row)
    console.print(title, table, sep="\n")
