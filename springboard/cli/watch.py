"""`springboard watch DIR`: what is put into a folder is scored, as what is put into a bucket is."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from springboard.cli.queued import ON_A_HOST, check_folder, settings_of, stop_event
from springboard.cli.said import explained, fail
from springboard.endpoint import document as endpoints
from springboard.endpoint.asynchronous import Async
from springboard.endpoint.document import EndpointFileError
from springboard.jobs.desk import Desk
from springboard.jobs.folder import Folder
from springboard.system import logs


def watch(
    folder: Annotated[Path, typer.Argument(help="Where videos are put; in a folder of `async.inputs`.")],
    endpoint_file: Annotated[
        Path,
        typer.Option(envvar="SPRINGBOARD_ENDPOINT_FILE", help="endpoint.yml, with `async`."),
    ] = ON_A_HOST,
    pattern: Annotated[str, typer.Option("--filter", help="Only files whose name is like this.")] = "*",
    settle: Annotated[
        float, typer.Option(min=0.1, help="A file is whole when it has not changed for so many seconds.")
    ] = 2.0,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
) -> None:
    """Have every video that is put into a folder, or lies there, scored by the worker, until Ctrl-C.

    A file is taken when it is whole: unchanged for a while, and no process has it open for writing. The
    answer goes to the same path below `async.output`.
    """
    with explained(EndpointFileError):
        endpoint = endpoints.load(endpoint_file)
    settings = settings_of(endpoint, endpoint_file)
    place = folder.resolve()
    _check(place, settings)
    logs.configure(log_json)
    stop = stop_event()
    Folder(place, Desk(settings, endpoint.endpoint), pattern, settle).run(stop)
    logging.shutdown()
    os._exit(0)  # watchfiles' thread may wait


def _check(folder: Path, settings: Async) -> None:
    check_folder(folder, settings)
    for name, place in (
        ("output", settings.output),
        ("failure", settings.failures),
        ("queue", settings.queue),
    ):
        if place.startswith("/") and Path(place).resolve().is_relative_to(folder):
            fail(f"async.{name} is {place}, within {folder}: results would be taken for videos")
