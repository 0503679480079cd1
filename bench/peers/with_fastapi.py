"""FastAPI under uvicorn, one process: the event loop reads, one thread scores."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from fastapi import FastAPI, Request, Response

from bench.peers.core import PORT, Core


def app() -> FastAPI:
    """Return the application, its model loaded."""
    core, one = Core(), ThreadPoolExecutor(1)
    served = FastAPI()

    @served.get("/ping")
    async def ping() -> str:
        return "ready"

    @served.post("/invocations")
    async def invocations(request: Request) -> Response:
        video = await request.body()
        status, body = await asyncio.get_running_loop().run_in_executor(one, core.score, video)
        return Response(body, status, media_type="application/json")

    return served


if __name__ == "__main__":
    uvicorn.run(app(), host="127.0.0.1", port=int(os.environ[PORT]), log_level="warning")
