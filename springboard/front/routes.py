"""The routes: each one line of what it does, and the exchange or the state behind it."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from springboard.auth.check import MetricsRule
from springboard.auth.errors import NotAuthorized
from springboard.front import openapi, schema, status, workermetrics
from springboard.front.access import AccessLog
from springboard.front.asynchronous import find_job, invoke_async
from springboard.front.cors import Cors
from springboard.front.errors import NotReady, UnknownEndpoint
from springboard.front.exchange import Asked, invoke, tell_unauthorized
from springboard.front.foreign import OwnMachine
from springboard.front.front import Front
from springboard.front.page.routes import add_page
from springboard.front.paths import TrailingSlash, answer_head, unmatched
from springboard.front.safety import SafeAnswers, policy_of_docs
from springboard.front.sagemaker import Dialect
from springboard.front.truths import take_truths
from springboard.front.unread import Unread
from springboard.jobs import report
from springboard.refusal import Refusal
from springboard.system.addresses import is_loopback


def create_app(
    front: Front, metrics_rule: MetricsRule, with_page: bool = True, hosts: tuple[str, ...] = ("*",)
) -> FastAPI:
    """Return the ASGI application that serves `front`; without `with_page` there is no page.

    Unless `*` is among `hosts`, it answers only its own machine and what reaches it by these names.
    """
    # Its /docs brings the page's scripts along; FastAPI's own loads them from a public CDN.
    app = FastAPIOffline(
        title="Springboard",
        version="1",
        description=openapi.ABOUT,
        redoc_url=None,
        static_url="/docs/static",
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
    )
    app.add_middleware(TrailingSlash)
    app.add_middleware(Cors, front=front)
    if "*" not in hosts:
        app.add_middleware(OwnMachine, front=front, hosts=hosts)
    app.add_middleware(SafeAnswers, docs=policy_of_docs(app))
    app.add_middleware(Unread)
    app.add_middleware(AccessLog, front=front)
    app.add_exception_handler(HTTPException, unmatched(app))
    app.add_exception_handler(Refusal, _refusal_of(front))
    _add_scoring(app, front)
    _add_sagemaker(app, front)
    _add_jobs(app, front)
    _add_torchserve(app, front)
    _add_state(app, front)
    _add_metrics(app, front, metrics_rule)
    if with_page:
        add_page(app, front, lambda request: _check_scraper(front, request, metrics_rule))
    openapi.complete(app.openapi(), front.auth.modes)  # kept by the application
    answer_head(app)
    return app


def _add_scoring(app: FastAPI, front: Front) -> None:
    video = openapi.video_body(openapi.HEADERS)

    @app.post("/invocations", responses=openapi.INVOCATIONS, openapi_extra=video, tags=["score"])
    @app.put("/invocations", responses=openapi.INVOCATIONS, openapi_extra=video, tags=["score"])
    async def invocations(request: Request) -> Response:
        """Score a video: plain HTTP statuses, errors as JSON."""
        return await invoke(front, request, Asked())

    @app.post("/aqa", responses=openapi.LAMBDA, openapi_extra=video, tags=["score"])
    async def aqa(request: Request) -> Response:
        """Score a video as the published system's Lambda did: base64 in, `{"score": 84}` out."""
        return await invoke(front, request, Asked(Dialect.LAMBDA))


def _add_sagemaker(app: FastAPI, front: Front) -> None:
    video = openapi.video_body([openapi.NAME, *openapi.HEADERS])

    @app.post(
        "/endpoints/{name}/invocations", responses=openapi.SAGEMAKER, openapi_extra=video, tags=["score"]
    )
    async def invoke_endpoint(request: Request) -> Response:
        """Score a video as SageMaker's InvokeEndpoint does: typed errors, a video's are 424 ModelError."""
        return await invoke(front, request, Asked(Dialect.TYPED, endpoint=request.path_params["name"]))

    @app.post(
        "/endpoints/{name}/invocations-response-stream",
        response_class=Response,
        responses=openapi.STREAM,
        openapi_extra=video,
        tags=["score"],
    )
    async def invoke_endpoint_with_response_stream(request: Request) -> Response:
        """Score a video as InvokeEndpointWithResponseStream does: the whole answer is one event."""
        return await invoke(front, request, Asked(Dialect.STREAM, endpoint=request.path_params["name"]))


def _add_jobs(app: FastAPI, front: Front) -> None:
    @app.post(
        "/endpoints/{name}/async-invocations",
        status_code=202,
        response_model=schema.Accepted,
        responses=openapi.ASYNC,
        openapi_extra=openapi.JOB,
        tags=["jobs"],
    )
    async def invoke_endpoint_async(request: Request) -> Response:
        """Have a video scored when there is time, as SageMaker's InvokeEndpointAsync does."""
        return await invoke_async(front, request)

    @app.post(
        "/endpoints/{name}/uploads",
        response_model=schema.Upload,
        responses=openapi.UPLOAD,
        openapi_extra=openapi.UPLOADED,
        tags=["jobs"],
    )
    async def upload(request: Request) -> Response:
        """Return an address in S3 that a video may be put to, which is then scored when there is time."""
        return await invoke_async(front, request, upload=True)

    @app.post(
        "/endpoints/{name}/truth", responses=openapi.TRUTH, openapi_extra=openapi.TRUTHS, tags=["truth"]
    )
    async def tell_truth(request: Request) -> Response:
        """Take judges' scores of what was answered, by which releases are measured."""
        return await take_truths(front, request)

    @app.get(
        "/endpoints/{name}/jobs/{inference_id}",
        responses=openapi.errors(400, 403, 404, 503),
        openapi_extra={"parameters": [openapi.NAME, openapi.in_path("inference_id")]},
        tags=["jobs"],
    )
    async def describe_job(request: Request) -> schema.JobState:
        """Say where a job stands: unfinished, completed, or failed and why."""
        _check_caller(front, request)
        return await find_job(front, request.path_params["inference_id"])

    @app.post(f"/endpoints/{{name}}/{report.NAME}", status_code=204, include_in_schema=False)
    async def take_report(request: Request) -> Response:
        """Take what this machine's worker tells of its jobs."""
        front.auth.check_worker(request)  # before its body is read
        front.metrics.jobs.take(report.Report.model_validate_json(await request.body()))
        return Response(status_code=204)


def _add_torchserve(app: FastAPI, front: Front) -> None:
    of_model = openapi.video_body([openapi.in_path("model"), *openapi.HEADERS])
    of_version = openapi.video_body([openapi.in_path("model"), openapi.in_path("version"), *openapi.HEADERS])

    @app.post("/predictions/{model}", responses=openapi.INVOCATIONS, openapi_extra=of_model, tags=["score"])
    @app.put("/predictions/{model}", responses=openapi.INVOCATIONS, openapi_extra=of_model, tags=["score"])
    async def predictions(request: Request) -> Response:
        """Score a video under TorchServe's name for that; queue, weights and authentication as anywhere."""
        return await invoke(front, request, Asked(model=request.path_params["model"]))

    path = "/predictions/{model}/{version}"

    @app.post(path, responses=openapi.INVOCATIONS, openapi_extra=of_version, tags=["score"])
    @app.put(path, responses=openapi.INVOCATIONS, openapi_extra=of_version, tags=["score"])
    async def predictions_of_version(request: Request) -> Response:
        """Score a video with this release, which some variant must serve."""
        model, version = request.path_params["model"], request.path_params["version"]
        return await invoke(front, request, Asked(model=model, release=version))


def _add_state(app: FastAPI, front: Front) -> None:
    @app.get("/ping", responses=openapi.errors(503), tags=["health"])
    async def ping() -> schema.Ready:
        """Say whether some variant with traffic can answer now; 503 with the reason otherwise."""
        if reason := front.why_not_ready():
            raise NotReady(reason)
        return schema.Ready(status="ready")

    @app.get(
        "/endpoints/{name}",
        responses=openapi.errors(403, 404),
        openapi_extra={"parameters": [openapi.NAME]},
        tags=["state"],
    )
    async def describe_endpoint(request: Request) -> schema.EndpointState:
        """Return variants, releases, weights, counts, error rates, latencies and workers as they are now."""
        _check_caller(front, request)
        return status.describe(front)

    @app.get(
        "/endpoints/{name}/requests/{inference_id}",
        responses=openapi.errors(403, 404),
        openapi_extra={"parameters": [openapi.NAME, openapi.in_path("inference_id")]},
        tags=["state"],
    )
    async def find_request(request: Request) -> schema.Place:
        """Say how far a request of the same caller is, by the Inference-Id that it was sent with."""
        _check_caller(front, request)
        state, before = front.places.find(front.auth.caller(request), request.path_params["inference_id"])
        return schema.Place(state=state, before=before)


def _check_caller(front: Front, request: Request) -> None:
    front.auth.check(request)
    if not front.answers_to(request.path_params["name"]):
        raise UnknownEndpoint(f"This server has the endpoint {front.name}.")


def _add_metrics(app: FastAPI, front: Front, rule: MetricsRule) -> None:
    @app.get("/metrics", response_class=Response, responses=openapi.METRICS, tags=["state"])
    async def metrics(request: Request) -> Response:
        """Return everything counted, in Prometheus' text format."""
        _check_scraper(front, request, rule)
        accept = request.headers.get("Accept", "")
        page, content_type = await asyncio.to_thread(front.metrics.page, accept)
        return Response(page, headers={"Content-Type": content_type})

    @app.get("/metrics/torchserve", response_class=Response, responses=openapi.METRICS, tags=["state"])
    async def torchserve_metrics(request: Request) -> Response:
        """Return TorchServe's own metrics of every variant, labelled with `variant` and `release`."""
        _check_scraper(front, request, rule)
        page = await workermetrics.collect(front.queue.all_lanes)
        return Response(page, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _check_scraper(front: Front, request: Request, rule: MetricsRule) -> None:
    # By an address of this machine: a page that has its own name resolve to it sends that name.
    by = request.url.hostname or ""
    here = request.client is not None and is_loopback(request.client.host) and is_loopback(by)
    if rule is MetricsRule.OPEN or here:
        return
    if rule is MetricsRule.LOOPBACK:
        raise NotAuthorized
    front.auth.check(request)


def _refusal_of(front: Front) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return what answers the refusals of all routes but the scoring ones."""

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)  # noqa: S101 - what it was registered for
        if isinstance(error, NotAuthorized):
            tell_unauthorized(front, request, error)
        return JSONResponse(error.body(), error.status)

    return answer
