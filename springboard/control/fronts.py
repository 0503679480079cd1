"""Further fronts in one server, an endpoint's each: who calls one by its name gets to that one's.

Below `/endpoints/NAME/front` each has all that a server has at its root: `/metrics`, `/ping`.
"""

import asyncio
import logging
import os
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from springboard.control.names import FRONT, MOST_ENDPOINTS
from springboard.endpoint import document as endpoints
from springboard.endpoint.document import Endpoint, EndpointFileError
from springboard.front.front import Front
from springboard.front.server import Applications, reload_endpoint
from springboard.system.watch import watch

log = logging.getLogger("springboard.control")

_LOOK_SECONDS = 0.5
# No endpoint's name begins as a job's does on a laptop.
_CALLED = re.compile(r"/endpoints/(?P<name>_?[A-Za-z0-9-]+)(?P<rest>/.*)?")


@dataclass
class Further:
    """A front beside a server's own, which goes by a file; `tasks` are what works for it."""

    called: str  # as it is in its URL
    file: Path
    front: Front
    app: ASGIApp
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Fronts:
    """Those of one server. `first` is what its own front is called, beside that endpoint's name."""

    def __init__(self) -> None:
        self.first = ""
        self._further: dict[str, Further] = {}

    def begin(self, app: FastAPI, front: Front, application: Applications) -> None:
        """Take a server's own front, and the way to make others."""
        self.own, self._application = front, application
        app.add_middleware(ByName, fronts=self)

    def app_of(self, name: str, own: ASGIApp) -> ASGIApp | None:
        """Return what answers for an endpoint, `own` for the server's first; None of a name that none has."""
        if further := self._further.get(name):
            return further.app
        return own if name == self.first or self.own.answers_to(name) else None

    def open(self, called: str, file: Path, endpoint: Endpoint) -> Further:
        """Have another front, for what `file` says; it answers from now on, once somebody tends it."""
        front = self.own.another(endpoint)
        further = Further(called, file, front, self._application(front))
        self._further[called] = further
        self.own.beside.append(front)
        return further

    def tend(self, further: Further, group: asyncio.TaskGroup, *more: Coroutine[Any, Any, None]) -> None:
        """Have its workers found ready, and edits of its file taken over; and `more` be done for it."""
        front, file = further.front, further.file

        def edited() -> None:
            if _there(file):  # else its endpoint is gone, and it is about to be closed
                reload_endpoint(front, file)

        further.tasks = [group.create_task(one) for one in (front.run(), watch(file, edited), *more)]

    async def close(self, further: Further) -> None:
        """End what works for an endpoint that is gone; nobody is at its front any more."""
        del self._further[further.called]
        for task in further.tasks:
            task.cancel()
        await asyncio.gather(*further.tasks, return_exceptions=True)
        await further.front.close()
        self.own.beside.remove(further.front)


class Followed:
    """A host's: one for each file in a folder, SLOT.yml, which root writes as it does endpoint.yml."""

    def __init__(self, folder: Path) -> None:
        self._files = [folder / f"{slot}.yml" for slot in range(1, MOST_ENDPOINTS)]
        self._fronts = Fronts()
        self._here: dict[Path, Further] = {}
        self._told: dict[Path, str] = {}

    def begin(self, app: FastAPI, front: Front, application: Applications) -> None:
        """Take a server's own front, and have those beside it that are here, before anybody calls."""
        self._fronts.begin(app, front, application)
        self._open()

    async def keep(self, _: Front) -> None:
        """Have each of them as long as its file is there, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._close()
                await asyncio.to_thread(self._open)
                for one in self._here.values():
                    if not one.tasks:
                        self._fronts.tend(one, group)
                await asyncio.sleep(_LOOK_SECONDS)

    def _open(self) -> None:
        for file in self._files:
            if file in self._here or not _there(file):
                continue
            try:
                endpoint = self._loaded(file)
            except EndpointFileError as error:
                if self._told.get(file) != str(error):
                    log.error("an endpoint cannot be served: %s", error)
                self._told[file] = str(error)
                continue
            log.info("endpoint %s is served, by %s", endpoint.endpoint, file)
            self._here[file] = self._fronts.open(endpoint.endpoint, file, endpoint)

    def _loaded(self, file: Path) -> Endpoint:
        endpoint = endpoints.load(file)
        for other, one in self._here.items():
            if one.called == endpoint.endpoint:
                raise EndpointFileError(f"{file}: {one.called} is served by {other}, until that is gone")
        return endpoint

    async def _close(self) -> None:
        for file, one in list(self._here.items()):
            # Of another name it is another endpoint's, which has come in its place.
            if not _there(file) or one.front.name != one.called:
                log.info("endpoint %s is served no more", one.called)
                await self._fronts.close(one)
                del self._here[file]


def _there(file: Path) -> bool:
    """Whether a folder has this name, whatever it is of; a link that leads nowhere raises nothing here."""
    return os.path.lexists(file)


class ByName:
    """ASGI middleware: callers of an endpoint that is not the server's first get to its own application."""

    def __init__(self, app: ASGIApp, fronts: Fronts) -> None:
        self._app, self._fronts = app, fronts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        found = _CALLED.fullmatch(scope["path"]) if scope["type"] == "http" else None
        app = self._fronts.app_of(found["name"], self._app) if found else None
        if found and app:
            rest = found["rest"] or ""
            if rest.startswith(f"{FRONT}/"):  # as it was sent it stays for signatures and logs
                scope = {**scope, "path": rest.removeprefix(FRONT)}
            await app(scope, receive, send)
        else:
            await self._app(scope, receive, send)
