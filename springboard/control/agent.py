"""Has what runs follow from an endpoint's document, by the engine that deploys on hosts, and reports back.

Whatever dies in the middle is found by the next one: a document says what shall serve, deployment.json what
does.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from springboard.control import sources
from springboard.control.alarms import Prometheus, Watch
from springboard.control.configured import asynchronous_of, capture_of
from springboard.control.documents import workers_of
from springboard.control.endpoints import (
    BUSY,
    CREATING,
    DELETING,
    FAILED,
    IN_SERVICE,
    ROLLING_BACK,
    UPDATING,
    alarms_of,
    slot_of,
)
from springboard.control.names import ENDPOINT
from springboard.control.place import Site
from springboard.control.store import Conflict, Document, DocumentStore
from springboard.deploy import memory
from springboard.deploy import state as deployment
from springboard.deploy.canary import Rejected
from springboard.deploy.channel import ChannelError
from springboard.deploy.keeper import FAULTS
from springboard.deploy.plan import RolloutError
from springboard.deploy.rollout import Rollout
from springboard.deploy.settings import Beside, Canary, Host, HostFileError, ShadowRule, Worker
from springboard.deploy.state import UNDOING, StateError
from springboard.deploy.stop import Stopped
from springboard.system.gpu import GpuError

log = logging.getLogger("springboard.control")

EXPECTED = (
    *FAULTS,
    ChannelError,
    Conflict,
    HostFileError,
    Rejected,
    RolloutError,
    StateError,
    Stopped,
    ValueError,
)
_HEAL_SECONDS = 5.0
_AGAIN_SECONDS = 1.0
_LONGEST_REASON = 1000


@dataclass(frozen=True)
class Agent:
    """One endpoint's; `base` is the host as it is without any endpoint, `ask` raises where it shall stop.

    It looks at its document every `look_seconds`.
    """

    name: str
    place: Site
    store: DocumentStore
    base: Host
    ask: Callable[[], None] = lambda: None
    prometheus: Prometheus | None = None
    look_seconds: float = 0.2

    def run(self) -> None:
        """Work until the endpoint is gone or `ask` raises; what failed for a fault is tried again."""
        healed = 0.0
        if document := self._read():
            with self._alone():
                self.resume(document)
        while document := self._read():
            self.ask()
            if document["status"] in BUSY:
                with self._alone():
                    self.follow(document)
            elif time.monotonic() - healed > _HEAL_SECONDS:
                self._tried(partial(self._heal, document))
                healed = time.monotonic()
            time.sleep(self.look_seconds)

    def _alone(self) -> AbstractContextManager[None]:
        """Keep everybody else from deploying in this place; here there is nobody."""
        return nullcontext()

    def _read(self) -> Document | None:
        """Return the endpoint's document; None where it is gone, or another of its name is elsewhere."""
        found = self.store.read(ENDPOINT, self.name)
        return found[0] if found and slot_of(found[0]) == self.place.slot else None

    def resume(self, document: Document) -> None:
        """Have serve again what did when we ended; what was cut off is undone, and then followed anew.

        Not what was on its way back already: that had failed, and is told as it would have been.
        """
        state = deployment.load(self.place.state)
        at_work = document["status"] in (CREATING, UPDATING)
        undoing = at_work and state.deploying and state.deploying.phase == UNDOING
        if undoing or document["status"] == ROLLING_BACK:
            self._failed(document, state.last)
        elif document["serving"]:
            self._tried(self._rollout(document, document["serving"]).settle)

    def follow(self, document: Document) -> None:
        """Do what an endpoint's status asks for, and report how it ended."""
        name = document["name"]
        if document["status"] == DELETING:
            self._withdraw(name)
            return
        wanted = document["wanted"]
        try:
            wanted = {**wanted, "variants": self._released(wanted["variants"])}
            wanted["shadows"] = self._released(wanted["shadows"])
            self._rollout(document, wanted, self._watching(document)).deploy(wanted["variants"][0]["release"])
        except Exception as error:
            self.ask()  # of one that was told to end, the next one makes the end
            if not isinstance(error, EXPECTED):
                log.exception("a bug of ours")
            self._failed(document, str(error) or type(error).__name__)
            return
        self._settled(document, wanted, _ended(wanted, wanted, ""))

    def _settled(self, document: Document, serving: Document, told: Document) -> None:
        """Tell that an endpoint serves this."""
        self._report(document["name"], lambda _: told)

    def _failed(self, document: Document, why: str) -> None:
        log.warning("endpoint %s: %s", document["name"], why)
        serving, wanted = document["serving"], document["wanted"]
        if serving:
            # The way back was the engine's, unless what failed came after (a shadow); names and weights are
            # those of what serves again.
            back = self._rollout(document, {**serving, "deployment": None})
            self._tried(lambda: back.deploy(serving["variants"][0]["release"]))
            self._settled(document, serving, _ended(serving, wanted, why))
        else:
            # Of several variants one may be up. What was wanted may be what no host can be.
            self._tried(lambda: self._undeployed().withdraw())
            self._report(document["name"], lambda _: {"status": FAILED, "failure": why[:_LONGEST_REASON]})

    def _withdraw(self, name: str) -> None:
        rollout = self._undeployed()
        if self._tried(rollout.withdraw) and (found := self.store.read(ENDPOINT, name)):
            self._tried(rollout.tidy)
            self._cleared()
            self._tried(partial(self.store.remove, ENDPOINT, name, found[1]))  # it may get a tag meanwhile

    def _undeployed(self) -> Rollout:
        """Return what takes away whatever serves, without a look at any document."""
        return Rollout(self.place, self._bare(), log.info, self.ask)

    def _cleared(self) -> None:
        """Remove what was an endpoint's alone."""
        shutil.rmtree(self.place.jobs, ignore_errors=True)

    def _bare(self) -> Host:
        """Return the host as it is without any endpoint."""
        return self.base

    def _heal(self, document: Document) -> None:
        if document["serving"]:
            rollout = self._rollout(document, document["serving"])
            rollout.heal()
            with self._alone():
                rollout.tidy()

    def _released(self, variants: list[Document]) -> list[Document]:
        """Return them with their releases, which are here then; for new weights they were before."""
        return [{**one, "release": one.get("release") or self._release(one["model"])} for one in variants]

    def _release(self, model: Document) -> str:
        return sources.acquire(model, self.place.releases, log.info)

    def _watching(self, document: Document) -> Callable[[], None]:
        """Return what is asked on the way to what an endpoint shall serve: its alarms, beside us."""
        names = alarms_of(document["wanted"]["deployment"] or {})
        if not names or not self.prometheus:
            return self.ask
        watch = Watch(self.prometheus, document["name"], names)

        def ask() -> None:
            self.ask()
            watch.look()

        return ask

    def _rollout(
        self, document: Document, wanted: Document, ask: Callable[[], None] | None = None
    ) -> Rollout:
        def say(said: str) -> None:
            log.info("endpoint %s: %s", document["name"], said)
            if document["status"] in BUSY:
                # What cannot be told now is no reason to go back, nor to end on the way back.
                with suppress(Stopped):
                    self._tried(lambda: self._report(document["name"], lambda _: self._stage()))

        return Rollout(self.place, self._host(document, wanted), say, ask or self.ask)

    def _host(self, document: Document, wanted: Document) -> Host:
        """Return the host as an endpoint has it."""
        return host_of(self.base, document["name"], wanted, self._queue(document))

    def _queue(self, document: Document) -> Path:
        """Return an endpoint's own queue; another one of the same name has another one."""
        return self.place.jobs / f"{document['created']:.3f}"

    def _stage(self) -> Document:
        """Return how far the deployment at work is, as the engine has written it down."""
        state = deployment.load(self.place.state)
        stage = state.deploying.phase if state.deploying else ""
        changed: Document = {"stage": stage, "share": state.share}
        return changed | ({"status": ROLLING_BACK, "failure": state.last} if stage == UNDOING else {})

    def _report(self, name: str, what: Callable[[Document], Document]) -> None:
        def how(document: Document) -> Document:
            self.ask()  # again of what another changed meanwhile
            changed = what(document)
            if changed.get("status") == ROLLING_BACK and document["status"] != UPDATING:
                del changed["status"]
            return {**document, **changed, "modified": time.time()}

        self.ask()
        self.store.change(ENDPOINT, name, how)

    def _tried(self, act: Callable[[], Any]) -> bool:
        try:
            act()
        except EXPECTED as error:
            self.ask()
            log.warning("%s", error)
            time.sleep(_AGAIN_SECONDS)
            return False
        return True


def _ended(serving: Document, wanted: Document, failure: str) -> Document:
    return {
        "status": IN_SERVICE,
        "serving": serving,
        "wanted": serving,
        "failure": failure[:_LONGEST_REASON],
        "last_deployment": wanted["deployment"],
        "stage": "",
        "share": 0,
    }


def host_of(base: Host, name: str, wanted: Document, jobs: Path | None) -> Host:
    """Return the host that an endpoint's document describes, for the engine.

    `jobs` is its queue's folder; without, that is the host's own.
    """
    variant, *others = wanted["variants"]
    total = sum(one["weight"] for one in wanted["variants"]) or 1.0
    policy = (wanted["deployment"] or {}).get("BlueGreenUpdatePolicy") or {}
    changes: dict[str, Any] = {
        "endpoint": name,
        "variant": variant["name"],
        "weight": _weight(variant, total),
        "beside": tuple(
            Beside(
                name=one["name"],
                release=one.get("release", "0.0.0"),
                weight=_weight(one, total),
                workers=workers_of(one["model"], base.worker.workers),
            )
            for one in others
        ),
        "worker": Worker(
            runtime=base.worker.runtime, workers=workers_of(variant["model"], base.worker.workers)
        ),
        "canary": trial_of(wanted["deployment"] or {}, base.canary),
        "keep_warm_seconds": float(policy.get("TerminationWaitInSeconds", 0)),
        "shadow": _shadow(wanted["shadows"], variant) if wanted["shadows"] else base.shadow,
        "asynchronous": asynchronous_of(wanted["async"]) if wanted["async"] else base.asynchronous,
        "capture": capture_of(wanted["capture"]) if wanted.get("capture") else base.capture,
    }
    if changes["asynchronous"] and jobs:
        changes["asynchronous"] = changes["asynchronous"].model_copy(update={"queue": str(jobs)})
    return base.model_copy(update=changes)


def room(running: Iterable[list[int]], more: int) -> bool:
    """Whether `more` endpoints as large as the largest that runs fit into memory; each is its processes."""
    try:
        return memory.holds(running, more)
    except GpuError as error:
        log.warning("whether another endpoint fits cannot be seen: %s", error)
        return True


def _weight(variant: Document, total: float) -> int:
    """Return a share in ten thousandths of the whole; what has any has one at least."""
    return max(round(10_000 * variant["weight"] / total), 1) if variant["weight"] else 0


def _shadow(shadows: list[Document], variant: Document) -> ShadowRule | None:
    if not shadows[0]["weight"]:
        return None
    share = 100.0 * shadows[0]["weight"] / (variant["weight"] or 1.0)
    return ShadowRule(release=shadows[0]["release"], sample_percent=min(share, 100.0))


def trial_of(policy: Document, base: Canary) -> Canary:
    """Return the engine's trial for a DeploymentConfig; without one, and for ALL_AT_ONCE, there is none.

    It lasts as long as it is told and no longer, also where nobody calls meanwhile. What it is judged by is
    the host's.
    """
    routing = (policy.get("BlueGreenUpdatePolicy") or {}).get("TrafficRoutingConfiguration", {})
    rolling = policy.get("RollingUpdatePolicy") or {}
    size = routing.get("CanarySize") or routing.get("LinearStepSize") or rolling.get("MaximumBatchSize")
    if size is None:
        return base.model_copy(update={"weight": 0, "steps": ()})
    seconds = float(max(routing.get("WaitIntervalInSeconds", rolling.get("WaitIntervalInSeconds", 0)), 1))
    weight = size["Value"]
    steps = () if routing.get("CanarySize") else tuple(range(2 * weight, 100, weight))
    changes = {"weight": weight, "bake_seconds": seconds, "steps": steps, "step_seconds": seconds}
    return base.model_copy(update={**changes, "hold_bakes": 1.0, "accept_little_traffic": True})
