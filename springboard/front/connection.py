"""One connection: uvicorn's HTTP/1.1 over httptools, mended where it loses or misreads what clients send."""

import asyncio
import json
import resource
import socket
from functools import cache

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from springboard.front import safety

# A closed connection looks like a half-closed one until something is sent there: an interim answer, which any
# client has to bear with (RFC 9110, 15.2). A closed one resets then.
_ASK_SECONDS = 1.0
_HEAR_SECONDS = 0.25
_ASK_AGAIN_SECONDS = 5.0
_TCP_CLOSE = 7  # include/net/tcp_states.h
_SAFE = "".join(f"{name}: {value}\r\n" for name, value in safety.HEADERS.items()).encode()
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
# Neither llhttp nor uvicorn bounds a request's line and headers, a body's trailers or a chunk's extensions.
_MAX_HEAD_BYTES = 1 << 16
# Each is looked through for each that is asked for: what a request costs goes by their square.
_MAX_HEADERS = 100
# From a head's first byte to its end; who sends slower holds a connection for nothing.
_HEAD_SECONDS = 10.0
# Who takes nothing of an answer for so long, or twice as long, holds its memory for nothing.
_TAKE_SECONDS = 30.0
# Requests that wait behind the one at work; each is some 30 kB, and one read can bring thousands.
_MAX_PIPELINED = 64
# Descriptors that are not callers' connections: TorchServe, S3, files, the listening socket.
_OWN_DESCRIPTORS = 256


@cache
def _most_connections() -> int:
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(descriptors - _OWN_DESCRIPTORS, descriptors // 2)


class Connection(HttpToolsProtocol):
    """Answers over HTTP/1.1 who offers another protocol, and who half-closes after their last request.

    Who sends a head without end, too slowly, or far more requests than are answered is cut off: what that
    costs is counted by nobody else.
    """

    _offered: list[tuple[bytes, bytes]] | None = None
    _asking: asyncio.TimerHandle | None = None
    # Bytes since the last that was a whole head or a piece of a body.
    _head_bytes = 0
    _in_head = False
    _head_due: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, as long as between two; with no descriptors left to share, hang up."""
        super().connection_made(transport)
        self._expect_head(self.timeout_keep_alive)
        self._see_taken(0)
        if len(self.connections) > _most_connections():
            self.logger.warning("more than %d connections: hanging up", _most_connections())
            transport.abort()

    def on_message_begin(self) -> None:
        """Start the clock of a request's head."""
        super().on_message_begin()
        self._in_head = True
        self._expect_head(_HEAD_SECONDS)

    def _expect_head(self, seconds: float) -> None:
        self._forget_head()
        self._head_due = self.loop.call_later(seconds, self._head_late)

    def _forget_head(self) -> None:
        """Stop the clock: the head is whole, or nobody is there any more."""
        if self._head_due:
            self._head_due.cancel()

    def _head_late(self) -> None:
        if self.cycle and not self.cycle.response_complete:
            self._expect_head(_HEAD_SECONDS)  # the answer of the request before comes first
        elif self._in_head:
            self._refuse(408, f"The request's headers did not end within {_HEAD_SECONDS:g} s.")
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what came.

        A request that offers an upgrade (`h2c` by Java's HttpClient and curl --http2, `websocket`) ends for
        the parser with its headers: it is parsed anew without the offer, which a server may leave
        unanswered (RFC 9110, 7.8), so that its body is its body and not the next request.
        """
        self._unset_keepalive_if_required()
        self._head_bytes += len(data)
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as offer:
                    data = self._without_offer() + data[offer.args[0] :]
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)
            return
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse(431, f"The request's line and headers have more than {_MAX_HEAD_BYTES:,} bytes.")
        elif self._has_too_many_headers():
            self._refuse_headers()

    def _has_too_many_headers(self) -> bool:
        return self._in_head and len(self.headers) > _MAX_HEADERS

    def _refuse_headers(self) -> None:
        self._refuse(431, f"The request has more than {_MAX_HEADERS} headers.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, one more than there may be at most; nobody reads trailers."""
        if self._in_head and not self._has_too_many_headers():
            super().on_header(name, value)

    def _without_offer(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError("this is no proxy")
        self._offered = self.headers
        head = [b"%s %s HTTP/%s" % (method, self.url, version)]
        head += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return b"\r\n".join([*head, b"", b""])

    def on_headers_complete(self) -> None:
        """Start the request, once its headers are without an offer."""
        if self._has_too_many_headers():
            self._refuse_headers()
            raise httptools.HttpParserError(f"more than {_MAX_HEADERS} headers")
        self._head_bytes = 0
        self._in_head = False
        self._forget_head()
        if self.parser.should_upgrade():
            return
        if len(self.pipeline) >= _MAX_PIPELINED:
            self.transport.abort()
            raise httptools.HttpParserError(f"more than {_MAX_PIPELINED} requests wait on one connection")
        if self._offered is not None:  # all of them: a signature may cover it
            self.headers[:] = self._offered
            self._offered = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request's body."""
        self._head_bytes = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the words of every other error."""
        self._refuse(400, f"{msg} This server speaks HTTP/1.1.")

    def _refuse(self, status: int, message: str) -> None:
        if self.transport.is_closing():
            return
        body = json.dumps({"error": {"code": "invalid_request", "message": message}}).encode()
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nconnection: close\r\n"
            + _SAFE
            + b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        self.transport.close()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep the connection for the answer of a request that is here, as `nc -N` wants it."""
        cycle = self.cycle  # the last one
        if cycle is None or cycle.response_complete or cycle.more_body:
            return None
        cycle.keep_alive = False
        if cycle.scope["http_version"] == "1.1":
            self._asking = self.loop.call_later(_ASK_SECONDS, self._ask)
        return True

    def _ask(self) -> None:
        """Find out whether whoever half-closed still listens."""
        if not self.cycle.response_started and not self.pipeline and not self.transport.is_closing():
            self.transport.write(_INTERIM)
            self._asking = self.loop.call_later(_HEAR_SECONDS, self._hear)

    def _hear(self) -> None:
        connected: socket.socket = self.transport.get_extra_info("socket")
        if connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE:
            self.transport.abort()
        else:
            self._asking = self.loop.call_later(_ASK_AGAIN_SECONDS, self._ask)

    def _see_taken(self, before: int) -> None:
        """Hang up on who has taken nothing of an answer since `before` bytes of it were left."""
        left = self.transport.get_write_buffer_size()
        if left and left == before:
            self.transport.abort()
        else:
            self._taking = self.loop.call_later(_TAKE_SECONDS, self._see_taken, left)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._forget_head()
        if self._taking:
            self._taking.cancel()
        if self._asking:
            self._asking.cancel()
        super().connection_lost(exc)
