"""What the front makes of TorchServe's answers, and of none."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from springboard.endpoint.document import Served
from springboard.system import logs
from springboard.torchserve.client import (
    AttemptFailed,
    Backend,
    HandlerRaised,
    Interrupted,
    ModelError,
    NoWorker,
    Unreachable,
    Video,
    WorkerDied,
)
from springboard.torchserve.management import Workers

SERVED = Served(release="1.0.0", address="http://127.0.0.1:9")
MODEL = {"workers": [], "minWorkers": 2, "batchSize": 4}
ERROR = {"error": {"code": "out_of_memory", "message": "x"}}


def ask(answer: httpx.Response | Exception, what: Callable[[Backend], object]) -> tuple[object, int]:
    """Return what came of it, and how many answers of workers were counted."""

    def respond(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run() -> tuple[object, int]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
            backend = Backend(client, SERVED)
            try:
                result: object = await what(backend)  # type: ignore[misc] # one of its coroutines
            except AttemptFailed as failure:
                result = type(failure)
            return result, backend.answers

    return asyncio.run(run())


def predict(backend: Backend) -> object:
    return backend.predict(Video(b"video", "id"), 1.0)


def workers(backend: Backend) -> object:
    return backend.workers()


@pytest.mark.parametrize("what", [predict, workers])
@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (httpx.ConnectError("refused"), Unreachable),
        (httpx.ReadTimeout("late"), Interrupted),
        (httpx.ReadError("reset"), Interrupted),
        (httpx.WriteError("reset"), Interrupted),
        (httpx.RemoteProtocolError("closed an idle connection"), Interrupted),
    ],
)
def test_a_broken_connection_is_told_from_a_closed_port(
    what: Callable[[Backend], object], error: Exception, failure: type[Unreachable]
) -> None:
    assert ask(error, what) == (failure, 0)


@pytest.mark.parametrize(
    ("status", "body", "failure", "heard"),
    [
        (500, {"code": 500, "message": "Worker died."}, WorkerDied, 0),
        (503, {"code": 503, "message": "Model dive has no worker to serve"}, NoWorker, 0),
        (404, {"code": 404, "message": "Model not found"}, Unreachable, 0),
        (503, {"code": 503, "message": "Prediction failed"}, HandlerRaised, 1),
        (503, ERROR, ModelError, 1),
    ],
)
def test_whether_a_worker_was_heard_is_counted(
    status: int, body: dict[str, object], failure: type[AttemptFailed], heard: int
) -> None:
    assert ask(httpx.Response(status, json=body), predict) == (failure, heard)


def test_answers_are_counted() -> None:
    assert ask(httpx.Response(200, json={"score": 1.0}), predict)[1] == 1


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (httpx.Response(404), Unreachable),
        (httpx.Response(503), Interrupted),
        (httpx.Response(200, text="a web page"), Unreachable),
        (
            httpx.Response(200, json=[{"workers": [], "minWorkers": 2, "batchSize": 4}]),
            Workers(frozenset(), 2, 4),
        ),
    ],
)
def test_the_management_api_is_late_wrong_or_right(answer: httpx.Response, result: object) -> None:
    assert ask(answer, workers) == (result, 0)


def test_the_callers_trace_is_passed_on() -> None:
    asked: list[httpx.Headers] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers)
        return httpx.Response(200, json={"score": 1})

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
            backend = Backend(client, SERVED)
            await backend.predict(Video(b"video", "id"), 1.0)
            logs.traceparent.set(f"00-{'a' * 32}-{'b' * 16}-01")
            await backend.predict(Video(b"video", "id"), 1.0)

    asyncio.run(run())
    assert "traceparent" not in asked[0]
    assert asked[1]["traceparent"] == f"00-{'a' * 32}-{'b' * 16}-01"
    assert asked[1]["x-request-id"] == "id"
