"""A host's endpoints after its first: the control plane's alone, each with a place and a process of its own.

    springboard agent ─┬─> agent of slot 0, whose endpoint Ansible deploys, too
                       └─> agent of each further slot: /var/lib/springboard/e/SLOT, instances ..._HASH-SLOT
                                         └─> /etc/springboard/endpoints/SLOT.yml ─> a further front

Documents are read as their owner, which the whole process is for a moment: so no two agents are one process.
"""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from springboard.control.agent import EXPECTED, room
from springboard.control.endpoints import CREATING, DELETING, Endpoints
from springboard.control.errors import ControlError
from springboard.control.hosted import COMMAND, OnHost
from springboard.control.names import ENDPOINT, FRONT, MOST_ENDPOINTS
from springboard.control.place import Site
from springboard.control.store import Document, DocumentStore
from springboard.control.strict import slot_said
from springboard.deploy import instances
from springboard.deploy import state as deployment
from springboard.deploy import units as services
from springboard.deploy.settings import Host
from springboard.deploy.stop import Stopped
from springboard.endpoint import document as endpoints
from springboard.endpoint.document import EndpointFileError
from springboard.system.processes import Backoff, Child

log = logging.getLogger("springboard.control")

NO_WORKER = (
    "AsyncInferenceConfig is the first endpoint's of a host, whose worker is: have that one serve this "
    "configuration, or make one without it."
)
NO_MEMORY = (
    "CapacityError: this host's memory holds no other endpoint beside what serves. Delete one, or have one "
    "serve on fewer workers, and create this one anew."
)
_STOP_SECONDS = 5.0
# What was in the way may have passed: a registry that was away, memory that another release had.
_AGAIN_SECONDS = 900.0


class HostEndpoints(Endpoints):
    """The operations on the endpoints of a host."""

    def _check_place(self, slot: int, wanted: Document) -> None:
        if slot and wanted["async"]:
            raise ControlError(NO_WORKER)


@dataclass(frozen=True)
class FurtherAgent(OnHost):
    """The agent of one of a host's endpoints after the first; nobody else deploys in its place."""

    again: dict[str, float] = field(default_factory=dict)
    """What could not be put right with what serves, and when that is tried again; at once if it changes."""

    def run(self) -> None:
        """Work until the endpoint is gone."""
        before = self._name_before()
        if before not in ("", self.name):
            replace(self, name=before).leave()
        self.place.own.mkdir(parents=True, exist_ok=True, mode=0o700)  # weights are nobody else's
        super().run()

    def begin(self) -> None:
        """Take away what is left of an endpoint whose document is gone, and end."""
        if self.place.own.exists() or self.place.endpoint.exists():
            replace(self, name=self._name_before()).leave()
        raise Stopped("its endpoint is gone")

    def leave(self) -> None:
        """Have nothing of the endpoint be left here."""
        with self._alone():
            if self.name:
                self._undeployed().withdraw()
            for one in instances.every(self.place):  # left where its name, and so its front, is lost
                one.remove()
            self._cleared()

    def follow(self, document: Document) -> None:
        """Do what an endpoint's status asks for, and report how it ended."""
        if document["status"] != DELETING and document["wanted"]["async"]:
            self._failed(document, NO_WORKER)
        elif document["status"] != CREATING:
            super().follow(document)
        else:
            with deployment.alone(self.place.beginning, COMMAND, wait=True):
                if self._fits():
                    super().follow(document)
                else:
                    self._failed(document, NO_MEMORY)

    def _name_before(self) -> str:
        """Return the name of the endpoint that was here last; empty where none was."""
        try:
            return endpoints.load(self.place.endpoint).endpoint
        except EndpointFileError:
            return ""

    def _fits(self) -> bool:
        """Whether one more as large as the largest there is fits into memory, or is in there already."""
        if any(services.running(one.name) for one in instances.every(self.place)):
            return True
        return room(map(services.processes, instances.names(self.place)), 1)

    def _bare(self) -> Host:
        """Return the host as it is without any endpoint, and without what is the first one's."""
        host = super()._bare()
        url = f"{host.front_url}/endpoints/{self.name}{FRONT}"
        own = {"endpoint": self.name, "front_url": url, "aliases": ()}
        return host.model_copy(update={**own, "asynchronous": None, "shadow": None})

    def _heal(self, document: Document) -> None:
        """Do what a timer and configure.yml do for the first: restart, tidy up, follow host.yml."""
        super()._heal(document)
        if not (serving := document["serving"]):
            return
        back, release = {**serving, "deployment": None}, serving["variants"][0]["release"]
        rollout = self._rollout(document, back)
        due = rollout.due(release)
        tried = "; ".join([*due, self._host(document, back).model_dump_json()])
        if due and time.monotonic() >= self.again.get(tried, 0.0):
            with self._alone():
                try:
                    rollout.deploy(release)
                except Exception:
                    self.again[tried] = time.monotonic() + _AGAIN_SECONDS
                    raise
                self.again.clear()

    def _cleared(self) -> None:
        for path in (self.place.endpoint, self.place.workerless):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.place.own, ignore_errors=True)


@dataclass
class _Process:
    """An agent's, or what is left of one that ended."""

    child: Child
    began: float
    backoff: Backoff
    again: float = 0.0
    """When the next one is started; 0 while this one runs."""


class Agents:
    """Has an agent at work for a host's first endpoint, and for each further one that is here or shall be."""

    def __init__(self, place: Site, store: DocumentStore, command: Sequence[str]) -> None:
        """`command` runs an agent, with its slot as another word."""
        self._place, self._store, self._command = place, store, command
        self._processes: dict[int, _Process] = {}

    def work(self, look_seconds: float) -> None:
        """Do so for good."""
        try:
            while True:
                self.look()
                time.sleep(look_seconds)
        finally:
            self.close()

    def look(self) -> None:
        """Start who is missing; who ended well had nothing left to do."""
        for slot, one in list(self._processes.items()):
            if not one.child.running:
                self._ended(slot, one)
        for slot in sorted(self._slots() - self._processes.keys()):
            self._processes[slot] = _Process(self._start(slot), time.monotonic(), Backoff(1.0, 30.0))

    def close(self) -> None:
        """End all of them; each leaves what it is at to the next one."""
        for one in self._processes.values():
            one.child.stop(_STOP_SECONDS)

    def _slots(self) -> set[int]:
        here = {slot for slot in range(1, MOST_ENDPOINTS) if self._place.at(slot).own.exists()}
        try:
            said = {slot_said(one) for one in self._store.every(ENDPOINT)}
        except EXPECTED:  # the first one's agent tells of it
            said = set()
        return {0} | here | said

    def _ended(self, slot: int, one: _Process) -> None:
        if not one.again:
            how = one.child.ended()
            one.child.stop(0)  # and who watches it
            if slot and one.child.process.returncode == 0:
                del self._processes[slot]
                return
            pause = one.backoff.after(time.monotonic() - one.began)
            one.again = time.monotonic() + pause
            log.error("the agent of slot %d %s. Starting it again in %g s", slot, how, pause)
        if time.monotonic() >= one.again:
            one.child, one.began, one.again = self._start(slot), time.monotonic(), 0.0

    def _start(self, slot: int) -> Child:
        return Child([*self._command, str(slot)])
