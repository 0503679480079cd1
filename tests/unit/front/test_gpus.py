"""A GPU that hangs takes nothing of the front with it."""

import asyncio
import threading

import httpx
import pynvml
import pytest

from springboard.auth.check import Auth, MetricsRule, Mode
from springboard.auth.keys import Keys
from springboard.endpoint.document import Endpoint
from springboard.front.front import Front
from springboard.front.routes import create_app
from springboard.front.scheduling.strikes import digest_of

# More than the threads that are there for what must not stop the event loop.
SCRAPES = 50


def test_scrapes_and_hashes_go_on_while_a_gpu_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answering = threading.Event(), threading.Event()

    def hang() -> None:
        asked.set()
        answering.wait()

    monkeypatch.setattr(pynvml, "nvmlInit", hang)

    async def scrape() -> None:
        async with httpx.AsyncClient() as torchserve:
            front = Front(Endpoint(variants=()), Auth(frozenset({Mode.NONE}), Keys()), torchserve)
            running = asyncio.create_task(front.run())
            app = httpx.ASGITransport(create_app(front, MetricsRule.LOOPBACK))
            async with httpx.AsyncClient(transport=app, base_url="http://127.0.0.1") as client:
                await asyncio.to_thread(asked.wait, 60)
                pages = await asyncio.gather(*(client.get("/metrics") for _ in range(SCRAPES)))
            assert {page.status_code for page in pages} == {200}
            assert len(await digest_of(bytes(300_000))) == 32
            running.cancel()

    try:
        asyncio.run(asyncio.wait_for(scrape(), 120))
    finally:
        answering.set()
