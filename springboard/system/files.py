"""Files that are whole or not there, also after a crash or a power cut."""

import fcntl
import hashlib
import math
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LOOK_SECONDS = 0.02


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write the file beside and rename it over: readers see the old or the new one, and it is on the disk."""
    draft = path.with_name(f".{path.name}.new")
    # Nobody else's for a moment before it gets its mode. Whoever left a FIFO of that name is not waited for.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(draft, flags, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_folder(path.parent)


def write_new(path: Path, content: bytes, mode: int = 0o644) -> bool:
    """Write a file that is whole and on the disk once it has its name; False, and no change, where one is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a name of its own, so that nothing is left of one that is cut off: open(2), O_TMPFILE.
    with open(os.open(path.parent, os.O_WRONLY | os.O_TMPFILE, 0o600), "wb") as draft:
        os.fchmod(draft.fileno(), mode)
        draft.write(content)
        draft.flush()
        os.fsync(draft.fileno())
        try:
            # Unlike a rename it takes no other's place. A descriptor, which an absolute path does not need,
            # has Python call linkat(2), which alone follows the link in /proc.
            number = draft.fileno()
            os.link(f"/proc/self/fd/{number}", path, src_dir_fd=number, follow_symlinks=True)
        except FileExistsError:
            return False
    sync_folder(path.parent)
    return True


def read_plain(path: Path, most: int) -> bytes:
    """Return what is in a plain file; raise OSError, at once, for anything else or more than `most` bytes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # nobody waits for who would write into a FIFO
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no plain file: remove it")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise OSError(f"{path} has more than {most:,} bytes: remove it")
    return content


def sync_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(file: IO[str]) -> bool:
    """Lock an open file until it is closed; return whether that was possible: somebody else may have it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def alone(path: Path, seconds: float = math.inf, mode: int = 0o666) -> Iterator[None]:
    """Keep other processes, and threads of this one, out of what they too do `alone` with this file.

    Raises TimeoutError where another still is at it after so many seconds. Whoever may open the file may lock
    it: `mode` is what it gets, less the umask.
    """
    # Each opens the file anew, so that flock(2) keeps threads apart as it does processes. As above of FIFOs.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, mode), "w") as held:
        end = time.monotonic() + seconds
        while not lock(held):
            if time.monotonic() > end:
                raise TimeoutError(f"{path} was locked for {seconds:g} s; who has it: fuser -v {path}")
            time.sleep(_LOOK_SECONDS)
        yield


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
