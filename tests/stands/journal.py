"""A stand-in for journalctl: of what was logged it shows what the real one would, by the options we use.

It reads entries from a file, and refuses options that it does not know.
"""

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

_NAMES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


@dataclass(frozen=True)
class Entry:
    """A line of the journal: `unit` is empty for the kernel's."""

    unit: str
    line: str
    priority: int = 6


def entries_of(unit: str, lines: Iterable[str]) -> list[Entry]:
    """Return lines as journald takes them from a unit's output: `<N>` before one is its priority."""
    found = []
    for line in lines:
        prefix = re.match(r"<([0-7])>", line)
        found.append(Entry(unit, line[3:], int(prefix[1])) if prefix else Entry(unit, line))
    return found


def install(folder: Path, entries: Iterable[Entry]) -> None:
    """Write a `journalctl` into `folder` that knows these entries, in this order."""
    (folder / "journal.json").write_text(json.dumps([asdict(entry) for entry in entries]))
    script = folder / "journalctl"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {folder / "journal.json"} "$@"\n')
    script.chmod(0o755)


def main() -> None:
    """Be journalctl."""
    journal, *words = sys.argv[1:]
    entries = [Entry(**entry) for entry in json.loads(Path(journal).read_text())]
    units, options = [], {"-p": "debug", "-o": "short", "-n": "1000000"}
    kernel = False
    while words:
        word = words.pop(0)
        if word == "-u":
            units.append(words.pop(0))
        elif word in ("-p", "-o", "-n"):
            options[word] = words.pop(0)
        elif word == "-k":
            kernel = True
        elif word == "--since":
            words.pop(0)
        elif word not in ("--no-pager", "--quiet"):
            sys.exit(f"journalctl: unknown option {word}")
    shown = [
        entry
        for entry in entries
        if entry.priority <= _NAMES.index(options["-p"])
        and (not entry.unit if kernel else any(fnmatch(entry.unit, _whole(unit)) for unit in units or ["*"]))
    ]
    for entry in shown[-int(options["-n"]) :]:
        before = "" if options["-o"] == "cat" else f"Nov 28 09:00:00 gpu1 {entry.unit or 'kernel'}[1]: "
        print(before + entry.line)


def _whole(unit: str) -> str:
    return unit if "." in unit or unit == "*" else f"{unit}.service"


if __name__ == "__main__":
    main()
