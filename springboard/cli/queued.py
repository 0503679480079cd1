"""What commands share whose videos nobody waits for: `work`, `watch`, `batch` and `jobs`."""

import signal
import threading
from pathlib import Path

from springboard.cli.said import fail
from springboard.endpoint.asynchronous import Async
from springboard.endpoint.document import Endpoint

ON_A_HOST = Path("/etc/springboard/endpoint.yml")


def settings_of(endpoint: Endpoint, file: Path) -> Async:
    """Return an endpoint's `async`; end the command where its file has none."""
    if endpoint.asynchronous is None:
        fail(f"{file} has no `async`, so nothing is scored that nobody waits for")
    return endpoint.asynchronous


def check_folder(folder: Path, settings: Async) -> None:
    """End the command unless the worker takes files from a folder, which is resolved."""
    if not folder.is_dir():
        fail(f"{folder} is no folder")
    if not any(folder.is_relative_to(Path(one).resolve()) for one in settings.inputs):
        fail(f"the worker takes no files from {folder}: it is in none of the folders of async.inputs")


def stop_event() -> threading.Event:
    """Return what SIGTERM and Ctrl-C set from now on."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
