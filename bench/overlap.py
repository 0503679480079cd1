"""How workers and batches share the cores: one release by several settings, in turns, beside the bare core.

usage: python -m bench.overlap ARCHIVE CLIP [--rounds 4] [--clients 8]

Every setting has a server of its own that stays up; a round loads one after the other, so that whatever else
the machine does meets all alike. Read the CPU seconds of a dive over the bare core's, which scores one video
after the other without any server: on a shared machine rates tell more of the neighbours, since who has more
processes gets more of the cores.
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


def _bare(core: "subprocess.Popen[str]", count: int) -> tuple[float, float]:
    """Return dives a second, and CPU seconds of each."""
    assert core.stdin
    assert core.stdout
    before = machine.used(core.pid)["cpu_s"]
    core.stdin.write(f"{count}\n")
    core.stdin.flush()
    rate = 1 / float(core.stdout.readline())
    return rate, (machine.used(core.pid)["cpu_s"] - before) / count


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
        pids, urls = dict[str, int](), dict[str, str]()
        for name in args.only:
            archive = with_config(args.archive, folder / name.replace(" ", "-"), SETTINGS[name])
            (port,) = free_ports(1)
            serve = ("-m", "springboard", "serve", "--archive", str(archive), "--port", str(port))
            server = Contender(f"overlap {name}", (sys.executable, *serve))
            pid, _ = stack.enter_context(running(server, port, environment))
            pids[name], urls[name] = pid, f"http://127.0.0.1:{port}/invocations"
            drive(urls[name], video, 2, 4)
        bare, loads = list[tuple[float, float]](), dict[str, list[tuple[Load, float]]]()
        for turn in range(args.rounds):
            bare.append(_bare(core, args.clients))
            for name in list(urls) if turn % 2 else list(urls)[::-1]:
                before = machine.used(pids[name])["cpu_s"]
                load = drive(urls[name], video, args.clients, 2 * args.clients)
                spent = machine.used(pids[name])["cpu_s"] - before
                loads.setdefault(name, []).append((load, spent / max(len(load.spent), 1)))
            bare.append(_bare(core, args.clients))
            print(
                f"round {turn + 1} at {time.strftime('%H:%M:%S')}, load {os.getloadavg()[0]:.1f}", flush=True
            )
        core.communicate()
    _show(bare, loads)


def _show(bare: list[tuple[float, float]], loads: dict[str, list[tuple[Load, float]]]) -> None:
    table = Table("setting", "dives/s", "p50 s", "failed", "CPU s a dive", "over the bare core's", "by round")
    rate, limit = (statistics.median(one) for one in zip(*bare, strict=True))
    table.add_row("the bare core", f"{rate:.3f}", f"{1 / rate:.3f}", "", f"{limit:.3f}", "1", "")
    for name, said in loads.items():
        rates = [len(load.spent) / load.seconds for load, _ in said]
        spent = [took for load, _ in said for took in load.spent] or [float("nan")]
        failed = sum(sum(load.failed.values()) for load, _ in said)
        cpu = [each for _, each in said]
        ratios = [
            each / statistics.mean((before[1], after[1]))
            for each, before, after in zip(cpu, bare[::2], bare[1::2], strict=True)
        ]
        figures = f"{statistics.median(rates):.3f}", f"{statistics.median(spent):.3f}", str(failed)
        shown = f"{statistics.median(cpu):.3f}", f"{statistics.median(ratios):.3f}"
        table.add_row(name, *figures, *shown, " ".join(f"{one:.2f}" for one in ratios))
    Console(width=130).print(table)
    print(machine.described())


if __name__ == "__main__":
    main()
