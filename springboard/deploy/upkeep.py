"""Whether a host should be patched or booted anew, for Prometheus: a file for node exporter."""

import os
import re

from springboard.deploy.layout import Layout
from springboard.system import textfile

_FILE = "springboard_upkeep.prom"
_IMAGE = "vmlinuz-"
_REBOOT, _PATCHED = "springboard_reboot_required", "springboard_patched_timestamp_seconds"
ABOUT = {
    _REBOOT: "Whether updates wait for a reboot.",
    _PATCHED: "When all updates were installed, in Unix time.",
}


def reboot_due(layout: Layout) -> bool:
    """Whether packages ask for it, or a kernel waits that is newer than the one that runs.

    The former by Debian's policy 9.12, and Ubuntu's: whoever needs a reboot makes /run/reboot-required.
    """
    if (layout.root / "run/reboot-required").exists():
        return True
    kernels = [path.name.removeprefix(_IMAGE) for path in (layout.root / "boot").glob(f"{_IMAGE}*")]
    running = os.uname().release
    # A container's is its host's.
    return running in kernels and max(kernels, key=_version) != running


def _version(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release))


def tell(layout: Layout) -> None:
    """Write it down, where somebody reads it."""
    values = {_REBOOT: float(reboot_due(layout))}
    if layout.patched.exists():
        values[_PATCHED] = layout.patched.stat().st_mtime
    textfile.write(layout.figures / _FILE, values, ABOUT)
