"""Where a machine keeps its queue, and what opens whichever queue `async:` names."""

import os
import secrets
from pathlib import Path

from springboard.endpoint.asynchronous import Async
from springboard.jobs.local import LocalQueue
from springboard.jobs.sqs import SqsQueue
from springboard.system.files import write_new


def state_folder() -> Path:
    """Return the folder of this service's own: systemd's, else the user's (XDG Base Directory, 0.8)."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    return Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()) / "springboard"


def open_queue(settings: Async, endpoint: str) -> LocalQueue | SqsQueue:
    """Open the queue of an endpoint; raise `QueueAway`."""
    if settings.queue.startswith("http"):
        return SqsQueue(settings.queue, settings.lease_seconds)
    folder = Path(settings.queue) if settings.queue else state_folder() / "jobs" / endpoint
    return LocalQueue(folder, settings.lease_seconds)


def worker_token() -> str:
    """Return the secret that a worker shows the front of the same user and machine. Raises OSError."""
    path = state_folder() / "worker.token"
    if not path.exists():
        write_new(path, secrets.token_urlsafe(32).encode(), 0o600)
    return path.read_text()
