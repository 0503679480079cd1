"""The agent of a host of a fleet, whose hosts share their documents and follow one channel.

Whoever gets the lease deploys on its own host what the endpoint's document asks for. Once that has settled
there it moves the channel, which all others follow by themselves, and has the document say so last. A channel
that the document knows nothing of was moved by somebody else, then, Ansible say: the document takes it over.
"""

import logging
import time
from dataclasses import dataclass, field
from functools import cached_property

from springboard.control.documents import Answer, Documents, location
from springboard.control.endpoints import BUSY, ROLLING_BACK, Endpoints
from springboard.control.errors import ControlError
from springboard.control.hosted import COMMAND, HostAgent
from springboard.control.lease import Lease, LeaseLost
from springboard.control.names import ENDPOINT
from springboard.control.store import Document
from springboard.deploy import state as deployment
from springboard.deploy.channel import Channel, Channels
from springboard.deploy.settings import Driven, Host
from springboard.deploy.state import Busy

log = logging.getLogger("springboard.control")

# Of a trial, what a call says of it; what it is judged by stays as the channel has it.
_TRIAL = ("weight", "bake_seconds", "steps", "step_seconds", "hold_bakes", "accept_little_traffic")


@dataclass(frozen=True)
class FleetAgent(HostAgent):
    """The agent of a fleet's one endpoint, on one of its hosts."""

    lease: Lease = field(kw_only=True)

    def run(self) -> None:
        """Work where the document asks for something and no other host is at it, until it is gone."""
        while document := self._read():
            self.ask()
            if document["status"] in BUSY or self._moved(document):
                self._take_turn()
            time.sleep(self.look_seconds)

    def begin(self) -> None:
        """Have a document of what the channel named before there were any."""
        host = self._bare()
        if found := self._channels.read(host.endpoint):
            channel = found[0]
            serving = self.found(channel.applied(host), channel.release, None)
            self.first(host.endpoint, serving)

    def _take_turn(self) -> None:
        if not self.lease.free():
            return
        try:
            with deployment.alone(self.place.lock, COMMAND, wait=False), self.lease.held() as ours:
                # Whoever had it before us may have done it.
                document = self._read() if ours else None
                if document and document["status"] == ROLLING_BACK:
                    self._failed(document, document["failure"])
                elif document and document["status"] in BUSY:
                    self.follow(document)
                elif document:
                    self._adopted(document)
        except Busy:  # another host may do it meanwhile
            return
        except LeaseLost as error:
            log.warning("%s", error)

    @cached_property
    def _channels(self) -> Channels:
        """One for good: it is asked every few seconds, and each would have made a client of S3 anew."""
        return Channels(self._bare().models)

    def _moved(self, document: Document) -> Channel | None:
        """Return the channel where somebody else has moved it, None where nobody has.

        It names neither what the document says nor what it asks for then, or has the inventory's settings,
        without what the document has beside its release.
        """
        found = self._channels.read(document["name"])
        told = [document["serving"], document["wanted"] if document["status"] in BUSY else None]
        if found is None or (found[0].drives and any(_names(found[0], one) for one in told)):
            return None
        return found[0]

    def _adopted(self, document: Document) -> Document:
        if not (channel := self._moved(document)):
            return document
        serving = document["serving"]
        same = _names(channel, serving)
        if not same:
            serving = self.found(channel.applied(self._bare()), channel.release, serving)
        self._move(document, serving)
        return document if same else self.tell(document, serving)

    def _settled(self, document: Document, serving: Document, told: Document) -> None:
        if not told["failure"]:
            self._move(document, serving, self._host(document, serving))
        super()._settled(document, serving, told)

    def _withdraw(self, name: str) -> None:
        """Remove the document of what nothing serves: no other is deleted."""
        if found := self.store.read(ENDPOINT, name):
            self.store.remove(ENDPOINT, name, found[1])

    def _move(self, document: Document, serving: Document, tried: Host | None = None) -> None:
        """Have all hosts follow what serves, as the document has it.

        Each tries it as this one has, `tried`, or else as the channel says already.
        """
        name, channels = document["name"], self._channels
        trial = {one: getattr(tried.canary, one) for one in _TRIAL} if tried else {}
        warm = {"keep_warm_seconds": tried.keep_warm_seconds} if tried else {}
        before, version = channels.read(name) or (Channel(release="0.0.0"), None)
        driven = self.driven(document, serving).model_dump(
            mode="json", exclude_none=True, exclude={"endpoint", "asynchronous"}
        )
        kept = before.settings.model_dump(mode="json", exclude_unset=True, exclude=set(Driven.model_fields))
        channel = Channel.model_validate(
            {
                "release": serving["variants"][0]["release"],
                "canary": {**before.canary.model_dump(mode="json", exclude_unset=True), **trial},
                "settings": {**kept, **driven, **warm},
            }
        )
        self.ask()
        channels.write(name, channel, version)


def _names(channel: Channel, serving: Document | None) -> bool:
    """Whether a channel names the release of what is served, or shall be."""
    return serving is not None and f"/{channel.release}/" in location(serving["variants"][0]["model"]) + "/"


class FleetEndpoints(Endpoints):
    """The operations on the one endpoint of a fleet."""

    def __init__(self, documents: Documents, alarms: frozenset[str] = frozenset(), name: str = "") -> None:
        """Work on these documents; `name` is what all hosts follow, `alarms` those that somebody watches."""
        super().__init__(documents, alarms=alarms, most=1)
        self._name = name

    def _create(self, asked: Document) -> Answer:
        if asked["EndpointName"] != self._name:
            raise ControlError(
                f"The hosts of this fleet serve one endpoint, {self._name} (springboard_endpoint): create or "
                "update that one."
            )
        return super()._create(asked)

    def _delete(self, asked: Document) -> Answer:
        if self._documents.find(ENDPOINT, asked["EndpointName"])[0]["serving"]:
            raise ControlError(
                "The endpoint of a fleet is not deleted while it serves: hosts that serve nothing are "
                "unhealthy, and would be replaced without end. Update it, or take the fleet down."
            )
        return super()._delete(asked)

    def _wanted(self, config: str, deployment: Document | None) -> Document:
        wanted = super()._wanted(config, deployment)
        if wanted["async"]:
            raise ControlError(
                "AsyncInferenceConfig is not offered in a fleet: asynchronous requests are its hosts' own, "
                "`async` in springboard_deploy_settings."
            )
        return wanted
