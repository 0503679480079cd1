"""How deployments ended, for Prometheus: a file for node exporter, which counts on from what is in it.

It is there for whoever watches; a host that is not watched has no folder for it, and gets no file.
"""

import re
import time
from pathlib import Path

from springboard.system.files import write_atomically

DEPLOYMENTS = "springboard_deployments_total"
LAST = "springboard_deployment_last_timestamp_seconds"
ABOUT = {
    DEPLOYMENTS: ("counter", "Deployments on this host by how they ended."),
    LAST: ("gauge", "When a deployment last ended so, in Unix time."),
}
# A release serves, did not get to, or was taken back by `springboard rollback`.
PROMOTED, FAILED, ROLLED_BACK = OUTCOMES = ("promoted", "failed", "rolled_back")
_FILE = "springboard.prom"
_LINE = re.compile(r'(\w+)\{outcome="(\w+)"\} (\S+)')


def ended(folder: Path, outcome: str) -> None:
    """Count a deployment that ended now."""
    if not folder.is_dir():
        return
    path = folder / _FILE
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    known = {(name, kind): float(value) for name, kind, value in _LINE.findall(before)}
    known[DEPLOYMENTS, outcome] = known.get((DEPLOYMENTS, outcome), 0.0) + 1
    known[LAST, outcome] = time.time()
    write_atomically(path, page(known))


def page(known: dict[tuple[str, str], float]) -> str:
    """Return the file; `known` has values by metric and outcome. What never happened has a count of 0."""
    lines = []
    for name, (kind, about) in ABOUT.items():
        lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
        for outcome in OUTCOMES:
            if (value := known.get((name, outcome), 0.0)) or name == DEPLOYMENTS:
                lines.append(f'{name}{{outcome="{outcome}"}} {value!r}')
    return "\n".join([*lines, ""])
