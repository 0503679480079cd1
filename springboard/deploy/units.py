"""What runs instances, as deployments use it: systemd on a host, and elsewhere what `use` was given."""

import signal
import subprocess
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

_TEMPLATE = "torchserve@"


class ServiceError(Exception):
    """An instance's service did not do as told; the message has what systemd, or else ran it, said."""


def unit(instance: str) -> str:
    """Return an instance's unit."""
    return f"{_TEMPLATE}{instance}.service"


class Services(Protocol):
    """Starts, stops and watches instances; acts raise `ServiceError`."""

    def start(self, instance: str) -> None:
        """Start it now, but not at boot."""

    def restart(self, instance: str) -> None:
        """Stop and start it again, where it runs."""

    def stop(self, instance: str) -> None:
        """Stop it and wait until it is gone; does nothing where it does not run."""

    def enable(self, instance: str) -> None:
        """Have it started at boot."""

    def disable(self, instance: str) -> None:
        """Do not have it started at boot."""

    def enabled(self, instance: str) -> bool:
        """Whether it is started at boot."""

    def running(self, instance: str) -> bool:
        """Whether it is started, or about to be started again."""

    def restarts(self, instance: str) -> int:
        """How often systemd had to start it again."""

    def processes(self, instance: str) -> list[int]:
        """Return the ids of all its processes."""

    def log(self, instance: str, since: float) -> list[str]:
        """Return what it logged from `since` (Unix time) on, at most the last 500 lines."""

    def where(self, instance: str) -> str:
        """Return where its log is read."""


class Systemd:
    """Units of a host."""

    def start(self, instance: str) -> None:
        """Start it now, but not at boot."""
        _run("systemctl", "start", unit(instance))

    def restart(self, instance: str) -> None:
        """Stop and start it again, where it runs."""
        _run("systemctl", "try-restart", unit(instance))

    def stop(self, instance: str) -> None:
        """Stop it and wait until it is gone; does nothing where it does not run."""
        _run("systemctl", "stop", unit(instance))
        # Of one that had failed systemd would otherwise keep the memory, and its count of restarts.
        subprocess.run(["systemctl", "reset-failed", unit(instance)], capture_output=True, check=False)

    def enable(self, instance: str) -> None:
        """Have it started at boot."""
        _run("systemctl", "enable", "--quiet", unit(instance))

    def disable(self, instance: str) -> None:
        """Do not have it started at boot."""
        _run("systemctl", "disable", "--quiet", unit(instance))

    def enabled(self, instance: str) -> bool:
        """Whether it is started at boot."""
        return _ask("systemctl", "is-enabled", unit(instance)).strip() == "enabled"

    def running(self, instance: str) -> bool:
        """Whether it is started, or about to be started again."""
        return _show(instance, "ActiveState") in ("active", "activating", "reloading")

    def restarts(self, instance: str) -> int:
        """How often systemd had to start it again."""
        return int(_show(instance, "NRestarts") or 0)

    def processes(self, instance: str) -> list[int]:
        """Return the ids of all its processes."""
        group = _show(instance, "ControlGroup")
        if not group:
            return []
        try:
            return [int(line) for line in Path(f"/sys/fs/cgroup{group}/cgroup.procs").read_text().split()]
        except FileNotFoundError:
            return []

    def log(self, instance: str, since: float) -> list[str]:
        """Return what it logged from `since` (Unix time) on, at most the last 500 lines."""
        command = ["journalctl", "--quiet", "--unit", unit(instance), "--since", f"@{since:.3f}"]
        return _ask(*command, "--lines", "500", "--output", "cat").splitlines()

    def where(self, instance: str) -> str:
        """Return where its log is read."""
        return f"journalctl -u {unit(instance)}"


# Of a thread: a machine's endpoints are deployed side by side, each with instances of its own.
_services: ContextVar[Services] = ContextVar("services", default=Systemd())  # noqa: B039 - it has no state


def use(services: Services) -> None:
    """Have these run instances from now on, in this thread."""
    _services.set(services)


def start(instance: str) -> None:
    """Start it now, but not at boot."""
    _services.get().start(instance)


def restart(instance: str) -> None:
    """Stop and start it again, where it runs."""
    _services.get().restart(instance)


def stop(instance: str) -> None:
    """Stop it and wait until it is gone; does nothing where it does not run."""
    _services.get().stop(instance)


def enable(instance: str) -> None:
    """Have it started at boot."""
    _services.get().enable(instance)


def disable(instance: str) -> None:
    """Do not have it started at boot."""
    _services.get().disable(instance)


def enabled(instance: str) -> bool:
    """Whether it is started at boot."""
    return _services.get().enabled(instance)


def running(instance: str) -> bool:
    """Whether it is started, or about to be started again."""
    return _services.get().running(instance)


def restarts(instance: str) -> int:
    """How often systemd had to start it again."""
    return _services.get().restarts(instance)


def processes(instance: str) -> list[int]:
    """Return the ids of all its processes."""
    return _services.get().processes(instance)


def log(instance: str, since: float) -> list[str]:
    """Return what it logged from `since` (Unix time) on, at most the last 500 lines."""
    return _services.get().log(instance, since)


def where(instance: str) -> str:
    """Return where its log is read."""
    return _services.get().where(instance)


def _show(instance: str, field: str) -> str:
    return _ask("systemctl", "show", "--property", field, "--value", unit(instance)).strip()


def _run(*command: str) -> None:
    done = _call(command)
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"status {done.returncode}"
        raise ServiceError(f"{' '.join(command)}: {said}")


def _ask(*command: str) -> str:
    return _call(command).stdout


def _call(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    # In a session of its own: Ctrl-C in a terminal goes to all of ours.
    done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    if done.returncode in (-signal.SIGTERM, -signal.SIGINT):
        # Whoever stops a unit that runs us (systemd-run) tells it as well. All we run can be run again.
        done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    return done
