"""Archives of `springboard serve --weights`: found by what they are made of, so nothing is packed twice.

`build/served/KEY/` holds one, whole or not there; KEY is of the weights and of the code packed with them.
Each server at work holds its folder's lock, so two share an archive, and neither takes it from the other.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from springboard.cli.said import fail
from springboard.endpoint.names import archive_name
from springboard.releases.contents import key_of
from springboard.system.checkout import ROOT
from springboard.system.files import alone, lock

LOCAL_VERSION = "0.0.0-local"
# Half a gigabyte each; those that a server has do not count.
_KEPT = 2
# Open as long as this process: closing one gives its lock away.
_held: list[IO[str]] = []


def archive_of(weights: Path, store: Path = ROOT / "build" / "served") -> Path:
    """Return the archive of these weights, packed where there is none; it is held until this process ends."""
    store.mkdir(parents=True, exist_ok=True)
    folder = store / _key(weights)
    with alone(store / ".lock"):
        there = folder.is_dir()
        if there:
            _hold(folder)
        else:
            made = Path(tempfile.mkdtemp(prefix=".new-", dir=store))
            _hold(made)  # its lock moves with it
    if not there:
        try:
            _pack(weights, made)
            with alone(store / ".lock"):
                if folder.is_dir():  # another server was quicker
                    _hold(folder)
                else:
                    made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    with alone(store / ".lock"):
        os.utime(folder)
        _prune(store)
    return folder / archive_name(LOCAL_VERSION)


def _key(weights: Path) -> str:
    if not weights.exists():
        fail(f"--weights: {weights} does not exist")
    try:
        return key_of(weights)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")


def _pack(weights: Path, folder: Path) -> None:
    """Run archive.sh; stop it when we are stopped meanwhile."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    command = [str(ROOT / "archive.sh"), "--weights", str(weights), "--version", LOCAL_VERSION]
    # What it prints is the archive's path, which is nobody's business here; its errors are.
    with subprocess.Popen([*command, "--out", str(folder)], stdout=subprocess.DEVNULL) as process:
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            raise
    signal.signal(signal.SIGTERM, before)
    if status:
        fail(f"archive.sh failed with status {status}")


def _hold(folder: Path) -> None:
    held = (folder / ".held").open("w")
    fcntl.flock(held, fcntl.LOCK_SH)
    _held.append(held)


def _prune(store: Path) -> None:
    """Remove the oldest archives that no server has, and what killed ones left half made."""
    free = [folder for folder in store.iterdir() if folder.is_dir() and _is_free(folder)]
    free.sort(key=lambda folder: (not folder.name.startswith("."), folder.stat().st_mtime))
    half_made = sum(folder.name.startswith(".") for folder in free)
    for folder in free[: max(half_made, len(free) - _KEPT)]:
        shutil.rmtree(folder, ignore_errors=True)


def _is_free(folder: Path) -> bool:
    with (folder / ".held").open("w") as held:
        return lock(held)
