"""`springboard serve --control`: SageMaker's control plane beside the front, and the agent behind it."""

import asyncio
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml
from fastapi import FastAPI

from springboard.cli import local
from springboard.cli.said import fail
from springboard.control import wire
from springboard.control.agent import Agent
from springboard.control.children import Children
from springboard.control.documents import Documents
from springboard.control.endpoints import Endpoints
from springboard.control.names import Identity
from springboard.control.place import Place, PlaceError
from springboard.control.store import Folder
from springboard.deploy import units
from springboard.deploy.settings import Host, Worker
from springboard.deploy.stop import Stop, Stopped
from springboard.endpoint import document as endpoints
from springboard.endpoint.asynchronous import Async
from springboard.endpoint.document import Endpoint, EndpointFileError
from springboard.front.front import Front
from springboard.system.files import lock, write_atomically

log = logging.getLogger("springboard.control")

_AGAIN_SECONDS = 5.0
# Open as long as this process: closing it gives its lock away.
_held: list[IO[str]] = []


@dataclass(frozen=True)
class Control:
    """A control plane in one folder of this machine."""

    place: Place
    identity: Identity
    base: Host
    lenient: bool

    def endpoint(self) -> Endpoint:
        """Return what was served last, which the agent brings back; at first, nothing."""
        try:
            found = endpoints.load(self.place.endpoint)
        except EndpointFileError:
            if self.place.endpoint.exists():
                raise
            found = Endpoint(variants=())
        if not found.variants:
            found = Endpoint(variants=(), limits=self.base.limits, allowed_buckets=self.base.allowed_buckets)
            document = found.model_dump(mode="json", by_alias=True)
            write_atomically(self.place.endpoint, yaml.safe_dump(document, sort_keys=False))
        return found

    def add_routes(self, app: FastAPI, front: Front) -> None:
        """Put the control plane's route into the front's application."""
        front.account = self.identity.account
        documents = Documents(Folder(self.place.documents), self.identity, self.lenient)
        operations = documents.operations | Endpoints(documents).operations
        wire.add(app, front, operations, self.identity)

    async def keep(self, url: str) -> None:
        """Deploy what the documents say until cancelled; `url` is where we ask the front."""
        stop, children = Stop(), Children(self.place, local.without_credentials(os.environ))
        units.use(children)
        base = self.base.model_copy(update={"front_url": url})
        agent = Agent(self.place, Folder(self.place.documents), base, stop.ask)
        # A daemon: what is cut off when we end is undone by the next one, as after any other death.
        threading.Thread(target=_work, args=(agent,), daemon=True).start()
        try:
            await asyncio.Event().wait()
        finally:
            stop.tell("the server ends")
            await asyncio.to_thread(children.close)


def _work(agent: Agent) -> None:
    while True:
        try:
            agent.run()
        except Stopped:
            return
        except Exception:
            log.exception("a bug of ours; the agent begins anew")
            time.sleep(_AGAIN_SECONDS)


def begin(
    folder: Path,
    called: str,
    lenient: bool,
    here: Endpoint,
    results: Path | None,
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
    return Control(place, identity, base.model_copy(update={"asynchronous": jobs}), lenient)
