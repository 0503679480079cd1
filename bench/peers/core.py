"""What every peer serves: the worker's own pipeline, with TorchServe's worker's settings."""

import os
from pathlib import Path

import cv2

from model_handler.device import keep_freed_memory
from model_handler.pipeline import Pipeline, Settings

# Where a peer finds its weights or the archive with them, and the port that it shall have.
WEIGHTS, ARCHIVE, PORT = "BENCH_WEIGHTS", "BENCH_ARCHIVE", "BENCH_PORT"


class Core:
    """The pipeline, warm."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        keep_freed_memory()
        cache = Path(os.environ["SPRINGBOARD_CACHE"])
        self._pipeline = Pipeline(Path(os.environ[WEIGHTS]), Settings(), "dive", "0.0.0", cache=cache)
        self._pipeline.warm_up()

    def score(self, video: bytes) -> tuple[int, bytes]:
        """Return status and JSON of one video's answer."""
        (answer,) = self._pipeline.process([video])
        return answer.status, answer.json()

    def stages(self, video: bytes) -> dict[str, float]:
        """Score one video; returns milliseconds by stage."""
        (answer,) = self._pipeline.process([video])
        return answer.timings
