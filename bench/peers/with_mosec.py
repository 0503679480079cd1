"""mosec: its front of Rust, one process that scores."""

import json
import os
import sys
from typing import Any

from mosec import Server, Worker

from bench.peers.core import PORT, Core


class Scorer(Worker):  # type: ignore[misc]  # mosec is in an environment of its own
    """Takes bodies as they are."""

    def __init__(self) -> None:
        super().__init__()
        self._core = Core()

    def deserialize(self, data: bytes) -> bytes:
        """Return the body, which comes as a bytearray."""
        return bytes(data)

    def serialize(self, data: Any) -> bytes:
        """Return the answer."""
        return json.dumps(data).encode()

    def forward(self, data: bytes) -> Any:
        """Score one video."""
        return json.loads(self._core.score(data)[1])


if __name__ == "__main__":
    sys.argv[1:] = ["--address", "127.0.0.1", "--port", os.environ[PORT], "--timeout", "120000"]
    server = Server()
    server.append_worker(Scorer, num=1, timeout=120)
    server.run()
