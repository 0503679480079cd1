"""`springboard serve --control`: SageMaker's control plane beside the front, and the agent behind it."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fastapi import FastAPI

from springboard.cli import local, worker
from springboard.cli.said import fail
from springboard.control import alarms, wire
from springboard.control.documents import Documents
from springboard.control.endpoints import Endpoints, slot_of
from springboard.control.names import ENDPOINT, Identity
from springboard.control.place import Place, PlaceError
from springboard.control.seats import Seats, served
from springboard.control.store import Folder
from springboard.control.transforms import Transforms
from springboard.deploy.settings import Host, Worker
from springboard.endpoint.asynchronous import Async
from springboard.endpoint.document import Endpoint
from springboard.front.front import Front
from springboard.front.server import Applications, Companion
from springboard.system.files import lock

log = logging.getLogger("springboard.control")

# Open as long as this process: closing it gives its lock away.
_held: list[IO[str]] = []


@dataclass(frozen=True)
class Control:
    """A control plane in one folder of this machine."""

    place: Place
    identity: Identity
    base: Host
    lenient: bool
    seats: Seats
    alarms: frozenset[str]

    def endpoint(self) -> Endpoint:
        """Return what was served last, which the agent brings back; at first, nothing."""
        nothing = Endpoint(variants=(), limits=self.base.limits, allowed_buckets=self.base.allowed_buckets)
        documents = Folder(self.place.documents).every(ENDPOINT)
        if all(slot_of(one) for one in documents):  # nobody would bring it back
            for path in (self.place.endpoint, self.place.state):
                path.unlink(missing_ok=True)
        return served(self.place, nothing)

    def add_routes(self, app: FastAPI, front: Front, application: Applications) -> None:
        """Put the control plane's route into the front's application, and further endpoints beside it."""
        front.account = self.identity.account
        documents = Documents(Folder(self.place.documents), self.identity, self.lenient)
        operations = documents.operations | Endpoints(documents, self.seats.hold, self.alarms).operations
        operations |= Transforms(documents, lambda: self.base.allowed_buckets, self.seats.wake).operations
        wire.add(app, front, operations, self.identity)
        self.seats.begin(app, front, application)

    async def keep(self, url: str) -> None:
        """Deploy what the documents say until cancelled; `url` is where we ask the front."""
        await self.seats.keep(url)


def begin(
    folder: Path,
    called: str,
    lenient: bool,
    here: Endpoint,
    results: Path | None,
    log_json: bool,
    prometheus: str | None,
) -> Control:
    """Return the control plane of a folder, which no other server has; `here` is what all endpoints share."""
    place = Place(folder.expanduser().resolve())
    try:
        identity = Identity.parse(called)
        place.prepare()
    except (PlaceError, ValueError) as error:
        fail(f"--control: {error}")
    held = place.lock.open("a+")
    if not lock(held):
        fail(f"--control: another server is at work in {place.root}; stop it, or give another folder")
    _held.append(held)
    base = Host(
        models="s3://none",  # every release is on this machine before it is deployed
        worker=Worker(runtime=place.runtime, workers=0),
        unproven=True,
        limits=here.limits,
        allowed_buckets=here.allowed_buckets,
        aliases=here.aliases,
    )
    jobs = Async(output=str(results.resolve())) if results else None
    base = base.model_copy(update={"asynchronous": jobs})

    def working(url: str, file: Path) -> Companion:
        return worker.companion(url, Endpoint(variants=()), file, log_json)

    watched = alarms.Prometheus(prometheus) if prometheus else None
    seats = Seats(place, base, local.without_credentials(os.environ), working, watched)
    return Control(place, identity, base, lenient, seats, alarms.KNOWN if watched else frozenset())
