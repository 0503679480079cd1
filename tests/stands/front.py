"""Starts what the front's tests talk to: TorchServes with the puppet in them, the front as a process."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from springboard.system.processes import Child
from springboard.torchserve.process import TorchServe

HERE = Path(__file__).parent
SPRINGBOARD = Path(sys.executable).with_name("springboard")


def build_puppet(
    folder: Path,
    version: str = "1.0.0",
    *,
    workers: int = 1,
    batch_size: int = 1,
    timeout_s: int = 20,
    fault: str = "",
) -> Path:
    """Archive the puppet as a release; `folder` also takes its configuration. puppet.py tells the faults."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f"model-config-{version}.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "minWorkers": workers,
                "maxWorkers": workers,
                "batchSize": batch_size,
                "maxBatchDelay": 50,
                "responseTimeout": timeout_s,
                "startupTimeout": 120,
                "handler": {"fault": fault},
            }
        )
    )
    archiver = Path(sys.executable).with_name("torch-model-archiver")
    command: list[str | Path] = [
        archiver,
        "--model-name",
        "dive",
        "--version",
        version,
        "--handler",
        HERE / "puppet.py",
    ]
    command += ["--config-file", config, "--export-path", folder, "--force"]
    subprocess.run(command, check=True, capture_output=True)
    return (folder / "dive.mar").rename(folder / f"dive-{version}.mar")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for `condition`, however long a busy machine takes within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)


class FrontProcess:
    """`springboard serve` as a person starts it, on a free port. A context manager."""

    def __init__(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> None:
        self._command = [str(SPRINGBOARD), "serve", "--port", "0", *map(str, arguments)]
        self._environment = {**os.environ, **(environment or {})}
        self._lines: queue.Queue[str] = queue.Queue()
        self.log: list[str] = []
        self.url = ""

    def __enter__(self) -> Self:
        self._child = Child(
            self._command, env=self._environment, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        self.process = self._child.process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            wait_until(lambda: bool(self.url) or self.process.poll() is not None, "the front to listen", 120)
            assert self.url, "\n".join(self.log)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGINT)  # the second one: at once
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        self._child.stop(0)
        self._reader.join()
        assert self.process.stderr
        self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.append(line.rstrip())
            if found := re.search(r"listening on (http://\S+);", line):
                self.url = found[1]

    def wait_ready(self) -> Self:
        wait_until(lambda: httpx.get(f"{self.url}/ping").status_code == 200, "/ping to be 200", 120)
        return self

    def score(self, body: bytes, **headers: str) -> httpx.Response:
        return httpx.post(
            f"{self.url}/invocations",
            content=body,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            timeout=90,
        )

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = httpx.get(f"{self.url}/endpoints/dive-scoring").json()
        return state

    def metric(self, name: str, **labels: str) -> float:
        """Sum a metric's samples that have these labels."""
        total = 0.0
        for line in httpx.get(f"{self.url}/metrics").text.splitlines():
            if re.match(rf"{name}(\{{|\s)", line) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total


def write_endpoint(path: Path, variants: list[tuple[str, TorchServe, int]], **more: Any) -> Path:
    """Write an endpoint file (name, TorchServe, weight) as a deployment does: at once."""
    document = {
        "variants": [
            {
                "name": name,
                "release": server.version,
                "address": server.served.address,
                "management": server.served.management,
                "metrics": server.served.metrics,
                "weight": weight,
            }
            for name, server, weight in variants
        ],
        **more,
    }
    draft = path.with_suffix(".draft")
    draft.write_text(yaml.safe_dump(document))
    draft.replace(path)
    return path


@contextmanager
def at_work(*callers: Callable[[], object]) -> Iterator[None]:
    """Call each of `callers` over and over, in a thread of its own, until the end."""
    stop = threading.Event()

    def run(call: Callable[[], object]) -> None:
        while not stop.is_set():
            call()

    threads = [threading.Thread(target=run, args=(call,)) for call in callers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def steady_load(url: str, body: bytes, clients: int = 4) -> Iterator[list[int]]:
    """Score `body` over and over from `clients` threads; yields the statuses, 0 for no answer."""
    statuses: list[int] = []

    with httpx.Client(timeout=90) as client:

        def call() -> None:
            try:
                statuses.append(client.post(f"{url}/invocations", content=body).status_code)
            except httpx.HTTPError:
                statuses.append(0)

        with at_work(*[call] * clients):
            yield statuses
