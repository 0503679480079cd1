"""What systemd does for a front: a socket of its own that outlives it, and READY=1."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

from springboard.system.processes import Child
from tests.stands.front import SPRINGBOARD

# What systemd does between fork and exec.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Systemd:
    """One listening socket, one notification socket and one log, for generation after generation."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_server((host, 0), backlog=2048)
        self.url = "http://{}:{}".format(*self._socket.getsockname())
        self.log = folder / "front.log"
        self._address = str(folder / "notify")
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.bind(self._address)

    def start(self, *arguments: str | Path, **options: Any) -> Child:
        command = [sys.executable, "-c", HAND_OVER, str(self._socket.fileno()), str(SPRINGBOARD), "serve"]
        command += [*map(str, arguments)]
        environment = {**os.environ, "NOTIFY_SOCKET": self._address}
        with self.log.open("ab") as log:  # a pipe that nobody reads would fill
            said = {"stderr": log, **options}
            return Child(command, env=environment, pass_fds=[self._socket.fileno()], **said)

    def wait_told(self, state: str) -> None:
        self._told.settimeout(120)
        while self._told.recv(4096).decode() != state:
            pass

    def close(self) -> None:
        self._socket.close()
        self._told.close()
