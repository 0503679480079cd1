"""LitServe: forms, as its documentation has files sent; one worker, ZeroMQ between the processes."""

import json
import os
from typing import Any

from fastapi import Request
from litserve import LitAPI, LitServer

from bench.peers.core import PORT, Core


class Scorer(LitAPI):  # type: ignore[misc]  # litserve is in an environment of its own
    """Takes a form with the video in `content`."""

    def setup(self, device: str) -> None:
        """Load the model in the worker."""
        self._core = Core()

    def decode_request(self, request: Request) -> bytes:
        """Return the form's file; what LitServe hands over is the form."""
        form: Any = request
        return bytes(form["content"].file.read())

    def predict(self, video: bytes) -> tuple[int, bytes]:
        """Score one video."""
        return self._core.score(video)

    def encode_response(self, output: tuple[int, bytes]) -> Any:
        """Return the answer's JSON."""
        return json.loads(output[1])


if __name__ == "__main__":
    api = Scorer(api_path="/invocations")
    server = LitServer(
        api, accelerator="cpu", workers_per_device=1, timeout=300, fast_queue=True, restart_workers=True
    )
    server.run(host="127.0.0.1", port=int(os.environ[PORT]), log_level="warning", generate_client_file=False)
