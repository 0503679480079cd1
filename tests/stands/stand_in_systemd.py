"""A stand-in for systemctl and journalctl: what springboard/deploy/units.py asks of them, torchserve@ only.

Runs what the unit of playbooks/roles/torchserve runs, without its sandbox, and again when it ends. State is
in $STAND_IN_SYSTEMD, a folder an instance; everything ends with the process whose id is in its file `owner`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ.get("STAND_IN_SYSTEMD", ""))
ROOT = Path(os.environ.get("SPRINGBOARD_ROOT", ""))
RESTART_SECONDS = 1.0


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def read(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def supervise(name: str) -> None:
    state, folder = HOME / name, ROOT / "var/lib/springboard/instances" / name
    owner = read(HOME / "owner")
    settings = dict(line.split("=", 1) for line in (folder / "torchserve.env").read_text().splitlines())
    command = [folder / "runtime/bin/torchserve", "--start", "--foreground"]
    command += ["--ts-config", folder / "runtime/config.properties", "--model-store", folder / "model-store"]
    restarts = 0
    while not (state / "stop").exists() and alive(owner):
        with (state / "log").open("ab") as log:
            process = subprocess.Popen(
                [*map(str, command)],
                env={"PATH": "/usr/bin:/bin", **settings},
                cwd=folder / "work",
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (state / "main").write_text(str(process.pid))
        while process.poll() is None and not (state / "stop").exists() and alive(owner):
            time.sleep(0.1)
        end(process)
        restarts += 1
        (state / "restarts").write_text(str(restarts))
        time.sleep(RESTART_SECONDS)


def end(process: "subprocess.Popen[bytes]") -> None:
    """As TimeoutStopSec does: ask, then kill; the whole group."""
    for signal_, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        if not group_lives(process.pid):
            return
        os.killpg(process.pid, signal_)
        until = time.monotonic() + patience
        while time.monotonic() < until and (process.poll() is None or group_lives(process.pid)):
            time.sleep(0.05)


def systemctl(arguments: list[str]) -> int:
    match [one for one in arguments if one != "--quiet"]:
        case ["show", "--property", field, "--value", unit]:
            print(show(HOME / name_of(unit), field))
        case ["start", unit]:
            return start(name_of(unit))
        case ["stop", unit]:
            stop(name_of(unit))
        case ["try-restart", unit]:
            if show(HOME / name_of(unit), "ActiveState") == "active":
                stop(name_of(unit))
                return start(name_of(unit))
        case ["enable", unit]:
            (HOME / name_of(unit)).mkdir(exist_ok=True)
            (HOME / name_of(unit) / "enabled").touch()
        case ["disable", unit]:
            (HOME / name_of(unit) / "enabled").unlink(missing_ok=True)
        case ["is-enabled", unit]:
            print("enabled" if (HOME / name_of(unit) / "enabled").exists() else "disabled")
        case ["reset-failed", _]:
            pass
        case _:
            sys.exit(f"the stand-in does not know: systemctl {' '.join(arguments)}")
    return 0


def name_of(unit: str) -> str:
    found = re.fullmatch(r"torchserve@(.+)\.service", unit)
    assert found, unit
    return found[1]


def show(state: Path, field: str) -> str:
    running = alive(read(state / "supervisor")) and not (state / "stop").exists()
    if field == "ActiveState":
        return "active" if running else "inactive"
    return str(read(state / "restarts")) if field == "NRestarts" else ""


def start(name: str) -> int:
    state = HOME / name
    if not (ROOT / "var/lib/springboard/instances" / name / "torchserve.env").exists():
        print(f"Failed to start {name}: no environment file", file=sys.stderr)
        return 1
    if show(state, "ActiveState") == "active":
        return 0
    state.mkdir(exist_ok=True)
    for stale in ("stop", "restarts", "log"):
        (state / stale).unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, __file__, "supervise", name],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (state / "supervisor").write_text(str(process.pid))
    return 0


def stop(name: str) -> None:
    state = HOME / name
    if not state.is_dir():
        return
    (state / "stop").touch()
    while alive(read(state / "supervisor")):
        time.sleep(0.05)


def journalctl(arguments: list[str]) -> int:
    unit = arguments[arguments.index("--unit") + 1]
    log = HOME / name_of(unit) / "log"
    print("\n".join(log.read_text(errors="replace").splitlines()[-500:]) if log.exists() else "")
    return 0


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "supervise":
        supervise(rest[0])
    else:
        sys.exit(systemctl(rest) if kind == "systemctl" else journalctl(rest))
