"""`springboard agent` has a host serve what its control plane's documents say; and the front's part of it."""

import logging
import os
from typing import Annotated

import typer
from fastapi import FastAPI

from springboard.cli.said import fail
from springboard.control import hosted, hosted_jobs, wire
from springboard.control.alarms import KNOWN, Prometheus
from springboard.control.documents import Documents
from springboard.control.endpoints import Endpoints
from springboard.control.fleet import FleetAgent, FleetEndpoints
from springboard.control.hosted import HostAgent
from springboard.control.lease import Lease
from springboard.control.lent import AsUser
from springboard.control.names import Identity
from springboard.control.place import Site
from springboard.control.store import Folder, store_of
from springboard.control.transforms import Transforms
from springboard.deploy import settings
from springboard.deploy.layout import Layout
from springboard.deploy.settings import HostFileError
from springboard.front.front import Front
from springboard.front.server import Applications
from springboard.jobs.opening import worker_token
from springboard.releases.manifest import ReleaseError
from springboard.system import logs

log = logging.getLogger("springboard.control")

_SHARED_LOOK_SECONDS = 5.0
_OWN_LOOK_SECONDS = 0.5


def agent(
    documents: Annotated[
        str, typer.Option(help="Folder or s3://BUCKET/PREFIX of the control plane's documents.")
    ],
    user: Annotated[
        str, typer.Option(help="Whose folder it is: it is read and written with that one's rights.")
    ] = "",
    prometheus: Annotated[
        str, typer.Option(help="A Prometheus with monitoring/rules; it is asked which alarms fire.")
    ] = "",
    fleet: Annotated[
        bool,
        typer.Option("--fleet", help="All hosts of a fleet share them: one at a time works on them."),
    ] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
) -> None:
    """Have this host serve what the control plane's documents say, for good; a host's unit runs it.

    It takes no request: `serve --control-documents` does, and writes the documents. Ended in an update, it
    leaves that to the next one, which begins it anew.
    """
    logs.configure(log_json)
    place = Site(Layout.here().root)
    try:
        store = store_of(documents)
        if user:
            os.setgroups([])
            store = AsUser(store, user)
        base = settings.load(place.settings)
    except (ReleaseError, HostFileError) as error:
        fail(str(error))
    except KeyError:
        fail(f"--user: there is no user {user}")
    look = _SHARED_LOOK_SECONDS if documents.startswith("s3://") else _OWN_LOOK_SECONDS
    watched = Prometheus(prometheus) if prometheus else None
    if fleet:
        lease = Lease(store)
        hosted.work(
            FleetAgent("", place, store, base, lease.ask, prometheus=watched, look_seconds=look, lease=lease)
        )
    else:
        hosted.work(HostAgent("", place, store, base, prometheus=watched, look_seconds=look))


class Routes:
    """Puts the control plane's route into a front's application; its documents are followed by an agent."""

    def __init__(self, documents: Documents, endpoints: Endpoints) -> None:
        self._documents, self._endpoints = documents, endpoints

    def __call__(self, app: FastAPI, front: Front, _: Applications) -> None:
        """Add it."""
        identity = self._documents.identity
        front.account = identity.account
        operations = self._documents.operations | self._endpoints.operations
        if isinstance(self._documents.store, Folder):  # of shared ones nothing says which host does a job
            operations |= self._transforms(front).operations
        wire.add(app, front, operations, identity)

    def _transforms(self, front: Front) -> Transforms:
        """Return what takes jobs that `springboard transforms` does, which asks this front."""
        try:
            front.auth.worker_token = worker_token()
        except OSError as error:
            log.error("no worker can show that it is ours, so transform jobs wait: %s", error)

        def served() -> set[str]:
            return {one.release for one in front.endpoint.variants}

        refuse = hosted_jobs.refusal(self._documents, served)
        return Transforms(self._documents, lambda: front.endpoint.allowed_buckets, refuse=refuse)


def routes(
    place: str, *, called: str, registry: str, lenient: bool = False, watched: bool = False, fleet: str = ""
) -> Routes:
    """Return the control plane's part of a host's front; `place` is where its documents are.

    `called` is REGION:ACCOUNT of its ARNs, `registry` the s3://BUCKET whose releases models are. With
    `lenient`, what has no counterpart here is accepted with a warning. Whether alarms are `watched` is the
    agent's business: here they are names. `fleet` is the endpoint of a fleet whose hosts share the documents.
    """
    try:
        documents = Documents(store_of(place), Identity.parse(called), lenient, registry)
    except (ValueError, ReleaseError) as error:
        fail(f"--control-documents: {error}")
    known = KNOWN if watched else frozenset()
    endpoints = (
        FleetEndpoints(documents, known, fleet) if fleet else Endpoints(documents, alarms=known, most=1)
    )
    return Routes(documents, endpoints)
