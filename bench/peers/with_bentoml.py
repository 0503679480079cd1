"""BentoML: one worker, the video as the body of a request, which its service gets as a file."""

import json
import os
from pathlib import Path
from typing import Any

import bentoml

from bench.peers.core import PORT, Core


@bentoml.service(workers=1, threads=1, traffic={"timeout": 300})
class Scorer:
    """Scores in one thread; what comes meanwhile waits."""

    def __init__(self) -> None:
        self._core = Core()

    @bentoml.api  # type: ignore[untyped-decorator]
    def invocations(self, video: Path, /) -> dict[str, Any]:
        """Score one video."""
        answer: dict[str, Any] = json.loads(self._core.score(video.read_bytes())[1])
        return answer


if __name__ == "__main__":
    bentoml.serve(
        "bench.peers.with_bentoml:Scorer", host="127.0.0.1", port=int(os.environ[PORT]), blocking=True
    )
