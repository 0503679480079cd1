"""How TorchServe is spoken to: HTTP over unix sockets, or over TCP where somebody has it listen there.

httpx takes no URL for a socket, so there is one here: `unix://` and the socket's path in hexadecimal in the
place of a host. `url` makes it, `mounts` and `client` give an httpx client what understands it.
"""

import os
import socket
from collections.abc import Iterable
from typing import Any

import httpx

from springboard.system.asking import ask
from springboard.system.tls import authorities

_SCHEME = "unix://"
# Their number, as their time, is the business of whoever asks: the front has a queue.
UNBOUNDED = httpx.Limits(max_connections=None, max_keepalive_connections=None)


def url(address: str, path: str) -> str:
    """Return the URL of a path at an address, `unix:/path` or `http://host:port`."""
    scheme, _, place = address.partition(":")
    return f"{_SCHEME}{place.encode().hex()}{path}" if scheme == "unix" else f"{address}{path}"


def mounts() -> dict[str, httpx.AsyncBaseTransport]:
    """Return the transports that an asynchronous client needs beside its own."""
    return {_SCHEME: _AsyncSockets()}


def client(**options: Any) -> httpx.Client:
    """Return a client that understands `url`; `options` are `httpx.Client`'s."""
    # Proxies of the environment are for elsewhere.
    return httpx.Client(mounts={_SCHEME: _Sockets()}, trust_env=False, verify=authorities(), **options)


def request(method: str, url: str, *, timeout: float = 60.0, **options: Any) -> httpx.Response:
    """Ask once, for `timeout` seconds in all; raise `httpx.HTTPError`, also of an answer without end."""
    with client() as asking:
        return ask(asking, method, url, seconds=timeout, **options)


class _AsyncSockets(httpx.AsyncBaseTransport):
    """Connections by socket. Those of a TorchServe whose socket is gone are closed when another one comes."""

    def __init__(self) -> None:
        self._by_path: dict[str, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = _socket_of(request)
        if path not in self._by_path:
            for gone in [self._by_path.pop(gone) for gone in _gone(self._by_path)]:
                await gone.aclose()
            # Another request may have come here while those closed.
            self._by_path.setdefault(
                path, httpx.AsyncHTTPTransport(uds=path, limits=UNBOUNDED, verify=authorities())
            )
        return await self._by_path[path].handle_async_request(_over_http(request))

    async def aclose(self) -> None:
        for transport in self._by_path.values():
            await transport.aclose()


class _Sockets(httpx.BaseTransport):
    def __init__(self) -> None:
        self._by_path: dict[str, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = _socket_of(request)
        _knock(path, request)
        if path not in self._by_path:
            self._by_path[path] = httpx.HTTPTransport(uds=path, limits=UNBOUNDED, verify=authorities())
        return self._by_path[path].handle_request(_over_http(request))

    def close(self) -> None:
        for transport in self._by_path.values():
            transport.close()


def _knock(path: str, request: httpx.Request) -> None:
    """Raise where nobody listens; httpcore would raise as well, but leave its socket open (1.0.9).

    Also where nobody takes what waits there already: to connect would wait for that, for good.
    """
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.setblocking(False)
        try:
            knocking.connect(path)
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error


def _gone(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if not os.path.exists(path)]


def _socket_of(request: httpx.Request) -> str:
    return bytes.fromhex(request.url.host).decode()


def _over_http(request: httpx.Request) -> httpx.Request:
    request.url = request.url.copy_with(scheme="http", host="torchserve")
    request.headers["Host"] = "torchserve"
    return request
