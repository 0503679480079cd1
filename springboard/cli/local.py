"""The TorchServe processes the front starts itself, on a developer's machine; on a host systemd does it."""

import asyncio
import logging
import time

from springboard.front.front import Front
from springboard.front.server import ChildFailed
from springboard.torchserve.process import TorchServe, TorchServeError

log = logging.getLogger("springboard.children")

_LOOK_SECONDS = 0.5
_LONGEST_BACKOFF = 30.0
# A child that lived this long died of something new.
_SETTLED_SECONDS = 60.0
# TorchServe gives a worker that keeps dying up after 300 s, for good, and lives on without any.
_GIVEN_UP_SECONDS = 330.0


async def keep_running(child: TorchServe, front: Front) -> None:
    """Start TorchServe and bring it back whenever it dies, ever more slowly, until cancelled; then stop it.

    Raises `ChildFailed` when the first start does not get as far as a ready worker.
    """
    backoff = 1.0
    try:
        await asyncio.to_thread(child.start)
        await asyncio.to_thread(child.wait_ready)
        while True:
            began = time.monotonic()
            await _end_of(child, front)
            if time.monotonic() - began > _SETTLED_SECONDS:
                backoff = 1.0
            log.error("TorchServe ended; starting it again in %g s. It said: %s", backoff, child.explain())
            await asyncio.to_thread(child.stop)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF)
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
