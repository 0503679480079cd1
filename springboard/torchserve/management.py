"""TorchServe's management API: the truth about a release's workers, which its /ping does not tell.

/ping says 200 while it loads, with no model and through crash loops, so it is never asked.
"""

from dataclasses import dataclass

import httpx

from springboard.endpoint.document import Served
from springboard.endpoint.names import MODEL
from springboard.torchserve import transport

_SECONDS = 2.0


@dataclass(frozen=True)
class Workers:
    """TorchServe's own account of a release: its workers, by process id those READY, and its batch size.

    `processes` are the ids of all, those that load too.
    """

    ready: frozenset[int]
    total: int
    batch_size: int
    processes: frozenset[int] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether every worker has loaded the model."""
        return len(self.ready) >= self.total > 0


NO_WORKERS = Workers(ready=frozenset(), total=0, batch_size=1)


def url(served: Served) -> str:
    """Return where TorchServe tells of this release."""
    return transport.url(served.management, f"/models/{MODEL}/{served.release}")


def read(answer: httpx.Response) -> Workers:
    """Read the answer of a TorchServe that serves the release; raise ValueError where it is none."""
    try:
        (model,) = answer.json()
        workers = model["workers"]
        return Workers(
            ready=frozenset(worker["pid"] for worker in workers if worker["status"] == "READY"),
            total=max(len(workers), model["minWorkers"]),
            batch_size=model["batchSize"],
            # One that is about to be started has none yet.
            processes=frozenset(pid for worker in workers if (pid := worker["pid"]) > 0),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("no answer of TorchServe's management API") from error


def ask(served: Served) -> Workers | None:
    """Ask once and wait for the answer; None until TorchServe answers.

    It answers once it has read its archives, so `NO_WORKERS` means that this release's is unreadable, or that
    something else listens there.
    """
    try:
        answer = transport.request("GET", url(served), timeout=_SECONDS)
    except httpx.HTTPError:
        return None
    try:
        return read(answer) if answer.is_success else NO_WORKERS
    except ValueError:
        return NO_WORKERS
