"""An ASGI application on a free port of this machine, served as the front is, in a thread."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

from springboard.front.connection import Connection
from springboard.front.server import listen
from tests.stands.waiting import wait_until


@contextmanager
def served(
    app: ASGIApp, address: str = "127.0.0.1", beside: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> Iterator[int]:
    """Yield the port of this machine's address; `beside` runs in the server's loop until it ends."""
    listening = listen(address, 0)
    config = uvicorn.Config(app, http=Connection, ws="none", log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]

    async def run() -> None:
        companion = asyncio.create_task(beside()) if beside else None
        await server.serve(sockets=[listening])
        if companion:
            companion.cancel()
            with suppress(asyncio.CancelledError):
                await companion

    thread = threading.Thread(target=lambda: uvloop.run(run()))
    thread.start()
    try:
        wait_until(lambda: server.started, "the server to start")
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listening.close()


def exchange(port: int, *sent: bytes, half_close: bool = False) -> bytes:
    """Send bytes on one connection, and return all that comes until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        for part in sent:
            plain.sendall(part)
        if half_close:
            plain.shutdown(socket.SHUT_WR)
        received = b""
        while more := plain.recv(65536):
            received += more
        return received
