"""The control plane's part of a host's front, whose documents `springboard agent` follows."""

import logging
from pathlib import Path

from fastapi import FastAPI

from springboard.cli.said import fail
from springboard.control import hosted_jobs, wire
from springboard.control.alarms import KNOWN
from springboard.control.documents import Documents
from springboard.control.endpoints import Endpoints
from springboard.control.fleet import FleetEndpoints
from springboard.control.fronts import Followed
from springboard.control.further import HostEndpoints
from springboard.control.names import Identity
from springboard.control.store import Folder, store_of
from springboard.control.transforms import Transforms
from springboard.front.front import Front
from springboard.front.server import Applications, Companion
from springboard.jobs.opening import worker_token
from springboard.releases.manifest import ReleaseError

log = logging.getLogger("springboard.control")


class Routes:
    """Puts the control plane's route into a front's application; its documents are followed by an agent.

    `further` are the fronts of its endpoints after the first, where it may have others.
    """

    def __init__(self, documents: Documents, endpoints: Endpoints, further: Followed | None) -> None:
        self._documents, self._endpoints, self._further = documents, endpoints, further

    @property
    def companions(self) -> list[Companion]:
        """Return what shall run beside the server."""
        return [self._further.keep] if self._further else []

    def __call__(self, app: FastAPI, front: Front, application: Applications) -> None:
        """Add it."""
        identity = self._documents.identity
        front.account = identity.account
        operations = self._documents.operations | self._endpoints.operations
        if isinstance(self._documents.store, Folder):  # of shared ones nothing says which host does a job
            operations |= self._transforms(front).operations
        wire.add(app, front, operations, identity)
        if self._further:
            self._further.begin(app, front, application)

    def _transforms(self, front: Front) -> Transforms:
        """Return what takes jobs that `springboard transforms` does, which asks this front."""
        try:
            front.auth.worker_token = worker_token()
        except OSError as error:
            log.error("no worker can show that it is ours, so transform jobs wait: %s", error)

        def served() -> set[str]:
            return {one.release for each in (front, *front.beside) for one in each.endpoint.variants}

        refuse = hosted_jobs.refusal(self._documents, served)
        return Transforms(self._documents, lambda: front.endpoint.allowed_buckets, refuse=refuse)


def routes(
    place: str,
    file: Path,
    *,
    called: str,
    registry: str,
    lenient: bool = False,
    watched: bool = False,
    fleet: str = "",
) -> Routes:
    """Return the control plane's part of a host's front; `place` is where its documents are.

    `file` is its endpoint.yml; those of further endpoints are beside it. `called` is REGION:ACCOUNT of its
    ARNs, `registry` the s3://BUCKET whose releases models are. With `lenient`, what has no counterpart here
    is accepted with a warning. Whether alarms are `watched` is the agent's business: here they are names.
    `fleet` is the endpoint of a fleet whose hosts share the documents.
    """
    try:
        documents = Documents(store_of(place), Identity.parse(called), lenient, registry)
    except (ValueError, ReleaseError) as error:
        fail(f"--control-documents: {error}")
    known = KNOWN if watched else frozenset()
    if fleet:
        return Routes(documents, FleetEndpoints(documents, known, fleet), None)
    if not isinstance(documents.store, Folder):  # where two could begin in one place
        return Routes(documents, HostEndpoints(documents, alarms=known, most=1), None)
    return Routes(documents, HostEndpoints(documents, alarms=known), Followed(file.parent / "endpoints"))
