"""What is left of a body when its request is answered: dropped within bounds, else its connection ends."""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# How much is read and dropped, so that whoever still sends gets to read the answer.
_DISCARD_BYTES = 200_000_000
_DISCARD_SECONDS = 5.0


class Unread:
    """ASGI middleware: no answer leaves a body behind it that is read without an end and for nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(Headers(scope=scope), receive)

        async def send_at_its_end(message: Message) -> None:
            if message["type"] == "http.response.start" and not await body.discard():
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, body.receive, send_at_its_end)


class _Body:
    def __init__(self, headers: Headers, receive: Receive) -> None:
        self._receive = receive
        self._ended = (
            headers.get("Content-Length", "0").strip("0") == "" and "Transfer-Encoding" not in headers
        )
        # Whoever asks before sending and is refused unasked sends no body, or does: nobody can know where the
        # next request begins (RFC 9110, 10.1.1).
        self._waits = headers.get("Expect", "").lower() == "100-continue"

    async def receive(self) -> Message:
        """Receive, and note where the body ends."""
        self._waits = False
        message = await self._receive()
        if not message.get("more_body", False):
            self._ended = True
        return message

    async def discard(self) -> bool:
        """Read and drop what is left; return whether it ended: else what comes next is still that body."""
        if self._waits:
            return False
        left = _DISCARD_BYTES
        try:
            async with asyncio.timeout(_DISCARD_SECONDS):
                while not self._ended and left > 0:
                    left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            return False
        return self._ended
