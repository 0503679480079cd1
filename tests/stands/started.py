"""A server in a process of its own, which says by its first line that it listens, or where."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from springboard.system.checkout import ROOT
from springboard.system.processes import Child


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run it, with its errors in `log`, and yield that line."""
    with log.open("w") as errors:
        child = Child(
            command, cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert child.process.stdout
        with child.process.stdout as output:
            said = output.readline().strip()
        assert said, log.read_text()
        yield said
    finally:
        child.stop(5)
