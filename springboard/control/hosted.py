"""The agent of a host: root, which takes documents and never a request, beside `springboard deploy`.

That deploys a host's first endpoint; further ones are the control plane's alone (`further`). What somebody
deployed or rolled back so, Ansible say, is found and told in the documents: what serves is the truth,
whoever had it serve.
"""

import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count

from springboard.control import sources
from springboard.control.agent import EXPECTED, Agent, host_of
from springboard.control.documents import container
from springboard.control.endpoints import BUSY, IN_SERVICE
from springboard.control.names import CONFIG, ENDPOINT
from springboard.control.names import MODEL as MODEL_KIND
from springboard.control.store import Conflict, Document, DocumentStore
from springboard.control.strict import DocumentError, checked, slot_said
from springboard.deploy import follow as following
from springboard.deploy import settings
from springboard.deploy import state as deployment
from springboard.deploy.settings import Driven, Host
from springboard.deploy.state import Busy, State
from springboard.deploy.stop import Stopped
from springboard.endpoint.names import MODEL
from springboard.releases.registry import Registry

log = logging.getLogger("springboard.control")

COMMAND = "springboard agent"
_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 5.0


class NameTaken(Exception):
    """What serves cannot be told under its name; the message says what to do."""


@dataclass(frozen=True)
class OnHost(Agent, ABC):
    """The agent of an endpoint on a host, where it is root."""

    @abstractmethod
    def begin(self) -> None:
        """Do what is to be done where there is no document; raise `Stopped` where none is waited for."""

    def _read(self) -> Document | None:
        found = self.store.read(ENDPOINT, self.name)
        return checked(found[0]) if found and slot_said(found[0]) == self.place.slot else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with ExitStack() as held:
            while True:
                self.ask()
                try:
                    held.enter_context(deployment.alone(self.place.lock, COMMAND, wait=False))
                    break
                except Busy:
                    time.sleep(_LOOK_SECONDS)
            yield

    def _bare(self) -> Host:
        return settings.load(self.place.settings)

    def _release(self, model: Document) -> str:
        return sources.release_of(model, self._bare().models)

    def _host(self, document: Document, wanted: Document) -> Host:
        queue = self._queue(document) if wanted["async"] else None  # without, it is host.yml's
        host = host_of(self._bare(), document["name"], wanted, queue)
        return Host.model_validate(host.model_dump(by_alias=True))


@dataclass(frozen=True)
class HostAgent(OnHost):
    """The agent of a host's first endpoint, which is Ansible's, too."""

    def follow(self, document: Document) -> None:
        """Do what an endpoint's status asks for, and report how it ended."""
        super().follow(self._adopted(document))

    def resume(self, document: Document) -> None:
        """Have serve again what did when we ended, for all who deploy here."""
        super().resume(document)
        if document["serving"]:
            self._drive(document, document["serving"])

    def _settled(self, document: Document, serving: Document, told: Document) -> None:
        self._drive(document, serving)
        super()._settled(document, serving, told)

    def _cleared(self) -> None:
        super()._cleared()
        self.place.driven.unlink(missing_ok=True)

    def _drive(self, document: Document, serving: Document) -> None:
        """Have all who deploy here do it as the endpoint has it."""
        following.drive(self.place, self.driven(document, serving))

    def driven(self, document: Document, serving: Document) -> Driven:
        """Return what an endpoint has otherwise than host.yml."""
        host = self._host(document, serving)
        environment = container(serving["variants"][0]["model"]).get("Environment", {})
        return Driven(
            endpoint=host.endpoint,
            variant=host.variant,
            weight=host.weight,
            beside=host.beside,
            workers=host.worker.workers if "SPRINGBOARD_WORKERS" in environment else None,
            shadow=host.shadow if serving["shadows"] else None,
            asynchronous=host.asynchronous if serving["async"] else None,
            capture=host.capture if serving.get("capture") else None,
        )

    def _heal(self, document: Document) -> None:
        """Tell of what was deployed otherwise; on a machine that has nothing yet, deploy the endpoint's.

        Workers that are gone are brought back by `springboard tidy`.
        """
        state, serving = deployment.load(self.place.state), document["serving"]
        if state.promoted is None and serving:
            with self._alone():
                back = {**serving, "deployment": None}
                self._rollout(document, back).deploy(serving["variants"][0]["release"])
                self._drive(document, serving)
        elif self._differs(state, serving):
            with self._alone():
                self._adopted(document)

    def _differs(self, state: State, serving: Document | None) -> bool:
        promoted = state.promoted
        if promoted is None or state.deploying:
            return False
        return not serving or bool(serving["variants"][0]["release"] != promoted.version)

    def _adopted(self, document: Document) -> Document:
        """Return the document, as it tells of what somebody else has deployed here."""
        state = deployment.load(self.place.state)
        if not self._differs(state, document["serving"]):
            return document
        assert state.promoted is not None  # noqa: S101 - then nothing differs
        serving = self.found(self._bare(), state.promoted.version, document["serving"])
        self._drive(document, serving)
        return self.tell(document, serving)

    def tell(self, document: Document, serving: Document) -> Document:
        """Have the document say what serves though nobody asked for it here; return it."""
        log.info("endpoint %s: %s was deployed", document["name"], serving["variants"][0]["release"])

        def changed(now: Document) -> Document:
            if now["status"] in BUSY:
                return {"serving": serving}
            ended = {"status": IN_SERVICE, "failure": "", "last_deployment": None, "stage": "", "share": 0}
            return {**ended, "serving": serving, "wanted": serving}

        self._report(document["name"], changed)
        return {**document, "serving": serving}

    def begin(self) -> None:
        """Have a document of what was deployed before there were any."""
        state, host = deployment.load(self.place.state), self._bare()
        if state.promoted and not state.deploying:
            with self.store.turn():  # whoever creates an endpoint looks for a place meanwhile
                if not _endpoint(self.store, self.place.slot):
                    self._check_name(state.promoted.version, host.endpoint)
                    self.first(host.endpoint, self.found(host, state.promoted.version, None))

    def _check_name(self, version: str, name: str) -> None:
        if self.store.read(ENDPOINT, name):
            raise NameTaken(
                f"{version} was deployed as {name}, and another endpoint of that name is here already: "
                "delete that one, or have springboard_endpoint be another name"
            )

    def first(self, name: str, serving: Document) -> None:
        """Have a document of what serves already."""
        now = time.time()
        document = {
            "name": name,
            "created": now,
            "modified": now,
            "slot": 0,
            "tags": [],
            "status": IN_SERVICE,
            "serving": serving,
            "wanted": serving,
            "failure": "",
        }
        self.store.write(ENDPOINT, name, document, None)
        log.info("endpoint %s: %s serves since before", name, serving["variants"][0]["release"])

    def found(self, host: Host, version: str, serving: Document | None) -> Document:
        """Return a release as an endpoint serves it, with documents of its model and configuration.

        What it is beside its release is as `serving` has it, or else the host.
        """
        if serving is None:
            first: Document = {"name": host.variant, "weight": float(host.weight), "instances": 1}
            others = [
                {
                    "name": one.name,
                    "weight": float(one.weight),
                    "instances": 1,
                    "release": one.release,
                    "model": self._model(host, one.release, {"SPRINGBOARD_WORKERS": str(one.workers)}),
                }
                for one in host.beside
            ]
            environment: dict[str, str] = {}
            serving = {"shadows": [], "async": None, "capture": None}
        else:
            first, *others = serving["variants"]
            environment = container(first["model"]).get("Environment", {})
        first = {**first, "release": version, "model": self._model(host, version, environment)}
        found = {**serving, "deployment": None, "variants": [first, *others]}
        return {**found, "config": self._config(version, found)}

    def _model(self, host: Host, version: str, environment: dict[str, str]) -> Document:
        data: Document = {"ModelDataUrl": Registry(host.models).url(version)}
        data |= {"Environment": environment} if environment else {}
        return self._documented(
            MODEL_KIND, _named(version), lambda name: {"ModelName": name, "PrimaryContainer": data}
        )

    def _config(self, version: str, serving: Document) -> str:
        parts = {
            "ProductionVariants": [_said(one) for one in serving["variants"]],
            "ShadowProductionVariants": [_said(one) for one in serving["shadows"]],
            "AsyncInferenceConfig": serving["async"],
            "DataCaptureConfig": serving.get("capture"),
        }
        said = {name: part for name, part in parts.items() if part}
        made = self._documented(CONFIG, _named(version), lambda name: {"EndpointConfigName": name, **said})
        return str(made["EndpointConfigName"])

    def _documented(self, kind: str, name: str, said: Callable[[str], Document]) -> Document:
        """Have a document of what was said, under this name or, where another has it, a similar one."""
        for number in count(1):
            called = name if number == 1 else f"{name}-{number}"
            document = {"name": called, "created": time.time(), "said": said(called), "tags": []}
            try:
                self.store.write(kind, called, document, None)
            except Conflict:
                found = self.store.read(kind, called)
                if found is None or found[0]["said"] != document["said"]:
                    continue
            break
        return said(called)


def work(agent: OnHost) -> None:
    """Have a host serve what the document of one place says until told to stop; `agent` has no name yet."""
    while True:
        try:
            agent.ask()
            if name := _endpoint(agent.store, agent.place.slot):
                replace(agent, name=name).run()
            else:
                agent.begin()
        except Stopped:
            return
        except (DocumentError, NameTaken) as error:
            log.error("%s; what serves goes on", error)
            time.sleep(_AGAIN_SECONDS)
        except EXPECTED as error:
            log.warning("%s; it is tried again", error)
            time.sleep(_AGAIN_SECONDS)
        except Exception:
            log.exception("a bug of ours; the agent begins anew")
            time.sleep(_AGAIN_SECONDS)
        time.sleep(agent.look_seconds)


def _endpoint(store: DocumentStore, slot: int) -> str:
    documents = [checked(one) for one in store.every(ENDPOINT) if slot_said(one) == slot]
    return min((str(one["name"]) for one in documents), default="")


def _said(variant: Document) -> Document:
    return {
        "VariantName": variant["name"],
        "ModelName": variant["model"]["ModelName"],
        "InitialVariantWeight": variant["weight"],
        "InitialInstanceCount": 1,
    }


def _named(version: str) -> str:
    return f"{MODEL}-{re.sub('[^A-Za-z0-9]+', '-', version)}".rstrip("-")
