"""Goodput over offered load: how much of what the workers can do becomes answers in time.

The real queue, dispatcher and admission in virtual time, before (first come first served, as at 2491ef5) and
now, drawn into docs/overload.svg; and the real front before the tests' puppet TorchServe, in real time. Run
from the repository: `.venv/bin/python -m bench.overload`, or `--quick` for shorter runs. Seeds are fixed.
Exits with 1 when a bar of the project's issue is missed: goodput above 95 % of capacity from twice the load
on, 429 within 100 ms, no answer after its deadline, p99 of answered requests under half of the deadline.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from springboard.torchserve.process import TorchServe
from tests.stands.front import FrontProcess, write_endpoint
from tests.stands.release import build_puppet
from tests.stands.simulation import Load, Work, simulate

GOODPUT, REFUSED_SECONDS = 0.95, 0.1
CURVE = (0.5, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
WORKERS, WORK_SECONDS, DEADLINE_SECONDS, OUTAGE_SECONDS = 2, 0.4, 6.0, 60.0
SVG = Path("docs/overload.svg")


@dataclass(frozen=True)
class Figures:
    """What one load showed; ratios and seconds."""

    name: str
    offered: float
    goodput: float
    refused_p99: float
    answered_p99: float
    half_deadline: float
    late: int

    @property
    def good(self) -> bool:
        """Whether it is within the issue's bars."""
        return (
            self.goodput > GOODPUT
            and self.refused_p99 < REFUSED_SECONDS
            and not self.late
            and self.answered_p99 < self.half_deadline
        )


def simulated(name: str, load: Load, since: float, before: bool = False) -> Figures:
    """Return the figures of a load in virtual time, counted from `since` seconds on."""
    seen = simulate(load, before)
    late = seen.late + seen.statuses()[504]
    refused, answered = seen.quantile(429, 0.99, since), seen.quantile(200, 0.99, since)
    return Figures(name, load.offered, seen.goodput(since), refused, answered, load.deadline / 2, late)


def scenarios(seconds: float) -> list[Figures]:
    """Return the figures of every kind of load at 2, 5 and 20 times what the workers can do."""
    plain = Load(0, seconds)
    kinds = {
        "equal videos": plain,
        "lognormal, sigma 0.8": replace(plain, work=Work(1.0, sigma=0.8)),
        "5 % ten times as long": replace(plain, work=Work(1.0, sigma=0.3, long_part=0.05)),
        "bursts of 20": replace(plain, burst=20),
        "3 retries each": replace(plain, retries=3),
        "deadline 12 s": replace(plain, work=Work(0.8, sigma=0.3), deadline=12.0),
        "a flood and two others": replace(plain, callers={"flood": 0.9, "a": 0.05, "b": 0.05}),
    }
    rows = [
        simulated(name, replace(load, offered=float(times)), 60.0)
        for name, load in kinds.items()
        for times in (2, 5, 20)
    ]
    outage = replace(plain, offered=2.0, outage=(60.0, 60.0), retries=3)
    return [*rows, simulated("60 s outage, 3 retries", outage, 0.0)]


def curve(seconds: float, before: bool) -> list[float]:
    """Return goodput over `CURVE`."""
    load = Load(0, seconds, work=Work(0.8, sigma=0.3), deadline=12.0)
    return [simulated("", replace(load, offered=times), 60.0, before).goodput for times in CURVE]


async def real(
    url: str, offered: float, seconds: float, stall: Callable[[], Coroutine[Any, Any, None]] | None
) -> Figures:
    """Send requests to a real front in real time, whether or not earlier ones were answered.

    `stall` runs beside them first; what is counted was sent once it is over, in any case after one deadline.
    """
    rng, clock = random.Random(1), time.perf_counter
    answers: list[tuple[int, float, float]] = []
    body = f"score=50 sleep={WORK_SECONDS} ".encode() + b"x" * 1000

    async def one(client: httpx.AsyncClient) -> None:
        began = clock()
        response = await client.post(f"{url}/invocations", content=body)
        answers.append((response.status_code, began, clock()))

    async def calling(client: httpx.AsyncClient, group: asyncio.TaskGroup, over: Callable[[], bool]) -> None:
        while not over():
            group.create_task(one(client))
            await asyncio.sleep(rng.expovariate(offered * WORKERS / WORK_SECONDS))

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client, asyncio.TaskGroup() as group:
        if stall:
            stalled = group.create_task(stall())
            await calling(client, group, stalled.done)
        since = clock() + DEADLINE_SECONDS
        await calling(client, group, lambda: clock() >= since + seconds)
        end = clock()
    statuses = Counter(status for status, began, _ in answers if began >= since)
    assert set(statuses) <= {200, 429, 504}, statuses

    def took(wanted: int) -> list[float]:
        return [at - began for status, began, at in answers if status == wanted and began >= since]

    in_time = sum(status == 200 and since <= at < end for status, _, at in answers)
    return Figures(
        "the real front, 60 s outage" if stall else "the real front",
        offered,
        in_time * WORK_SECONDS / WORKERS / (end - since),
        _p99(took(429)),
        _p99(took(200)),
        DEADLINE_SECONDS / 2,
        statuses[504],
    )


async def outage(server: TorchServe) -> None:
    """Have TorchServe's workers stand still for OUTAGE_SECONDS."""
    workers = [one for one in psutil.Process(server.pid).children(recursive=True) if "python" in one.name()]
    assert len(workers) >= WORKERS, workers
    for worker in workers:
        worker.suspend()
    await asyncio.sleep(OUTAGE_SECONDS)
    for worker in workers:
        with suppress(psutil.NoSuchProcess):  # TorchServe has ended it, and started another
            worker.resume()


def real_front(seconds: float) -> list[Figures]:
    """Return the figures of the real front before the puppet."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with TorchServe(build_puppet(folder, workers=WORKERS)) as server:
            limits = {"deadline_seconds": DEADLINE_SECONDS}
            path = write_endpoint(folder / "endpoint.yml", [("only", server, 1)], limits=limits)
            with FrontProcess("--endpoint-file", path) as front:
                front.wait_ready()
                rows = [asyncio.run(real(front.url, times, seconds, None)) for times in (2.0, 5.0, 20.0)]
                return [*rows, asyncio.run(real(front.url, 2.0, seconds, lambda: outage(server)))]


def _p99(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(int(0.99 * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def picture(before: Sequence[float], now: Sequence[float]) -> str:
    """Return the SVG: goodput over offered load, both as parts of capacity."""
    wide, high, left, top = 560, 260, 60, 20

    def place(number: int, value: float) -> tuple[int, int]:
        return round(left + wide * number / (len(CURVE) - 1)), round(top + high * (1 - value))

    def line(values: Sequence[float], look: str) -> str:
        points = " ".join("{},{}".format(*place(*one)) for one in enumerate(values))
        return f'<polyline points="{points}" fill="none" {look}/>'

    def text(x: int, y: int, words: str, look: str = 'text-anchor="middle"') -> str:
        return f'<text x="{x}" y="{y}" {look}>{words}</text>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + wide + 40} {top + high + 50}" '
        'font-family="sans-serif" font-size="12" role="img" aria-label="Goodput over offered load">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        *(text(place(n, 0)[0], top + high + 18, f"{times:g}") for n, times in enumerate(CURVE)),
    ]
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = place(0, value)[1]
        parts += [text(left - 8, y + 4, f"{value:.0%}", 'text-anchor="end"')]
        parts += [f'<path d="M{left} {y}h{wide}" stroke="#ddd"/>']
    return "\n".join(
        [
            *parts,
            line(before, 'stroke="#c33" stroke-width="2" stroke-dasharray="6 4"'),
            line(now, 'stroke="#063" stroke-width="3"'),
            text(left + wide - 80, top + 30, "now", 'fill="#063"'),
            text(left + wide - 150, top + high - 25, "first come, first served", 'fill="#c33"'),
            text(
                left + wide // 2, top + high + 40, "offered load over capacity; upwards goodput over capacity"
            ),
            "</svg>\n",
        ]
    )


def main() -> int:
    """Measure, draw, print, and compare with the bars."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="shorter runs, and no new picture")
    parser.add_argument("--simulation-only", action="store_true", help="no TorchServe, no real time")
    options = parser.parse_args()
    logging.disable()  # the front's line for each refusal
    seconds = 150.0 if options.quick else 600.0
    before, now = curve(seconds, before=True), curve(seconds, before=False)
    if not options.quick:
        SVG.write_text(picture(before, now))
    rows = scenarios(seconds)
    if not options.simulation_only:
        rows += real_front(20.0 if options.quick else seconds)
    console = Console()
    table = Table(
        "offered / capacity", "goodput before", "goodput now", title="deadline 12 s, videos of 0.8 s"
    )
    for times, old, new in zip(CURVE, before, now, strict=True):
        table.add_row(f"{times:g}", f"{old:.1%}", f"{new:.1%}")
    console.print(table)
    table = Table("load", "times", "goodput", "429 p99 s", "200 p99 / half the deadline", "late", "")
    for row in rows:
        ratio = f"{row.answered_p99 / row.half_deadline:.2f}"
        figures = (f"{row.offered:g}", f"{row.goodput:.1%}", f"{row.refused_p99:.3f}", ratio, str(row.late))
        table.add_row(row.name, *figures, "" if row.good else "missed")
    console.print(table)
    return int(not all(row.good for row in rows))


if __name__ == "__main__":
    sys.exit(main())
