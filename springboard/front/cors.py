"""Cross-origin requests: which pages a browser lets read our answers (the Fetch standard, 3.2)."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from springboard.front.front import Front

_EXPOSED = (
    "x-amzn-RequestId, x-amzn-ErrorType, Server-Timing, Retry-After, x-Amzn-Invoked-Production-Variant, "
    "X-Springboard-Cache, "
    "X-Amzn-SageMaker-New-Session-Id, X-Amzn-SageMaker-Custom-Attributes, X-Amzn-SageMaker-Inference-Id"
)
_METHODS = "GET, HEAD, POST, PUT, OPTIONS"
_MAX_AGE_SECONDS = "600"


class Cors:
    """ASGI middleware for the origins that the endpoint file lists as it is now; without any it adds nothing.

    A browser asks first, without credentials: that is answered before anybody is asked for them.
    """

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self._app = app
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer a browser's question."""
        origins = self._front.endpoint.cors.origins
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("Origin", "")
        if not origin or not ("*" in origins or origin in origins):
            await self._app(scope, receive, send)
            return

        async def send_allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                # Never with credentials: ours are in a header that the page itself sets.
                answer["Access-Control-Allow-Origin"] = origin
                answer["Access-Control-Expose-Headers"] = _EXPOSED
                answer.add_vary_header("Origin")
            await send(message)

        if scope["method"] == "OPTIONS" and "Access-Control-Request-Method" in headers:
            allowed = {
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": headers.get("Access-Control-Request-Headers", "*"),
                "Access-Control-Max-Age": _MAX_AGE_SECONDS,
            }
            await Response(status_code=204, headers=allowed)(scope, receive, send_allowing)
        else:
            await self._app(scope, receive, send_allowing)
