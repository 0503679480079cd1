"""The routes."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from springboard.auth.check import MetricsRule, NotAuthorized, is_loopback
from springboard.front import sagemaker as wire
from springboard.front import schema, status, workermetrics
from springboard.front.access import AccessLog
from springboard.front.errors import NotReady, UnknownEndpoint
from springboard.front.exchange import invoke
from springboard.front.front import Front
from springboard.refusal import Refusal
from springboard.system import logs

_ABOUT = """Scores videos of dives. Send a video as the body (raw bytes, a form, or a pointer into S3) to
`/invocations`, or point boto3's `sagemaker-runtime` client at this server."""


def create_app(front: Front, metrics_rule: MetricsRule) -> FastAPI:
    """Return the ASGI application that serves `front`."""
    # Its /docs brings the page's scripts along; FastAPI's own loads them from a public CDN.
    app = FastAPIOffline(
        title="Springboard", version="1", description=_ABOUT, redoc_url=None, static_url="/docs/static"
    )
    app.add_middleware(AccessLog, front=front)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Refusal, _refusal)

    @app.get("/ping", responses=_errors(503), tags=["health"])
    async def ping() -> schema.Ready:
        """Say whether some variant with traffic can answer now; 503 with the reason otherwise."""
        if reason := front.why_not_ready():
            raise NotReady(reason)
        return schema.Ready(status="ready")

    @app.post(
        "/invocations", responses=_INVOCATIONS, openapi_extra=schema.video_body(_HEADERS), tags=["score"]
    )
    @app.put(
        "/invocations", responses=_INVOCATIONS, openapi_extra=schema.video_body(_HEADERS), tags=["score"]
    )
    async def invocations(request: Request) -> Response:
        """Score a video: plain HTTP statuses, errors as JSON."""
        return await invoke(front, request, logs.request_id.get())

    @app.post(
        "/endpoints/{name}/invocations",
        responses=_SAGEMAKER,
        openapi_extra=schema.video_body([_NAME, *_HEADERS]),
        tags=["score"],
    )
    async def invoke_endpoint(request: Request) -> Response:
        """Score a video as SageMaker's InvokeEndpoint does: typed errors, a video's are 424 ModelError."""
        return await invoke(front, request, logs.request_id.get(), request.path_params["name"])

    @app.get(
        "/endpoints/{name}",
        responses=_errors(403, 404),
        openapi_extra={"parameters": [_NAME]},
        tags=["state"],
    )
    async def describe_endpoint(request: Request) -> schema.EndpointState:
        """Return variants, releases, weights, counts, error rates, latencies and workers as they are now."""
        front.auth.check(request)
        if request.path_params["name"] != front.name:
            raise UnknownEndpoint(f"This server has the endpoint {front.name}.")
        return status.describe(front)

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **_errors(403)},
        tags=["state"],
    )
    async def metrics(request: Request) -> Response:
        """Return everything counted, in Prometheus' text format."""
        _check_scraper(front, request, metrics_rule)
        return Response(
            await asyncio.to_thread(front.metrics.render), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    @app.get(
        "/metrics/torchserve",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **_errors(403)},
        tags=["state"],
    )
    async def torchserve_metrics(request: Request) -> Response:
        """Return TorchServe's own metrics of every variant, labelled with `variant` and `release`."""
        _check_scraper(front, request, metrics_rule)
        page = await workermetrics.collect(front.queue.all_lanes)
        return Response(page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return app


def _check_scraper(front: Front, request: Request, rule: MetricsRule) -> None:
    here = request.client is not None and is_loopback(request.client.host)
    if rule is MetricsRule.OPEN or here:
        return
    if rule is MetricsRule.LOOPBACK:
        raise NotAuthorized
    front.auth.check(request)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it was registered for
    code = "no_such_route" if error.status_code == 404 else "bad_request"
    body = {"error": {"code": code, "message": f"{error.detail}. See /docs for the routes."}}
    return JSONResponse(body, error.status_code, headers=error.headers)


def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - what it was registered for
    return JSONResponse(error.body(), error.status)


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": schema.Error, "description": _MEANING[code]} for code in statuses}


_MEANING = {
    400: "The body or a header is malformed.",
    403: "Not authorized, or S3 or this server's bucket list refused the object.",
    404: "No such endpoint or S3 object.",
    408: "The body arrived too slowly.",
    413: "The body, the S3 object or the video is over a limit.",
    422: "Not a readable video, or not one of a dive.",
    424: "This video ended several workers and is refused for a while.",
    429: "The queue is full; see Retry-After.",
    500: "A bug; the log tells more under the request id.",
    502: "S3 could not be reached, or the model failed on this video repeatedly.",
    503: "No worker is ready, or the server is shutting down, or it is out of memory.",
    504: "The model did not answer before the deadline.",
}
_INVOCATIONS: dict[int | str, dict[str, Any]] = {
    200: {"model": schema.Score, "description": "The dive's score."},
    **_errors(400, 403, 404, 408, 413, 422, 424, 429, 500, 502, 503, 504),
}
_SAGEMAKER: dict[int | str, dict[str, Any]] = {
    200: {"model": schema.Score, "description": "The dive's score."},
    400: {
        "model": schema.TypedError,
        "description": "ValidationError: a header, a name, or the body's size.",
    },
    403: {"model": schema.TypedError, "description": "AccessDeniedException."},
    424: {
        "model": schema.ModelError,
        "description": "ModelError: the model refused or failed, or the video or its S3 address is at fault.",
    },
    429: {"model": schema.TypedError, "description": "ThrottlingException; see Retry-After."},
    500: {"model": schema.TypedError, "description": "InternalFailure: a bug."},
    503: {"model": schema.TypedError, "description": "ServiceUnavailable: not ready, or shutting down."},
}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_HEADERS: list[dict[str, Any]] = [
    {
        "name": wire.PREFIX + name,
        "in": "header",
        "required": False,
        "description": text,
        "schema": {
            "type": "string",
            "maxLength": wire.RULES[name][1],
            "pattern": f"^{wire.RULES[name][0].pattern}$",
        },
    }
    for name, text in (
        ("Target-Variant", "This variant, whatever the weights say."),
        ("Session-Id", "Requests of one session stay on one variant."),
        ("Inference-Id", "The caller's own id, for the log; echoed."),
        ("Custom-Attributes", "Echoed."),
    )
]
