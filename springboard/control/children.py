"""Instances as children of this process, where no systemd runs them: started, restarted, stopped, remembered.

What `springboard.deploy.units` is on a host. A child ends when we do, however we end.
"""

import os
import shutil
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from springboard.control.place import Place
from springboard.deploy.units import ServiceError
from springboard.system import apart
from springboard.system.processes import Child

_STOP_SECONDS = 15.0
_RESTART_SECONDS = 2.0
_LOOK_SECONDS = 0.2
_LINES = 500
_LOG = "torchserve.log"


class _Run:
    """One instance that shall run: its child, and how often that had to be started again."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.restarts = 0
        self.wanted = True


class Children:
    """Runs instances of one place; `close` stops all, and then nothing starts any more."""

    def __init__(self, place: Place, environment: dict[str, str]) -> None:
        """`environment` is the children's, beside what configures each."""
        self._place = place
        self._environment = environment
        self._runs: dict[str, _Run] = {}
        self._lock = threading.RLock()
        self._closed = False

    def start(self, instance: str) -> None:
        """Start it, unless it runs; raise `ServiceError` where it cannot be."""
        with self._lock:
            if self._closed:
                raise ServiceError("this server ends")
            if instance in self._runs:
                return
            run = _Run(self._spawn(instance))
            self._runs[instance] = run
        threading.Thread(target=self._keep, args=(instance, run), daemon=True).start()

    def restart(self, instance: str) -> None:
        """Stop and start it again, where it runs."""
        if self.running(instance):
            self.stop(instance)
            self.start(instance)

    def stop(self, instance: str) -> None:
        """Stop it and wait until it is gone; does nothing where it does not run."""
        with self._lock:
            run = self._runs.pop(instance, None)
            if run is None:
                return
            run.wanted = False
            run.child.stop(_STOP_SECONDS)

    def enable(self, instance: str) -> None:
        """Have it started with the server."""
        (self._place.enabled / instance).touch()

    def disable(self, instance: str) -> None:
        """Do not have it started with the server."""
        (self._place.enabled / instance).unlink(missing_ok=True)

    def enabled(self, instance: str) -> bool:
        """Whether it is started with the server."""
        return (self._place.enabled / instance).exists()

    def running(self, instance: str) -> bool:
        """Whether it is started, or about to be started again."""
        return instance in self._runs

    def names(self) -> list[str]:
        """Return those that are started."""
        return list(self._runs)

    def restarts(self, instance: str) -> int:
        """How often it had to be started again."""
        run = self._runs.get(instance)
        return run.restarts if run else 0

    def processes(self, instance: str) -> list[int]:
        """Return the ids of all its processes, which are one session's."""
        run = self._runs.get(instance)
        if run is None:
            return []
        leader, found = run.child.process.pid, []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                if os.getsid(int(folder.name)) == leader:
                    found.append(int(folder.name))
        return found

    def log(self, instance: str, since: float) -> list[str]:
        """Return what it logged since it was started last, at most the last 500 lines."""
        try:
            with self._path(instance).open(encoding="utf-8", errors="replace") as lines:
                return [line.rstrip("\n") for line in deque(lines, _LINES)]
        except FileNotFoundError:
            return []

    def where(self, instance: str) -> str:
        """Return where its log is read."""
        return str(self._path(instance))

    def close(self) -> None:
        """Stop all, and start none any more."""
        with self._lock:
            self._closed = True
            for instance in list(self._runs):
                self.stop(instance)

    def _path(self, instance: str) -> Path:
        return self._place.instances / instance / _LOG

    def _spawn(self, instance: str) -> Child:
        folder, runtime = self._place.instances / instance, self._place.runtime
        try:
            lines = (folder / "torchserve.env").read_text(encoding="utf-8").splitlines()
            work = folder / "work"
            # What a killed predecessor left: its unpacked model, half a gigabyte.
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(mode=0o700)
            with self._path(instance).open("wb") as output:
                return Child(
                    [
                        *apart.COMMAND,
                        str(runtime / "bin/torchserve"),
                        *("--start", "--foreground", "--no-config-snapshots"),
                        *("--ts-config", str(runtime / "config.properties")),
                        *("--log-config", str(runtime / "log4j2.xml")),
                        *("--model-store", str(folder / "model-store")),
                    ],
                    env={**self._environment, **dict(line.split("=", 1) for line in lines)},
                    cwd=work,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        except OSError as error:
            raise ServiceError(f"{instance} cannot be started: {error}") from error

    def _keep(self, instance: str, run: _Run) -> None:
        """Start it again whenever it ends, until it is stopped."""
        while run.wanted:
            time.sleep(_LOOK_SECONDS)
            if run.child.running:
                continue
            time.sleep(_RESTART_SECONDS)
            with self._lock:
                if not run.wanted or self._closed:
                    return
                run.restarts += 1
                run.child.stop(0)
                with suppress(ServiceError):  # its folder may be gone; whoever asks finds it dying
                    run.child = self._spawn(instance)
