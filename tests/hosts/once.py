"""What is slow to make and alike for every process and session: made once, kept in build/hosts."""

import fcntl
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

from springboard.system import files
from springboard.system.checkout import ROOT

BUILD = ROOT / "build" / "hosts"
_used: list[IO[str]] = []


def digest(*parts: Path | bytes) -> bytes:
    """Hash bytes, files, and folders with all that lies in them, modes too."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, bytes):
            found.update(b"%d " % len(part) + part)
            continue
        for file in sorted(part.rglob("*")) if part.is_dir() else [part]:
            if file.is_file() and "__pycache__" not in file.parts:
                text = file.read_bytes()
                name = file.relative_to(part.parent)
                found.update(f"{name} {file.stat().st_mode:o} {len(text)} ".encode() + text)
    return found.digest()


def once(name: str, ingredients: bytes, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` creates, once for all processes and for as long as its ingredients stay.

    Whoever comes while it is made waits. Those of other ingredients go, unless another process uses them:
    this one uses its own until its end.
    """
    path = BUILD / f"{name}-{ingredients.hex()[:12]}"
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _used.append(path.with_suffix(".used").open("w"))
        fcntl.flock(_used[-1], fcntl.LOCK_SH)
        for old in {one.with_suffix("") for one in BUILD.glob(f"{name}-*")}:
            if not _in_use(mark := old.with_suffix(".used")):
                subprocess.run(["rm", "-rf", str(old), str(mark)], check=True)
        if not path.is_dir():
            draft = BUILD / f"{name}.draft"
            subprocess.run(["rm", "-rf", str(draft)], check=True)
            make(draft)
            draft.rename(path)
    return path


def _in_use(mark: Path) -> bool:
    with mark.open("a") as file:
        return not files.lock(file)
