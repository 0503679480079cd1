"""Runs the stages of the GPU check, each in a process with a limit of its own, the last ones only in time."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass

from bench.gpu.room import OUT, QUICK, seconds_left


@dataclass(frozen=True)
class Stage:
    """`limit` and `least`: seconds it may take, and below which it is left out."""

    name: str
    limit: int
    least: int
    always: bool = False


STAGES = (
    Stage("environment", 40, 10, always=True),
    Stage("checkpoint", 100, 20, always=True),
    Stage("parity", 60, 15),
    Stage("nets", 70, 15),
    Stage("http", 115, 40),
    Stage("decode", 45, 18),
    Stage("oom", 45, 25),
    Stage("http4", 50, 25),
    Stage("nvdec", 15, 8),
    Stage("http2", 38, 25),
    Stage("compile", 45, 20),
    Stage("http_b8", 38, 25),
    Stage("http8", 42, 28),
)
COMMAND = (sys.executable, "-u", "-m", "bench.gpu.stages")
_PATIENCE_SECONDS = 8


def run(stage: Stage) -> dict[str, object]:
    """Run a stage; returns how it ended and what it took."""
    limit = min(stage.limit * (3 if QUICK else 1), seconds_left())
    began = time.monotonic()
    process = subprocess.Popen([*COMMAND, stage.name])
    try:
        status: int | str = process.wait(limit)
    except subprocess.TimeoutExpired:
        status = "out of time"
        process.terminate()
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return {"ended": status, "seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    """Run all stages, or those that are named, and put all that they found into one file."""
    wanted, found, ended = sys.argv[1:], dict[str, object](), dict[str, object]()
    if unknown := set(wanted) - {stage.name for stage in STAGES}:
        sys.exit(f"bench/gpu.sh: there is no stage {', '.join(sorted(unknown))}")
    for stage in STAGES:
        if wanted and stage.name not in wanted and not stage.always:
            continue
        if seconds_left() < stage.least:
            print(f"### {stage.name}: left out, {seconds_left():.0f} s are left of {stage.least}")
            ended[stage.name] = {"ended": "left out"}
            continue
        print(f"\n### {stage.name}, {seconds_left():.0f} s are left")
        (OUT / f"{stage.name}.json").unlink(missing_ok=True)
        ended[stage.name] = run(stage)
        print(f"### {stage.name}: {ended[stage.name]}")
        kept = OUT / f"{stage.name}.json"
        found[stage.name] = json.loads(kept.read_text()) if kept.exists() else None
        (OUT / "results.json").write_text(json.dumps({"stages": ended, **found}, indent=1) + "\n")
    failed = [name for name, how in ended.items() if _bad(how)]
    print(f"\n### {'all well' if not failed else 'not well: ' + ', '.join(failed)}; {OUT / 'results.json'}")
    sys.exit(bool(failed))


def _bad(how: object) -> bool:
    return isinstance(how, dict) and how["ended"] not in (0, "left out")


if __name__ == "__main__":
    main()
