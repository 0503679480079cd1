"""`springboard transforms` does the transform jobs of a host's control plane, by what serves there."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from springboard.cli.queued import ON_A_HOST
from springboard.cli.said import fail
from springboard.control import hosted_jobs
from springboard.control.hosted_jobs import HostTransformer
from springboard.control.place import Place
from springboard.control.store import Folder
from springboard.deploy.settings import Host, Worker
from springboard.deploy.stop import Stop
from springboard.endpoint import document as endpoints
from springboard.jobs.opening import state_folder, worker_token
from springboard.system import logs


def transforms(
    documents: Annotated[Path, typer.Option(help="Folder of the control plane's documents.")],
    registry: Annotated[str, typer.Option(help="s3://BUCKET, whose releases models are.")],
    endpoint_file: Annotated[
        Path, typer.Option(help="endpoint.yml, whose allowed_buckets may be read.")
    ] = ON_A_HOST,
    front: Annotated[str, typer.Option(help="The front that scores.")] = "http://127.0.0.1:8080",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
) -> None:
    """Do the transform jobs of this host's control plane, one after the other; a host's unit runs it.

    The host's front scores their videos, behind everybody who waits. Ended or killed in a job, it leaves that
    to the next one, which goes on with it.
    """
    logs.configure(log_json)
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.tell("SIGTERM"))
    try:
        token = worker_token()
    except OSError as error:
        fail(f"{state_folder()}: {error.strerror}")
    own = state_folder() / "transforms"

    def made(name: str) -> HostTransformer:
        buckets = endpoints.load(endpoint_file).allowed_buckets
        base = Host(models=registry, worker=Worker(runtime=Path("/")), allowed_buckets=buckets)
        return HostTransformer(
            name=name,
            place=Place(own),
            documents=Folder(documents),
            base=base,
            ask=stop.ask,
            registry=registry,
            front=front,
            token=token,
        )

    hosted_jobs.work(documents, own, made, stop.ask)
