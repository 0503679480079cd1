"""`springboard agent` has a host serve what its control plane's documents say."""

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from springboard.cli.said import fail
from springboard.control import hosted
from springboard.control.alarms import Prometheus
from springboard.control.fleet import FleetAgent
from springboard.control.further import Agents, FurtherAgent
from springboard.control.hosted import HostAgent, OnHost
from springboard.control.lease import Lease
from springboard.control.lent import AsUser
from springboard.control.names import MOST_ENDPOINTS
from springboard.control.place import Site
from springboard.control.store import store_of
from springboard.deploy import settings
from springboard.deploy.layout import Layout
from springboard.deploy.settings import HostFileError
from springboard.releases.manifest import ReleaseError
from springboard.system import logs

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
    slot: Annotated[int, typer.Option(hidden=True, max=MOST_ENDPOINTS - 1)] = -1,
) -> None:
    """Have this host serve what the control plane's documents say, for good; a host's unit runs it.

    It takes no request: `serve --control-documents` does, and writes the documents. Ended in an update, it
    leaves that to the next one, which begins it anew. Each endpoint has a process of its own.
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
    elif slot < 0:
        options = {"--documents": documents, "--user": user, "--prometheus": prometheus}
        words = [word for option, value in options.items() if value for word in (option, value)]
        words += ["--log-json"] if log_json else []
        command = [sys.executable, "-m", "springboard", "agent", *words, "--slot"]
        Agents(place, store, command).work(look)
    else:
        made: Callable[..., OnHost] = FurtherAgent if slot else HostAgent
        hosted.work(made("", place.at(slot), store, base, prometheus=watched, look_seconds=look))
