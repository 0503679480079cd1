"""Ray Serve: one replica in a process of its own, bodies as they come."""

import asyncio
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from bench.peers.core import PORT, Core


@serve.deployment(num_replicas=1, max_ongoing_requests=64)
class Scorer:
    """Reads in the event loop, scores in one thread."""

    def __init__(self) -> None:
        self._core, self._one = Core(), ThreadPoolExecutor(1)

    async def __call__(self, request: Request) -> Any:
        """Score one video."""
        if request.url.path != "/invocations":
            return "ready"
        video = await request.body()
        _, body = await asyncio.get_running_loop().run_in_executor(self._one, self._core.score, video)
        return json.loads(body)


if __name__ == "__main__":
    ray.init(include_dashboard=False, configure_logging=False, num_cpus=len(os.sched_getaffinity(0)))
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ[PORT]), "request_timeout_s": 300})
    serve.run(Scorer.bind())  # type: ignore[attr-defined]  # of the decorator
    while True:
        time.sleep(3600)
