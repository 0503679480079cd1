"""Files that are whole or not there, also after a crash or a power cut."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write the file beside and rename it over: readers see the old or the new one, and it is on the disk."""
    draft = path.with_name(f".{path.name}.new")
    # Nobody else's for a moment before it gets its mode.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
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
def alone(path: Path) -> Iterator[None]:
    """Keep other processes, and threads of this one, out of what they too do `alone` with this file."""
    # Each opens the file anew, so that flock(2) keeps threads apart as it does processes.
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
