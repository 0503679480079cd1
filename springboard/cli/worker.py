"""The worker beside `springboard serve` on a developer's machine; on a host it is a unit of its own."""

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import yaml

from springboard.endpoint.document import Endpoint
from springboard.front.front import Front
from springboard.front.server import Companion
from springboard.system.processes import Backoff, Child

log = logging.getLogger("springboard.children")

_LOOK_SECONDS = 0.5
_STOP_SECONDS = 5


def companion(url: str, endpoint: Endpoint, endpoint_file: Path | None, log_json: bool) -> Companion:
    """Return what keeps a worker at work for the front at `url`, while its endpoint has `async`."""
    options = ["--front", url, "--stop-within", str(_STOP_SECONDS), *(["--log-json"] if log_json else [])]
    return lambda front: _keep_working(front, options, endpoint, endpoint_file)


async def _keep_working(
    front: Front, options: list[str], endpoint: Endpoint, endpoint_file: Path | None
) -> None:
    with tempfile.TemporaryDirectory(prefix="springboard-") as folder:
        path = endpoint_file or Path(folder) / "endpoint.yml"
        if endpoint_file is None:
            path.write_text(yaml.safe_dump(endpoint.model_dump(mode="json", by_alias=True)), encoding="utf-8")
        child: Child | None = None
        began, backoff = 0.0, Backoff(0.5, 30.0)
        try:
            while True:
                if front.endpoint.asynchronous is not None and child is None:
                    child, began = _start(path, options), time.monotonic()
                if child is not None and not child.running:
                    pause = backoff.after(time.monotonic() - began)
                    log.error("the worker ended, %s. Starting it again in %g s", child.ended(), pause)
                    child.stop(0)
                    child = None
                    await asyncio.sleep(pause)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if child is not None:
                await asyncio.to_thread(child.stop, _STOP_SECONDS + 5)


def _start(path: Path, options: list[str]) -> Child:
    command = [sys.executable, "-m", "springboard", "work", "--endpoint-file", str(path)]
    return Child([*command, *options])
