"""A request's id, its line in the log, and the end of its connection while draining."""

import logging
import re
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from springboard.front import sagemaker as wire
from springboard.front.front import Front
from springboard.jobs import report
from springboard.system import logs

log = logging.getLogger("springboard.access")

# Asked every few seconds by machines: a line for each would bury the others.
_QUIET = ("/ping", "/metrics")
# Version, trace, parent and flags: w3.org/TR/trace-context, 3.2.
_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# What strangers send may be as long as a head; the journal is everybody's.
_LONGEST = 512


class AccessLog:
    """ASGI middleware; Starlette's own base class for one would hide a client's going away."""

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self._app = app
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request under a new id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = wire.new_request_id()
        logs.request_id.set(request_id)
        told: dict[str, object] = {}
        logs.told.set(told)
        parent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        traced = _TRACEPARENT.fullmatch(parent)
        logs.traceparent.set(parent.decode() if traced else "")
        if traced:
            told["trace_id"] = traced[1].decode()
        began, began_ns = time.perf_counter(), time.time_ns()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-amzn-RequestId"] = request_id
                if self._front.draining:
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            if not (scope["path"].startswith(_QUIET) or scope["path"].endswith(f"/{report.NAME}")):
                milliseconds = round((time.perf_counter() - began) * 1000, 1)
                # The path as it was sent, without its query: no decoded line break, no secret from a URL.
                path = scope["raw_path"][:_LONGEST].decode("latin-1")
                extra = {"status": status, "ms": milliseconds, **told}
                log.info("%s %s %d", scope["method"], path, status, extra=extra)
                if traces := self._front.traces:
                    spent = (began_ns, began_ns + round(milliseconds * 1e6))
                    request = (scope["method"], path, status)
                    traces.record(request, request_id, logs.traceparent.get(), spent, told)
