"""A fleet's capacity on paper: hosts behind a balancer, in simulated time.

From measured times of work (docs/measurements.md): a dive takes 0.7 s, lognormal with sigma 0.3. Fleets of 1
to 10,000 hosts, day curves, bursts, lost zones, spot storms, cold starts; what it is made of is in
fleet_hosts.py and fleet_scaling.py, what it shows in docs/fleet-capacity.md. Run from the repository:
`.venv/bin/python -m bench.fleet`, or `--quick` for smaller fleets and no new pictures. Seeds are fixed.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import prices
from bench.fleet_scaling import BAKED, PLAIN, WEIGHTS, Cold, Fleet, Happening, Series, Setup, Waiting, told
from bench.picture import lines
from springboard.system.checkout import ROOT

DAY, HOUR, MINUTE = 86_400.0, 3600.0, 60.0
# More hosts than this are simulated by a part of them, each of which stands for as many.
MOST_SIMULATED = 500
FAULT, BURST, BURST_ENDS = 10 * MINUTE, 10 * MINUTE, 40 * MINUTE
SIZES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
USES = (0.5, 0.6, 0.7, 0.8, 0.9)
# The balancer's other way counts each target's requests: one after the other, so for small fleets only.
MOST_COUNTED = 100


def sized(hosts: int, **settings: Any) -> Setup:
    """Return a fleet of so many hosts, simulated whole or by a part."""
    scale = next(one for one in count(math.ceil(hosts / MOST_SIMULATED)) if hosts % one == 0)
    least = settings.pop("least", hosts)
    return Setup(max(least // scale, 1), hosts // scale, scale=scale, **settings)


def load(setup: Setup, hosts: float) -> float:
    """Return the requests a second that so many hosts take at the target."""
    return hosts * setup.use * setup.service.capacity


def steady(hosts: int, seconds: float, use: float = 0.6, routing: str = "round_robin") -> Fleet:
    """Return a fleet that had an even load for a while."""
    slow = 0.0 if routing == "least_outstanding" else 30.0
    setup = sized(hosts, use=use, scaling=False, slow_start=slow, routing=routing)
    fleet = Fleet(setup, lambda _: load(setup, hosts))
    fleet.run(seconds)
    return fleet


def day(hosts: int, seconds: float = DAY) -> Fleet:
    """Return a fleet after a day that has a quarter of its highest load at night."""
    setup = sized(round(1.25 * hosts), least=2, tick=5.0)

    def rate(at: float) -> float:
        return load(setup, hosts) * (0.625 - 0.375 * math.cos(2 * math.pi * at / DAY))

    fleet = Fleet(setup, rate)
    fleet.run(seconds)
    return fleet


def burst(hosts: int, times: float, cold: Cold, use: float = 0.6) -> Fleet:
    """Return a fleet that got several times the load of `hosts` at 60 % for half an hour."""
    setup = sized(10 * hosts, least=hosts, cold=cold, use=use)
    usual = 0.6 * hosts * setup.service.capacity

    def rate(at: float) -> float:
        return usual * (times if BURST <= at < BURST_ENDS else 1)

    fleet = Fleet(setup, rate)
    fleet.run(HOUR)
    return fleet


def fault(hosts: int, what: Callable[[Fleet], None], spot: float = 0.5) -> Fleet:
    """Return a fleet to which something happened after ten minutes, half an hour later."""
    setup = sized(2 * hosts, least=hosts, spot=spot)
    fleet = Fleet(setup, lambda _: load(setup, hosts))
    fleet.run(FAULT + 30 * MINUTE, _happens(what))
    return fleet


def _happens(what: Callable[[Fleet], None]) -> Happening:
    def happening(fleet: Fleet) -> Waiting:
        yield fleet.env.timeout(FAULT)
        what(fleet)

    return happening


# Half of the hosts are spot, and half of those go at a time.
FAULTS: dict[str, Callable[[Fleet], None]] = {
    "a host is killed": lambda fleet: fleet.kill(1),
    "spot hosts go, drained": lambda fleet: fleet.storm(0.5),
    "spot hosts go, cut off": lambda fleet: fleet.storm(0.5, drains=False),
    "a zone goes": lambda fleet: fleet.lose_zone(0),
}
COLDS = (BAKED, WEIGHTS, PLAIN)


class Report:
    """Runs scenarios, shows their rows at once, and keeps what they showed."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.fleets: dict[str, Fleet] = {}

    def add(self, name: str, run: Callable[[], Fleet]) -> Fleet:
        """Run one."""
        began = time.perf_counter()
        fleet = self.fleets[name] = run()
        row = {"scenario": name, **told(fleet), "took": round(time.perf_counter() - began, 1)}
        self.rows.append(row)
        return fleet

    def table(self) -> Table:
        """Return all of it."""
        heads = (
            "p50 s",
            "p99 s",
            "asked again",
            "refused",
            "failed",
            "lag s",
            "overloaded s",
            "hosts",
            "h/million",
        )
        table = Table("scenario", *heads, "took s")
        for row in self.rows:
            table.add_row(
                row["scenario"],
                *(f"{row[name]:.2f}" for name in ("p50", "p99")),
                *(f"{row[name]:.4%}" for name in ("repeated", "refused", "failed")),
                *(f"{row[name]:,.0f}" for name in ("lag", "overloaded", "most", "hours_per_million", "took")),
            )
        return table


def report(quick: bool) -> Report:
    """Run all scenarios."""
    run = Report()
    sizes = SIZES[:5] if quick else SIZES
    for hosts in sizes:
        run.add(f"{hosts:,} hosts, even load", partial(steady, hosts, 20 * MINUTE))
    for hosts in (size for size in sizes if 1 < size <= MOST_COUNTED):
        one = partial(steady, hosts, 20 * MINUTE, routing="least_outstanding")
        run.add(f"{hosts:,} hosts, least outstanding requests", one)
    for use in USES:
        run.add(f"30 hosts at {use:.0%}", partial(steady, 30, 20 * MINUTE, use))
    for hosts in (3, 30) if quick else (3, 30, 300, 3000, 10_000):
        run.add(f"a day, {hosts:,} hosts", partial(day, hosts))
    for times in (1.5, 2.0):
        run.add(f"{times:g} times the load, {BAKED.name}", partial(burst, 30, times, BAKED))
    for cold in COLDS:
        run.add(f"3 times the load, {cold.name}", partial(burst, 30, 3.0, cold))
    run.add("3 times the load, at 30 %", partial(burst, 30, 3.0, BAKED, use=0.3))
    for hosts in (30,) if quick else (30, 10_000):
        for name, what in FAULTS.items():
            if hosts == 30 or "killed" not in name:
                run.add(f"{hosts:,} hosts: {name}", partial(fault, hosts, what))
    return run


def costs(run: Report, name: str) -> Table:
    """Return dollars for a million dives by instance type, were each as fast as what was measured."""
    dated, dollars = prices.table()
    hours = next(row["hours_per_million"] for row in run.rows if row["scenario"] == name)
    table = Table("instance type", "$ an hour", "$ a million dives", title=f"{name}; prices as of {dated}")
    for kind, price in dollars.items():
        table.add_row(kind, f"{price:g}", f"{price * hours:,.0f}")
    return table


def pictures(run: Report) -> dict[str, str]:
    """Return the documentation's pictures by their names."""
    whole = run.fleets["a day, 300 hosts"].series
    each = range(0, len(whole.at), 120)
    bursts = {cold.name: run.fleets[f"3 times the load, {cold.name}"].series for cold in COLDS}
    minutes = range(int(BURST - 3 * MINUTE), int(BURST + 26 * MINUTE), 20)
    faults = {name: run.fleets[f"30 hosts: {name}"].series for name in FAULTS}
    seconds = range(int(FAULT - 30), int(FAULT + 210), 5)
    needed = "needed at the target"
    return {
        "fleet-day": lines(
            "Hosts over a day, 300 at its height",
            _marks([whole.at[at] / HOUR for at in each], 3),
            {
                "in service": [whole.serving[at] for at in each],
                needed: [whole.needed[at] for at in each],
            },
            "hours",
        ),
        "fleet-burst": lines(
            "Hosts in service, three times the load from minute 0",
            _marks([(at - BURST) / MINUTE for at in minutes], 5),
            {
                **{name: [one.serving[at] for at in minutes] for name, one in bursts.items()},
                needed: [bursts[BAKED.name].needed[at] for at in minutes],
            },
            "minutes",
        ),
        "fleet-faults": lines(
            "Requests that have to be asked again, %",
            _marks([at - FAULT for at in seconds], 60),
            {name: [_repeated(one, at) for at in seconds] for name, one in faults.items()},
            "seconds after it happened to 30 hosts",
        ),
    }


def _repeated(series: Series, at: int) -> float:
    asked = series.offered[at + 5] - series.offered[at]
    return 100 * (series.repeated[at + 5] - series.repeated[at]) / max(asked, 1)


def _marks(values: Sequence[float], every: int) -> list[str]:
    return [f"{value:.0f}" if abs(value / every - round(value / every)) < 1e-6 else "" for value in values]


def main() -> None:
    """Simulate, print, write and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller fleets, and no new pictures")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "fleet.json", help="where it goes")
    options = parser.parse_args()
    run = report(options.quick)
    console = Console(width=160)
    console.print(run.table())
    for hosts in (3, 30) if options.quick else (3, 300):
        console.print(costs(run, f"a day, {hosts} hosts"))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    settings = {name: asdict(fleet.setup) for name, fleet in run.fleets.items()}
    document = {"rows": run.rows, "setups": settings, "prices": prices.table()}
    options.json.write_text(json.dumps(document, indent=1, default=str) + "\n")
    if not options.quick:
        for name, svg in pictures(run).items():
            (ROOT / "docs" / f"{name}.svg").write_text(svg)


if __name__ == "__main__":
    main()
