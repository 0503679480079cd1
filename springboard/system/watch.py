"""Files that are edited while the server runs."""

import asyncio
from collections.abc import Callable
from pathlib import Path

POLL_SECONDS = 1.0


async def watch(path: Path, changed: Callable[[], None]) -> None:
    """Call `changed` at once, and whenever the file is another than before, until cancelled."""
    seen = None
    while True:
        now = _look(path)
        if now != seen:
            seen = now
            changed()
        await asyncio.sleep(POLL_SECONDS)


def _look(path: Path) -> tuple[int, int, int] | None:
    # The inode too: a file replaced by rename may keep its size within one tick of the clock.
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
