"""Brings back instances whose TorchServe lives on without workers, which neither it nor systemd does.

It gives up a worker that keeps dying after 300 s, and whoever may ask it can tell it to have none.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from springboard.deploy import units as services
from springboard.deploy.instances import Instance, InstanceError
from springboard.system.files import write_atomically

# It has given up by then; whatever loads has been told from it by then, too.
_GIVEN_UP_SECONDS = 330.0
# Without any it was told to have none, or cannot read its archive; not to be taken for a moment between two.
_NONE_SECONDS = 5.0
_LOOK_SECONDS = 1.0


def heal(file: Path, instances: Sequence[Instance], say: Callable[[str], None]) -> bool:
    """Restart those that have had no READY worker for too long; return whether there were any.

    `file` remembers since when, from one call to the next. One that does not run, or does not answer, is left
    alone: an administrator stopped it, or systemd sees to it.
    """
    before, since = _read(file), dict[str, float]()
    healed = False
    for one in instances:
        try:
            if not (one.exists and services.running(one.name)) or (without := _workerless(one)) is None:
                continue
        except InstanceError as error:  # it keeps no other from being healed
            say(str(error))
            continue
        since[one.name] = before.get(one.name, time.time())
        if without or time.time() - since[one.name] > _GIVEN_UP_SECONDS:
            say(f"restarting {services.unit(one.name)}, which has no worker any more")
            services.restart(one.name)
            del since[one.name]
            healed = True
    if since != before:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(since))
    return healed


def _workerless(one: Instance) -> bool | None:
    """Return None where a worker is READY or nobody answers, else whether there is none for good."""
    until = time.monotonic() + _NONE_SECONDS
    while True:
        workers = one.workers()
        if workers is None or workers.ready:
            return None
        if workers.total:
            return False
        if time.monotonic() > until:
            return True
        time.sleep(_LOOK_SECONDS)


def _read(file: Path) -> dict[str, float]:
    try:
        return {str(name): float(since) for name, since in json.loads(file.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
