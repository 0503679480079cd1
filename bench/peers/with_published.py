"""The published way: weights are read for each request, every frame is taken, all is computed in fp64."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch

from bench.peers.core import PORT, WEIGHTS
from model_handler import checkpoint
from model_handler.request.errors import ScoringError
from model_handler.scoring import Scorer
from model_handler.video import Limits, decode

_one = threading.Lock()


def scored(video: bytes) -> tuple[int, dict[str, object]]:
    """Return status and answer of one video; one at a time, as the published container did."""
    with _one:
        scorer = Scorer(checkpoint.load(Path(os.environ[WEIGHTS])), torch.device("cpu"), torch.float64)
        try:
            clips = scorer.clips([decode(video, Limits(), "published").frames])
        except ScoringError as error:
            return error.status, error.body()
        if refusal := scorer.refusals(clips)[0]:
            return refusal.status, refusal.body()
        score = scorer.score(clips)[0].score
        return 200, {"prediction": int(score), "score": round(score, 4)}


class Handler(BaseHTTPRequestHandler):
    """GET /ping and POST /invocations with a video as the body."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer that we are there."""
        self._answer(200, {})

    def do_POST(self) -> None:
        """Score."""
        self._answer(*scored(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, status: int, said: object) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    ThreadingHTTPServer(("127.0.0.1", int(os.environ[PORT])), Handler).serve_forever()
