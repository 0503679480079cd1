"""Paths that are not quite a route's, methods that a route has not: answered where the meaning is clear."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from springboard.front import sagemaker as wire
from springboard.system import logs

_ARN = re.compile(rf"{wire.BELOW}arn:[^/]*/(?P<name>[^/]*)")


class TrailingSlash:
    """ASGI middleware that takes `/ping/` for `/ping`: after a redirect many clients send no body.

    The path as it was sent stays for signatures and logs.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


def answer_head(app: FastAPI) -> None:
    """Have every GET route answer HEAD too, whose body the server leaves out; after documenting it."""
    for route in app.routes:
        if isinstance(route, Route) and route.methods and "GET" in route.methods:
            route.methods.add("HEAD")


def unmatched(app: FastAPI) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return what answers requests that no route takes, in their callers' dialect."""

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - what it was registered for
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(app, request))
        if request.method == "OPTIONS" and (error.status_code == 405 or request.url.path == "/"):
            return Response(status_code=204, headers=headers)  # how some balancers ask whether we live
        # GET /endpoints/NAME is ours, not SageMaker's.
        call = wire.Call(logs.request_id.get(), wire.dialect_of(request.method, request.url.path))
        if call.typed:
            status, message = _typed(request, error)
            return wire.unknown_route(call, status, message, headers)
        code = {404: "no_such_route", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        body: dict[str, Any] = {"code": code, "message": f"{error.detail}. See /docs for the routes."}
        return JSONResponse({"error": body}, error.status_code, headers=headers)

    return answer


def _methods(app: FastAPI, request: Request) -> list[str]:
    """Return every method that a path has: Starlette names those of its first route only."""
    found: set[str] = set()
    for route in app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return sorted(found)


def _typed(request: Request, error: HTTPException) -> tuple[int, str]:
    """Return the status and the words for a call of SageMaker's runtime that is not offered.

    Nobody was asked for a key here, so it tells nothing that the request does not.
    """
    path = request.url.path
    if arn := _ARN.match(path):
        return 400, f"EndpointName is an ARN; give the endpoint's name alone, {arn['name']}."
    return error.status_code, (
        f"{error.detail}. This server has InvokeEndpoint, InvokeEndpointWithResponseStream and "
        "InvokeEndpointAsync."
    )
