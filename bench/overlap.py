"""How workers and batches share the cores: one release by several settings, in turns, beside the bare core.

usage: python -m bench.overlap ARCHIVE CLIP [--rounds 4] [--clients 8]

Every setting has a server of its own that stays up; a round loads one after the other, so that whatever else
the machine does meets all alike. Prints dives a second and p50, and the median over rounds of the rate over
the bare core's, which scores one video after the other in a process without any server.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import machine
from bench.archives import with_config
from bench.contenders import Contender, running
from bench.load import Load, drive
from bench.peers.core import WEIGHTS
from springboard.system.checkout import ROOT
from springboard.system.ports import free_ports

_WORKERS = "minWorkers", "maxWorkers"
SETTINGS: dict[str, dict[str, int]] = {
    "1 worker": {},
    "2 workers": dict.fromkeys(_WORKERS, 2),
    "1 worker, batches of 2": {"batchSize": 2},
    "1 worker, batches of 4": {"batchSize": 4},
}
# For each line it scores so often, and says the seconds of one.
_CORE = """
import sys, time
from bench.peers.core import Core
core, video = Core(), open(sys.argv[1], "rb").read()
core.score(video)
for line in sys.stdin:
    began = time.perf_counter()
    for _ in range(int(line)):
        core.score(video)
    print((time.perf_counter() - began) / int(line), flush=True)
"""


def _bare(core: "subprocess.Popen[str]", count: int) -> float:
    assert core.stdin
    assert core.stdout
    core.stdin.write(f"{count}\n")
    core.stdin.flush()
    return 1 / float(core.stdout.readline())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--only", nargs="+", default=list(SETTINGS))
    args = parser.parse_args()
    video = args.clip.read_bytes()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SPRINGBOARD_CACHE": str(ROOT / "build" / "engines")}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=ROOT / "build")))
        with zipfile.ZipFile(args.archive) as mar:
            environment[WEIGHTS] = mar.extract("weights.safetensors", folder)
        command = [sys.executable, "-c", _CORE, str(args.clip)]
        core = stack.enter_context(
            subprocess.Popen(
                command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        )
        urls = {}
        for name in args.only:
            archive = with_config(args.archive, folder / name.replace(" ", "-"), SETTINGS[name])
            (port,) = free_ports(1)
            serve = ("-m", "springboard", "serve", "--archive", str(archive), "--port", str(port))
            stack.enter_context(
                running(Contender(f"overlap {name}", (sys.executable, *serve)), port, environment)
            )
            urls[name] = f"http://127.0.0.1:{port}/invocations"
            for _ in range(2):
                drive(urls[name], video, 4, 4)
        bare, loads = [], dict[str, list[Load]]()
        for turn in range(args.rounds):
            order = list(urls) if turn % 2 else list(urls)[::-1]
            bare.append(_bare(core, args.clients))
            for name in order:
                loads.setdefault(name, []).append(drive(urls[name], video, args.clients, 2 * args.clients))
            bare[-1] = statistics.mean((bare[-1], _bare(core, args.clients)))
            print(
                f"round {turn + 1} at {time.strftime('%H:%M:%S')}, load {os.getloadavg()[0]:.1f}", flush=True
            )
        alone = {name: drive(url, video, 1, 3) for name, url in urls.items()}
        core.communicate()
    _show(bare, loads, alone)


def _show(bare: list[float], loads: dict[str, list[Load]], alone: dict[str, Load]) -> None:
    table = Table(
        "setting", "dives/s", "p50 s", "longest s", "p50 s of one client", "x the bare core", "rounds"
    )
    table.add_row(
        "the bare core",
        f"{statistics.median(bare):.3f}",
        "",
        "",
        f"{1 / statistics.median(bare):.3f}",
        "1",
        "",
    )
    for name, said in loads.items():
        rates = [len(one.spent) / one.seconds for one in said]
        ratios = [rate / limit for rate, limit in zip(rates, bare, strict=True)]
        spent = [took for one in said for took in one.spent]
        figures = [statistics.median(rates), statistics.median(spent), max(spent), min(alone[name].spent)]
        shown = [f"{one:.3f}" for one in [*figures, statistics.median(ratios)]]
        table.add_row(name, *shown, " ".join(f"{one:.2f}" for one in ratios))
    Console(width=130).print(table)
    print(machine.described())


if __name__ == "__main__":
    main()
