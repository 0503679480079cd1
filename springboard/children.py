"""The TorchServe processes the front starts itself, on a developer's machine; on a host systemd does it."""

import asyncio
import logging
import os
import signal
import time

from springboard.front import Front
from springboard.torchserve import TorchServe

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_LONGEST_BACKOFF = 30.0
# A child that lived this long died of something new.
_SETTLED_SECONDS = 60.0


async def keep_running(child: TorchServe, front: Front) -> None:
    """Start TorchServe and bring it back whenever it dies, ever more slowly, until cancelled; then stop it.

    Raises `TorchServeError` when it cannot be started at all.
    """
    backoff = 1.0
    try:
        while True:
            began = time.monotonic()
            await asyncio.to_thread(child.start)
            while child.pid is not None:  # noqa: ASYNC110 - a process sets no event
                await asyncio.sleep(_LOOK_SECONDS)
            if time.monotonic() - began > _SETTLED_SECONDS:
                backoff = 1.0
            if not front.draining:
                log.error(
                    "TorchServe ended; starting it again in %g s. It said:\n%s", backoff, child.explain()
                )
            await asyncio.to_thread(child.stop)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF)
    finally:
        if front.stop_at_once and child.pid is not None:
            os.killpg(child.pid, signal.SIGKILL)
        await asyncio.to_thread(child.stop)
