"""Starts instances and has them prove themselves; and says why something did not."""

import errno
import traceback
from collections.abc import Callable
from pathlib import Path

from springboard.deploy import assemble, memory
from springboard.deploy import units as services
from springboard.deploy.canary import Rejected
from springboard.deploy.instances import Instance
from springboard.deploy.keeper import FAULTS
from springboard.deploy.layout import Layout
from springboard.deploy.plan import RolloutError
from springboard.deploy.settings import Host
from springboard.deploy.stop import Stopped
from springboard.releases import copies
from springboard.releases.manifest import Manifest


class Starter:
    """One host's; `ask` may raise while it waits."""

    def __init__(
        self, layout: Layout, host: Host, say: Callable[[str], None], ask: Callable[[], None]
    ) -> None:
        self._layout, self._host = layout, host
        self._say, self._ask = say, ask

    def up(self, instance: Instance) -> None:
        """Have it run and be ready."""
        if not (services.running(instance.name) and instance.ready()):
            self._say(f"starting {services.unit(instance.name)}")
        instance.start(self._host.ready_timeout_seconds, self._ask)

    def golden(self, instance: Instance, manifest: Manifest, in_traffic: bool = False) -> None:
        """Have it score its golden clip as its manifest says, each worker, or `in_traffic` one of them."""
        if manifest.golden is None:  # the plan saw to it that it may be so
            self._say(f"{manifest.version} has no golden clip: nobody knows whether it scores as it should")
            return
        clip = (self._layout.releases / manifest.version / manifest.golden_name).read_bytes()
        score = (instance.check if in_traffic else instance.warm_up)(clip, manifest.golden)
        self._say(f"the golden clip scores {score:.2f}, expected {manifest.golden.score:.2f}")

    def fits(self, running: Instance, manifest: Manifest, host: Host) -> None:
        """Raise `InstanceError` where a release, as `host` has it, does not fit beside what runs."""
        size = copies.load(self._layout.releases / running.version).archive.size_bytes
        growth = max(manifest.archive.size_bytes / size, 1.0)
        if (there := running.workers()) and (wanted := assemble.workers(host)):
            growth *= wanted / max(there.total, 1)
        memory.check(running, manifest.version, growth)


def cause(error: Exception, layout: Layout) -> str:
    """Return what an operator reads of a fault."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full ({error}): free or enlarge it, see df -h {layout.instances}"
    if isinstance(error, (*FAULTS, Rejected, RolloutError, Stopped)):
        return str(error)
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} (a fault of ours, {Path(at.filename).name}:{at.lineno})"
