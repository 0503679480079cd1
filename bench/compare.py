"""Ours beside peers that serve the same core, and beside the bare core, in one run.

usage: make bench [WEIGHTS=folder] [CLIP=file] [QUICK=1]

Prints tables and writes build/bench.json, build/bench-rate.svg and build/bench-p99.svg. Read the ratios: each
row's figures over the bare core's of the same run. Nothing else should run on the machine.
"""

import argparse
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import faults, limits, machine, picture, prices
from bench.archives import with_config
from bench.clips import CLIP, filmed
from bench.contenders import BUCKET, OURS, Contender, contenders, reader_of, running
from bench.load import drive
from bench.peers.core import ARCHIVE, PORT, WEIGHTS
from springboard.cli.packing import archive_of
from springboard.system.checkout import ROOT
from springboard.system.ports import free_ports
from tests.stands.seaweedfs import seaweedfs

BUILD = ROOT / "build"
GARBAGE = b"\x00\x00\x00\x18ftypmp42" + b"no video at all" * 1000
_SIZES = {
    "320x240, 60": (320, 240, 60),
    "1280x720, 120": (1280, 720, 120),
    "1920x1080, 270": (1920, 1080, 270),
}
_QUICK_SIZES = {"1920x1080, 60": (1920, 1080, 60)}
_SLOW_REQUESTS = 2


@dataclass(frozen=True)
class Plan:
    """What is measured: the main clip by so many clients, other sizes by eight, and what is lost."""

    clip: bytes
    clients: Sequence[int]
    requests: int
    sizes: Mapping[str, bytes]
    lose: Callable[[Contender], bool]


def measured(one: Contender, port: int, environment: Mapping[str, str], plan: Plan) -> dict[str, Any]:
    """Return a server's figures: start, memory, CPU seconds a dive, each load's, and what it lost."""
    body, kind = one.request(plan.clip)
    clients, requests = ([1], _SLOW_REQUESTS) if one.slow else (plan.clients, plan.requests)
    with running(one, port, environment) as (pid, start):
        url = f"http://127.0.0.1:{port}{one.path}"
        first = drive(url, body, 1, 1, kind=kind)
        if not first.spent:
            raise SystemExit(f"{one.name} does not score: {first.failed}")
        before = machine.used(pid)
        loads = [drive(url, body, n, max(requests, 2 * n), kind=kind).figures() for n in clients]
        after = machine.used(pid)
        done = sum(load["requests"] for load in loads)
        found: dict[str, Any] = {
            "name": one.name,
            "ready_s": round(start, 2),
            "first_s": round(first.spent[0], 3),
            "cpu_s_per_dive": round((after["cpu_s"] - before["cpu_s"]) / max(done, 1), 4),
            "memory_mib": round(after["memory_mib"]),
            "loads": loads,
            "sizes": {},
        }
        if not one.slow:
            for name, video in plan.sizes.items():
                big, its_kind = one.request(video)
                drive(url, big, 1, 1, kind=its_kind)
                found["sizes"][name] = drive(url, big, 8, 16, kind=its_kind).figures()
        if plan.lose(one):
            garbage = one.request(GARBAGE)
            found["lost"] = faults.lost(pid, url, (body, kind), garbage, loads[0].get("p50_s", 1.0))
        return found


COLUMNS = "server, ready s, clients, p50 s, p95 s, p99 s, dives/s, x bare rate, failed, CPU s/dive, MiB"


def table(found: dict[str, Any]) -> Table:
    """Return all figures of the main clip, each rate also as a multiple of the bare core's."""
    shown, limit = Table(*COLUMNS.split(", ")), found["bare_s"]
    shown.add_row("the bare core", "", "1", f"{limit:.3f}", "", "", f"{1 / limit:.3f}", "1.00", "", "", "")
    for server in found["servers"]:
        start, cpu, memory = (server[name] for name in ("ready_s", "cpu_s_per_dive", "memory_mib"))
        for load in server["loads"]:
            said = [f"{start:.1f}", str(load["clients"])]
            said += [
                f"{load.get(name, float('nan')):.3f}" for name in ("p50_s", "p95_s", "p99_s", "rate_per_s")
            ]
            said += [f"{load.get('rate_per_s', 0) * limit:.2f}", str(sum(load["failed"].values()))]
            shown.add_row(server["name"], *said, f"{cpu:.2f}", str(memory))
    return shown


def other_tables(found: dict[str, Any]) -> Iterator[Table]:
    """Return the stages, the sizes, what was lost, and what a thousand dives cost."""
    stages = Table("ms at one client", "fetch", "decode", "gate", "score")
    sizes = Table("eight clients: dives/s (p99 s)", *(names := found["sizes"]))
    lost = Table(
        "server", "worker killed: failed", "back after s", "8 callers gone: next waits", "by garbage"
    )
    for server in found["servers"]:
        if said := server["loads"][0]["stages_ms"]:
            stages.add_row(
                server["name"], *(str(said.get(name, "")) for name in ("fetch", "decode", "gate", "score"))
            )
        if server["sizes"]:
            loads = [server["sizes"][name] for name in names]
            sizes.add_row(server["name"], *(_rate(one) for one in loads))
        if out := server.get("lost"):
            killed, gone = out["killed"], out["gone"]
            waits = f"{gone['next_s'] / gone['alone_s']:.1f} x" if gone["next_s"] and gone["alone_s"] else "-"
            back = "never" if killed["back_s"] is None else str(killed["back_s"])
            lost.add_row(server["name"], _failed(killed), back, waits, _failed(out["garbage"]))
    yield from (stages, sizes, lost)
    cost = Table("$ per 1000 dives at this machine's rate", *found["cost_per_1000"])
    for name in next(iter(found["cost_per_1000"].values()), {}):
        cost.add_row(name, *(f"{of[name]:.4f}" for of in found["cost_per_1000"].values()))
    yield cost


def _rate(load: dict[str, Any]) -> str:
    failed = sum(load["failed"].values())
    scored = f"{load['rate_per_s']:.3f} ({load['p99_s']:.2f})" if "p99_s" in load else "-"
    return f"{scored}, {failed} failed: {', '.join(load['failed'])}" if failed else scored


def _failed(said: dict[str, Any]) -> str:
    count = sum(said["failed"].values())
    return f"{count} of {count + said['scored']}"


def pictures(found: dict[str, Any], clients: Sequence[int]) -> dict[str, str]:
    """Return the plots by name: rate and p99 over clients."""
    fast = [server for server in found["servers"] if len(server["loads"]) == len(clients)]

    def of(name: str) -> dict[str, list[float | None]]:
        return {server["name"]: [load.get(name) for load in server["loads"]] for server in fast}

    return {
        "bench-rate.svg": picture.lines("dives a second", clients, of("rate_per_s")),
        "bench-p99.svg": picture.lines("p99 in seconds", clients, of("p99_s")),
    }


@contextmanager
def _store() -> Iterator[tuple[Callable[[bytes], str], dict[str, str]]]:
    """Yield what puts a video into an S3 of our own, and what a server needs to read there."""
    with (
        tempfile.TemporaryDirectory() as folder,
        seaweedfs(Path(folder), [BUCKET], {"reader": [f"Read:{BUCKET}"]}) as (url, client),
    ):

        def put(video: bytes) -> str:
            key = f"{hashlib.sha256(video).hexdigest()[:16]}.mp4"
            client.put_object(Bucket=BUCKET, Key=key, Body=video)
            return key

        yield put, reader_of(url)


def _measure(args: argparse.Namespace, clip: Path, archive: Path, weights: Path) -> dict[str, Any]:
    (port,) = free_ports(1)
    environment = os.environ | {WEIGHTS: str(weights), ARCHIVE: str(archive), PORT: str(port)}
    environment |= {"PYTHONPATH": str(ROOT), "SPRINGBOARD_CACHE": str(BUILD / "engines")}
    sizes = _QUICK_SIZES if args.quick else _SIZES
    videos = {name: filmed(*size, clip) for name, size in sizes.items()}

    def loses(one: Contender) -> bool:
        return one.name == OURS if args.quick else not (one.slow or "S3" in one.name)

    plan = Plan(clip.read_bytes(), args.clients, args.requests, videos, loses)
    found: dict[str, Any] = {"machine": machine.described(), "clip": clip.name, "sizes": list(videos)}
    before = limits.bare(clip, args.requests, environment)
    with _store() as (put, reading), tempfile.TemporaryDirectory(dir=BUILD) as folder:
        two = with_config(archive, Path(folder), {"minWorkers": 2, "maxWorkers": 2})
        found["servers"] = []
        for one in contenders(archive, two, port, put):
            if not args.only or one.name in args.only:
                found["servers"].append(measured(one, port, environment | reading, plan))
                print(f"{one.name}: measured", flush=True)
    # Before and after: what else the machine did meanwhile shows in the difference.
    after = limits.bare(clip, args.requests, environment)
    found["bare"] = {"before": before.figures(), "after": after.figures()}
    found["bare_s"] = (before.whole_s + after.whole_s) / 2
    best = {one["name"]: max(load["rate_per_s"] for load in one["loads"]) for one in found["servers"]}
    found["cost_per_1000"] = {name: prices.per_thousand(rate) for name, rate in best.items()}
    return found | {"prices_of": prices.table()[0]}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "demo" / "weights")
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--requests", type=int, default=40, help="of each load")
    parser.add_argument("--only", nargs="+", help="servers, by name")
    parser.add_argument("--quick", action="store_true", help="one other size")
    parser.add_argument("--json", type=Path, default=BUILD / "bench.json")
    args = parser.parse_args()
    archive = archive_of(args.weights)
    weights = BUILD / "bench-weights.safetensors"
    with zipfile.ZipFile(archive) as mar:
        weights.write_bytes(mar.read("weights.safetensors"))
    try:
        found = _measure(args, args.clip, archive, weights)
    finally:
        weights.unlink()
    args.json.write_text(json.dumps(found, indent=2) + "\n")
    for name, drawn in pictures(found, args.clients).items():
        args.json.with_name(name).write_text(drawn)
    console = Console(width=140)
    console.print(table(found), *other_tables(found))
    for when, said in found["bare"].items():
        console.print(f"bare, {when}: {json.dumps(said)}")
    console.print(f"prices of {found['prices_of']}; {json.dumps(found['machine'])}\n{args.json}")


if __name__ == "__main__":
    main()
