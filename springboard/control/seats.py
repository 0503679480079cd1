"""A server's endpoints side by side: each has a front, instances, and an agent that deploys there.

So has the one transform job at work, after the endpoints. The first one's front is the server's own.
"""

import asyncio
import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from fastapi import FastAPI

from springboard.control.agent import Agent, room
from springboard.control.alarms import Prometheus
from springboard.control.children import Children
from springboard.control.endpoints import slot_of
from springboard.control.fronts import Fronts, Further
from springboard.control.names import ENDPOINT, FRONT, MOST_ENDPOINTS
from springboard.control.place import Place
from springboard.control.store import Folder
from springboard.control.transforming import Transformer
from springboard.control.transforms import turn
from springboard.deploy import units
from springboard.deploy.settings import Host
from springboard.deploy.stop import Stop, Stopped
from springboard.endpoint import document as endpoints
from springboard.endpoint.document import Endpoint, EndpointFileError
from springboard.front.front import Front
from springboard.front.server import Applications, Companion
from springboard.system.files import write_atomically

log = logging.getLogger("springboard.control")

_LOOK_SECONDS = 0.2
_AGAIN_SECONDS = 5.0
_JOB_SLOT = MOST_ENDPOINTS


@dataclass
class _Seat:
    """One endpoint at work; `further` only where its front is not the server's own."""

    name: str
    place: Place
    children: Children
    stop: Stop
    agent: threading.Thread
    further: Further | None = None


class Seats:
    """Has each endpoint's document find somebody who works for it."""

    def __init__(
        self,
        place: Place,
        base: Host,
        environment: dict[str, str],
        worker: Callable[[str, Path], Companion],
        prometheus: Prometheus | None = None,
    ) -> None:
        """`environment` is the instances', `worker` makes what scores jobs at a front's URL, by its file.

        `prometheus` tells what alarms fire.
        """
        self._prometheus = prometheus
        self._place, self._base = place, base
        self._environment, self._worker = environment, worker
        self._store = Folder(place.documents)
        self._fronts = Fronts()
        self._seats: dict[int, _Seat] = {}
        self._job = ""
        self._jobs_changed = threading.Event()
        self._jobs_changed.set()

    def wake(self) -> None:
        """Look for transform jobs: one is there that was not."""
        self._jobs_changed.set()

    def begin(self, app: FastAPI, front: Front, application: Applications) -> None:
        """Take a server's own front, for the first endpoint, and the way to make others."""
        self._fronts.begin(app, front, application)

    def hold(self, more: int) -> bool:
        """Whether so many more endpoints as large as the largest there is fit into memory."""
        children = [seat.children for seat in list(self._seats.values())]
        return room((one.processes(name) for one in children for name in one.names()), more)

    async def keep(self, url: str) -> None:
        """Have every endpoint worked for until cancelled; `url` is where this server is asked."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._look(url, group)
                    await asyncio.sleep(_LOOK_SECONDS)
        finally:
            for seat in self._seats.values():
                seat.stop.tell("the server ends")
            closing = [asyncio.to_thread(seat.children.close) for seat in self._seats.values()]
            await asyncio.gather(*closing)

    async def _look(self, url: str, group: asyncio.TaskGroup) -> None:
        documents = await asyncio.to_thread(self._store.every, ENDPOINT)
        wanted = {slot_of(one): str(one["name"]) for one in documents}
        if job := await self._turn():
            wanted[_JOB_SLOT] = job
        for slot, seat in list(self._seats.items()):
            if wanted.get(slot) != seat.name or not seat.agent.is_alive():
                await self._close(seat)
                del self._seats[slot]
                if slot == _JOB_SLOT:
                    wanted.pop(slot, None)
                    self.wake()
        for slot in sorted(wanted.keys() - self._seats.keys()):
            try:
                self._seats[slot] = await self._open(wanted[slot], self._place.at(slot), url, group)
            except (OSError, EndpointFileError) as error:
                log.error("endpoint %s cannot begin: %s", wanted[slot], error)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _turn(self) -> str:
        """Return the transform job whose turn it is, the oldest that has not ended; empty where all have."""
        if self._jobs_changed.is_set():
            self._jobs_changed.clear()
            self._job = await asyncio.to_thread(turn, self._store)
        return self._job

    async def _open(self, name: str, place: Place, url: str, group: asyncio.TaskGroup) -> _Seat:
        further, aliases = None, self._base.aliases
        if place.slot:
            called = f"_{name}" if place.slot == _JOB_SLOT else name
            url, aliases = f"{url}/endpoints/{called}{FRONT}", ()
            await asyncio.to_thread(_clear, place, name)
            place.prepare_own()
            endpoint = served(place, Endpoint(endpoint=name, variants=()))
            further = self._fronts.open(called, place.endpoint, endpoint)
            self._fronts.tend(further, group, self._worker(url, place.endpoint)(further.front))
        else:
            self._fronts.first = name
        stop, children = Stop(), Children(place, self._environment)
        base = self._base.model_copy(update={"front_url": url, "aliases": aliases})
        agent: Agent | Transformer = Agent(name, place, self._store, base, stop.ask, self._prometheus)
        if place.slot == _JOB_SLOT:
            agent = Transformer(name, place, self._store, base, stop.ask, self.hold)
        # A daemon: what is cut off when we end is undone by the next one, as after any other death.
        thread = threading.Thread(target=_work, args=(agent, children), daemon=True)
        thread.start()
        return _Seat(name, place, children, stop, thread, further)

    async def _close(self, seat: _Seat) -> None:
        """End what worked for an endpoint that is gone; nobody is at its front any more."""
        seat.stop.tell("the endpoint is deleted")
        await asyncio.to_thread(seat.children.close)
        await asyncio.to_thread(seat.agent.join)
        if seat.further:
            await self._fronts.close(seat.further)
            await asyncio.to_thread(shutil.rmtree, seat.place.own, ignore_errors=True)
        else:
            self._fronts.first = ""


def served(place: Place, nothing: Endpoint) -> Endpoint:
    """Return what was served last at a place, which its agent brings back; at first, and written, `nothing`.

    Raises `EndpointFileError` where the file is there and cannot be used.
    """
    try:
        found = endpoints.load(place.endpoint)
    except EndpointFileError:
        if place.endpoint.exists():
            raise
        found = nothing
    if found.variants:
        return found
    document = nothing.model_dump(mode="json", by_alias=True)
    write_atomically(place.endpoint, yaml.safe_dump(document, sort_keys=False))
    return nothing


def _clear(place: Place, name: str) -> None:
    """Remove what a server that died left of another one that had this place."""
    try:
        if endpoints.load(place.endpoint).endpoint != name:
            shutil.rmtree(place.own)
    except EndpointFileError:  # it is not there, or `served` tells of it
        return


def _work(agent: Agent | Transformer, children: Children) -> None:
    units.use(children)
    while True:
        try:
            agent.run()
        except Stopped:
            return
        except Exception:
            log.exception("a bug of ours; the agent begins anew")
            time.sleep(_AGAIN_SECONDS)
        else:
            return
