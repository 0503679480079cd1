"""Environments of their own for other people's programs: what they need stays out of ours."""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from springboard.system.checkout import ROOT

BIN = Path(sys.executable).parent


def installed(pip: Sequence[str] = (), npm: Sequence[str] = ()) -> Path:
    """Return a folder with these pinned packages, made once: `bin/` of Python's, `node_modules/`."""
    folder = ROOT / "build" / "clients" / hashlib.sha256(repr([*pip, *npm]).encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            if pip:
                _make(BIN / "uv", "venv", "-q", "--allow-existing", "--python", sys.executable, folder)
                _make(BIN / "uv", "pip", "install", "-q", "--python", folder / "bin/python", *pip)
            if npm:
                _make(BIN / "npm", "install", "--no-audit", "--no-fund", "--prefix", folder, *npm)
            (folder / "complete").touch()
    return folder


def _make(*command: str | Path) -> None:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"  # npm is a script that looks for node
    done = subprocess.run(
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
