"""A folder that videos are put into: each file becomes a job once it is whole."""

import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import quote

from watchfiles import watch

from springboard.jobs.desk import Desk, OtherInput
from springboard.jobs.drops import Dropped
from springboard.jobs.queue import QueueAway
from springboard.jobs.store import StoreAway

log = logging.getLogger("springboard.jobs")

# What browsers and copying programs call a file until it is whole.
_PARTIAL = (".part", ".partial", ".filepart", ".tmp", ".crdownload", ".download")
# A folder on a network tells nobody of changes: it is looked through so often.
_LOOK_SECONDS = 60.0


class Folder:
    """Watches a folder and all below it."""

    def __init__(self, place: Path, desk: Desk, pattern: str = "*", settle: float = 2.0) -> None:
        """Take files whose name is like `pattern`, unchanged for `settle` seconds."""
        self._place = place
        self._desk = desk
        self._pattern = pattern
        self._settle = settle
        # By path: how it was when last looked at, and when it is looked at again.
        self._waiting: dict[Path, tuple[str, float]] = {}
        self._taken: dict[Path, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Take what is there and what comes, until `stop` is set."""
        log.info("watching %s", self._place)
        step = max(int(min(self._settle, 1.0) * 500), 50)
        changes = watch(
            self._place, stop_event=stop, rust_timeout=step, step=50, debounce=200, yield_on_timeout=True
        )
        looked = float("-inf")
        for changed in changes:
            if time.monotonic() > looked + _LOOK_SECONDS:
                looked = time.monotonic()
                self._wait_for(self._found())
            self._wait_for(Path(path) for _, path in changed)
            self.take()

    def take(self) -> None:
        """Take the files that are whole by now; others wait on."""
        for path, (before, due) in list(self._waiting.items()):
            if time.monotonic() < due:
                continue
            del self._waiting[path]
            version = _version(path)
            if version is None or self._taken.get(path) == version:
                continue
            whole = version == before and not _is_written(path)
            if not whole or not self._take(path, version):
                self._waiting[path] = (version, time.monotonic() + self._settle)

    def _found(self) -> Iterator[Path]:
        for folder, below, names in os.walk(self._place):
            below[:] = [name for name in below if not name.startswith(".")]
            yield from (Path(folder, name) for name in names)

    def _wait_for(self, paths: Iterator[Path]) -> None:
        for path in paths:
            steps = path.relative_to(self._place).parts
            hidden = any(step.startswith(".") for step in steps) or path.name.lower().endswith(_PARTIAL)
            if not steps or hidden or not fnmatch(path.name, self._pattern):
                continue
            if os.fsencode(path).decode(errors="ignore") != str(path):
                log.error("%a is not scored: its name is no UTF-8; rename it", str(path))
            else:
                self._waiting.setdefault(path, ("", time.monotonic()))

    def _take(self, path: Path, version: str) -> bool:
        """Put a file on the queue; False where it is to be tried again."""
        key = path.relative_to(self._place).as_posix()
        dropped = Dropped(f"file://{quote(str(path))}", key, version, time.time())
        try:
            job = self._desk.accept(dropped.job(self._desk))
        except (QueueAway, StoreAway) as error:
            log.error("%s waits: %s", path, error)
            return False
        except OtherInput:
            log.error("%s: its job's id is that of another one; it is not scored", path)
        else:
            log.info("%s is job %s", key, job.id)
        self._taken[path] = version
        return True


def _version(path: Path) -> str | None:
    """Return what changes with a file's content, None for what is no file, or an empty one."""
    try:
        told = path.lstat()
    except OSError:
        return None  # it was renamed or removed
    if not stat.S_ISREG(told.st_mode) or not told.st_size:
        return None
    return f"{told.st_size}-{told.st_mtime_ns}"


def _is_written(path: Path) -> bool:
    """Whether some process has the file open for writing, as far as we may know: fcntl(2), F_SETLEASE."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False  # another's file, or a file system without leases: unchanged must do
    finally:
        os.close(file)
    return False
