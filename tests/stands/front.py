"""A front as a process, the endpoint file it reads, and load on it."""

import itertools
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from springboard.system.processes import Child
from springboard.system.tls import authorities
from springboard.torchserve.process import TorchServe
from tests.stands.waiting import at_work, wait_until

SPRINGBOARD = Path(sys.executable).with_name("springboard")


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
        ping = f"{self.url}/ping"
        wait_until(lambda: _get(ping).status_code == 200, "/ping to be 200", 120)
        return self

    def score(self, body: bytes, **headers: str) -> httpx.Response:
        return httpx.post(
            f"{self.url}/invocations",
            content=body,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            timeout=90,
            verify=authorities(),
        )

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = _get(f"{self.url}/endpoints/dive-scoring").json()
        return state

    def metric(self, name: str, **labels: str) -> float:
        """Sum a metric's samples that have these labels."""
        total = 0.0
        for line in _get(f"{self.url}/metrics").text.splitlines():
            if re.match(rf"{name}(\{{|\s)", line) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total


def _get(url: str) -> httpx.Response:
    return httpx.get(url, verify=authorities())


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
def steady_load(url: str, body: bytes, clients: int = 4) -> Iterator[list[int]]:
    """Score videos that say `body`, no two alike, from `clients` threads; yields the statuses.

    0 stands for no answer.
    """
    statuses: list[int] = []
    numbers = itertools.count()

    with httpx.Client(timeout=90, verify=authorities()) as client:

        def call() -> None:
            try:
                video = b"%s number=%d" % (body, next(numbers))
                statuses.append(client.post(f"{url}/invocations", content=video).status_code)
            except httpx.HTTPError:
                statuses.append(0)

        with at_work(*[call] * clients):
            yield statuses
