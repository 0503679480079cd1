"""HTTP requests that end: one deadline for the whole exchange, one limit for the bytes of its answer.

httpx's time-outs are for each step: who sends a byte now and then, of the head or of the body, is listened to
for good, and to as much as they send.
"""

import asyncio
import socket
import threading
from types import TracebackType
from typing import Any, Self

import httpx

# The longest that anybody here tells, a front's metrics, has some hundred kilobytes.
MOST_BYTES = 16 << 20
# What of a head is no longer so once the body is read.
_OF_THE_WAY = ("content-encoding", "content-length", "transfer-encoding")


def ask(
    client: httpx.Client, method: str, url: str, *, seconds: float, most: int = MOST_BYTES, **options: Any
) -> httpx.Response:
    """Return an answer that is whole within `seconds` and has at most so many bytes; raise `httpx.HTTPError`.

    It needs a connection of its own: `client` may not have one open yet. `options` are httpx's.
    """
    with _Deadline(seconds) as deadline:
        try:
            options["extensions"] = {"trace": deadline.watch}
            with client.stream(method, url, timeout=seconds, **options) as answer:
                body = bytearray()
                for chunk in answer.iter_bytes():
                    body += chunk
                    _check(answer, body, most)
        except httpx.HTTPError as error:
            if deadline.passed:
                raise _late(seconds) from error
            raise
        if deadline.passed:  # one that ends with its connection was cut off, and looks whole
            raise _late(seconds)
    return _read(answer, body)


async def ask_async(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    seconds: float,
    most: int = MOST_BYTES,
    **options: Any,
) -> httpx.Response:
    """As `ask`, on any connection of the client."""
    try:
        async with asyncio.timeout(seconds), client.stream(method, url, **options) as answer:
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                _check(answer, body, most)
    except TimeoutError as error:
        raise _late(seconds) from error
    return _read(answer, body)


def _check(answer: httpx.Response, body: bytearray, most: int) -> None:
    if len(body) > most:
        raise httpx.ReadError(f"the answer has more than {most:,} bytes", request=answer.request)


def _late(seconds: float) -> httpx.ReadTimeout:
    return httpx.ReadTimeout(f"no whole answer within {seconds:g} s")


def _read(answer: httpx.Response, body: bytearray) -> httpx.Response:
    headers = [one for one in answer.headers.multi_items() if one[0] not in _OF_THE_WAY]
    return httpx.Response(answer.status_code, headers=headers, content=bytes(body), request=answer.request)


class _Deadline:
    """Shuts the connection of an exchange that is not over in time, whatever it is at then."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._pass)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        if self._socket:
            self._socket.close()

    def watch(self, event: str, told: dict[str, Any]) -> None:
        """Take note of the connection; httpcore calls this for each of its steps."""
        if event in ("connection.connect_tcp.complete", "connection.connect_unix_socket.complete"):
            # A descriptor of our own: TLS takes the other away from its socket.
            self._socket = told["return_value"].get_extra_info("socket").dup()
            self._shut()

    def _pass(self) -> None:
        self.passed = True
        self._shut()

    def _shut(self) -> None:
        if self.passed and self._socket:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the other side has gone by itself
