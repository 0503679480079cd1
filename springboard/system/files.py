"""Files that are whole or not there, also after a crash or a power cut."""

import fcntl
import hashlib
import os
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


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
