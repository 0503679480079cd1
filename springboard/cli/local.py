"""An archive on a developer's machine: packed, and TorchServe as a child; on a host systemd has it."""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from springboard.cli.said import fail
from springboard.endpoint.asynchronous import Async
from springboard.endpoint.document import Endpoint, Limits, Variant
from springboard.endpoint.names import archive_name, is_release, version_of
from springboard.front.front import Front
from springboard.front.server import ChildFailed, Companion
from springboard.system.checkout import ROOT
from springboard.system.files import sha256
from springboard.system.processes import Backoff
from springboard.torchserve.archive import version_in
from springboard.torchserve.process import TorchServe, TorchServeError

log = logging.getLogger("springboard.children")

_LOOK_SECONDS = 0.5
# TorchServe gives a worker that keeps dying up after 300 s, for good, and lives on without any.
_GIVEN_UP_SECONDS = 330.0


def endpoint(
    archive: Path, limits: Limits, buckets: tuple[str, ...], results: Path | None = None
) -> tuple[Endpoint, list[Companion]]:
    """Return an endpoint of one variant, and the TorchServe that shall run beside the front for it.

    `results`: the folder of asynchronous requests, if they are taken.
    """
    # Which engine is faster here, the first start measures and the next ones read.
    environment = {"SPRINGBOARD_CACHE": str(ROOT / "build" / "engines")} | without_credentials(os.environ)
    child = TorchServe(archive, environment=environment)
    variant = Variant(**{**child.served.model_dump(), "name": "local", "sha256": sha256(archive)})
    jobs = Async(output=str(results.resolve())) if results else None
    made = Endpoint(variants=(variant,), limits=limits, allowed_buckets=buckets)
    return made.model_copy(update={"asynchronous": jobs}), [lambda front: keep_running(child, front)]


def without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a process that parses strangers' videos may know: the front alone reads S3."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")} | {
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def check(archive: Path | None) -> Path | None:
    """Return the archive, where one or its folder is given, unless its name is not its version's.

    By the name its requests go.
    """
    if archive is None:
        return None
    if archive.is_dir():
        archive = _only_one(archive)
    if not archive.is_file():
        fail(f"{archive} does not exist; make it with: ./archive.sh --weights DIR --version X.Y.Z")
    held, named = version_in(archive), version_of(archive.name)
    if archive.name != archive_name(named) or not is_release(named) or held not in (named, None):
        if held is None:
            fail(f"{archive} is no archive of archive.sh; those are called dive-X.Y.Z.mar")
        if not is_release(held):
            fail(f"{archive} holds version {held}, which is none like X.Y.Z; make it anew with archive.sh")
        fail(f"{archive} holds release {held}, so its name must be {archive_name(held)}; rename it")
    return archive  # an unreadable one TorchServe tells more of


def _only_one(folder: Path) -> Path:
    """Return the archive in a folder, as a container has it: SageMaker unpacks a model.tar.gz there."""
    found = sorted(folder.glob(archive_name("*")))
    if len(found) != 1:
        held = ", ".join(path.name for path in found) or "none"
        fail(f"{folder} should hold one archive of archive.sh, dive-X.Y.Z.mar; it holds {held}")
    return found[0]


async def keep_running(child: TorchServe, front: Front) -> None:
    """Start TorchServe and bring it back whenever it dies, ever more slowly, until cancelled; then stop it.

    Raises `ChildFailed` when the first start does not get as far as a ready worker.
    """
    backoff = Backoff(1.0, 30.0)
    try:
        await asyncio.to_thread(child.start)
        await asyncio.to_thread(child.wait_ready)
        while True:
            began = time.monotonic()
            await _end_of(child, front)
            pause = backoff.after(time.monotonic() - began)
            log.error("TorchServe ended, %s. Starting it again in %g s", child.explain(), pause)
            await asyncio.to_thread(child.stop)
            await asyncio.sleep(pause)
            await asyncio.to_thread(child.start)
    except TorchServeError as error:
        raise ChildFailed(str(error)) from error
    finally:
        if front.stop_at_once:
            child.kill()
        await asyncio.to_thread(child.stop)


async def _end_of(child: TorchServe, front: Front) -> None:
    """Return when the process is gone, or has had no ready worker for so long that it has given up."""
    ready = time.monotonic()
    while child.pid is not None and time.monotonic() - ready < _GIVEN_UP_SECONDS:
        await asyncio.sleep(_LOOK_SECONDS)
        if front.queue.serving:
            ready = time.monotonic()
