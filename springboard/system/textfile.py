"""Gauges that a command has node exporter tell: a file in the folder that it reads."""

from collections.abc import Mapping
from pathlib import Path

from springboard.system.files import write_atomically


def page(values: Mapping[str, float], about: Mapping[str, str]) -> str:
    """Return them as Prometheus' text format has gauges; `about` says of each name what it is."""
    lines = [
        line
        for name, value in values.items()
        for line in (f"# HELP {name} {about[name]}", f"# TYPE {name} gauge", f"{name} {value!r}")
    ]
    return "\n".join([*lines, ""])


def write(path: Path, values: Mapping[str, float], about: Mapping[str, str]) -> None:
    """Write the file, unless it says so already or nobody reads there: a host that is not watched."""
    if not path.parent.is_dir():
        return
    says = page(values, about)
    if not path.exists() or path.read_text(encoding="utf-8") != says:
        write_atomically(path, says)
