"""What a host remembers of its deployments, and the lock that lets only one work at a time."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from springboard.system import documents
from springboard.system.documents import Strict
from springboard.system.files import lock, write_atomically

TIDY = "springboard tidy"
# The phase of a deployment that failed, until all is as it was before.
UNDOING = "undoing"
_LOOK_SECONDS = 0.2


class Busy(Exception):
    """Another deployment is at work; the message says whose."""


class StateError(Exception):
    """deployment.json cannot be read; the message says why."""


class Place(Strict):
    """A release and the instance that serves it."""

    version: str
    instance: str


class Unfinished(Place):
    """A deployment at work, or one that was killed: nothing of it is promised to anybody."""

    phase: str


class Share(Place):
    """What serves for good beside what is promoted; its weight is its share, by the weights of all."""

    weight: int


class State(BaseModel):
    """deployment.json.

    `promoted` is what the host serves, now and after a reboot. `previous` is what a rollback returns to; its
    instance stays up until `warm_until` (Unix time). `left` is what a rollback left: no second one returns to
    it. `shadow` gets copies. `beside` has, by name, what serves for good beside what is promoted, which
    has `weight` then. `share`: how many percent of that the release that is `deploying` has on its trial.
    `last` says how the last deployment ended.
    """

    # Later versions may add fields; a host that goes back to this one need not know them.
    model_config = ConfigDict(extra="ignore")

    promoted: Place | None = None
    previous: Place | None = None
    warm_until: float = 0.0
    left: Place | None = None
    shadow: Place | None = None
    beside: dict[str, Share] = {}
    weight: int = 1
    deploying: Unfinished | None = None
    share: int = 0
    last: str = ""

    @property
    def warm(self) -> bool:
        """Whether the previous release's instance shall still be up."""
        return self.previous is not None and time.time() < self.warm_until


def load(path: Path) -> State:
    """Return the state; a host without one has nothing deployed. Raises `StateError`."""
    return documents.load(path, State, StateError, as_json=True, missing=State())


def save(path: Path, state: State) -> None:
    """Write the state, whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only where they say something: earlier versions, which a host may go back to, refuse fields they do not
    # know.
    later = ("left", "share", "beside", "weight")
    silent = {name for name in later if getattr(state, name) == State.model_fields[name].default}
    document = state.model_dump(exclude=silent)
    write_atomically(path, json.dumps(document, indent=2) + "\n")


@contextmanager
def alone(path: Path, what: str, wait: bool) -> Iterator[None]:
    """Hold the lock; raise `Busy` where another holds it, unless told to `wait`. It goes with the process.

    A timer's tidying up is waited for: nobody asked for it, and it is short.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whoever may open it may lock it, and have every deployment wait.
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+") as file:
        os.fchmod(file.fileno(), 0o600)
        while not lock(file):
            file.seek(0)
            holder = file.read().strip()
            if not wait and holder and not holder.startswith(TIDY):
                raise Busy(
                    f"another deployment is at work: {holder}. Wait for its end (--wait), or have it roll "
                    "back: kill the process"
                )
            if what == TIDY:
                raise Busy(f"a deployment is at work: {holder}")
            time.sleep(_LOOK_SECONDS)
        file.truncate(0)
        file.write(f"{what}, process {os.getpid()}, since {datetime.now(UTC):%H:%M:%S} UTC")
        file.flush()
        yield
        file.truncate(0)
