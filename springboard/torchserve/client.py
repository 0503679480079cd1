"""What the front asks of TorchServe: predictions, and its workers and metrics."""

import json
from dataclasses import dataclass

import httpx

from springboard.endpoint.document import Served
from springboard.endpoint.names import MODEL
from springboard.servertiming import read_stages
from springboard.system import logs
from springboard.system.asking import ask_async
from springboard.torchserve import management, transport
from springboard.torchserve.management import Workers

# The header by which callers ask for more than the score; the model's handler reads it too.
INCLUDE = "X-Springboard-Include"


@dataclass(frozen=True)
class Answer:
    """What the model said: an HTTP status, its JSON, and the stages it took in milliseconds."""

    status: int
    body: bytes
    stages: dict[str, float]

    def json(self) -> dict[str, object]:
        """Return the body as the object it is."""
        parsed: dict[str, object] = json.loads(self.body)
        return parsed

    @property
    def score(self) -> float | None:
        """Return the points it gives, None where it is a refusal."""
        score = self.json().get("score") if self.status == 200 else None
        return float(score) if isinstance(score, int | float) else None

    @property
    def clips(self) -> int:
        """Return how many clips it tells of, 1 where it tells of none: the work that its time went into."""
        clips = self.json().get("clips") if self.status == 200 else None
        return len(clips) if isinstance(clips, list) and clips else 1

    @property
    def code(self) -> str:
        """The error's code as in model_handler/request/errors.py; empty for a score."""
        if self.status == 200:
            return ""
        error = self.json().get("error")
        return str(error.get("code", "")) if isinstance(error, dict) else ""


class AttemptFailed(Exception):
    """An attempt ended without an answer of the model; another attempt may get one.

    `outcome` is its name in metrics.
    """

    outcome = "failed"


class WorkerDied(AttemptFailed):
    """The request's worker died, or was silent past TorchServe's responseTimeout and was killed."""

    outcome = "worker_died"


class NoWorker(AttemptFailed):
    """TorchServe had no worker for the request; nothing has seen the body."""

    outcome = "no_worker"


class Unreachable(AttemptFailed):
    """TorchServe itself could not be reached, or went away."""

    outcome = "unreachable"


class Interrupted(Unreachable):
    """A connection broke or nothing came in time, though TorchServe accepts connections: it may be well."""


class HandlerRaised(AttemptFailed):
    """The worker lives, but its handler raised instead of answering."""

    outcome = "handler_raised"


class ModelError(HandlerRaised):
    """The handler answered that it failed: a fault of its own, or no memory. `answer` is for the caller."""

    outcome = "model_error"

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.code}")
        self.answer = answer


@dataclass(frozen=True)
class Video:
    """A body to score, under the id of its request, and what its answer shall bring beside the score."""

    body: bytes
    request_id: str
    include: str = ""


class Backend:
    """A client of one release's TorchServe."""

    def __init__(self, client: httpx.AsyncClient, served: Served) -> None:
        self._client = client
        self.served = served
        # How often a worker was heard: an answer is the one proof that one is there.
        self.answers = 0

    async def predict(self, video: Video, seconds: float) -> Answer:
        """Have `video` scored within so many seconds; raise `AttemptFailed` without the model's answer.

        Always the versioned path and opaque bytes: TorchServe's bare /invocations forgets its model after a
        delete, and bodies sent as form-urlencoded are lost in it.
        """
        headers = {"Content-Type": "application/octet-stream", "X-Request-Id": video.request_id}
        if video.include:
            headers[INCLUDE] = video.include
        if parent := logs.traceparent.get():
            headers["traceparent"] = parent
        try:
            response = await ask_async(
                self._client,
                "POST",
                predictions_url(self.served),
                seconds=seconds,
                content=video.body,
                headers=headers,
                timeout=httpx.Timeout(seconds, connect=2.0),
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        except httpx.HTTPError as error:
            raise Interrupted(f"{type(error).__name__}: {error}") from error
        try:
            answer = _read_answer(response)
        except HandlerRaised:
            self.answers += 1
            raise
        self.answers += 1
        return answer

    async def workers(self) -> Workers:
        """Ask TorchServe's management API which workers are READY; raise `Unreachable` with the reason.

        Of that `Interrupted` where it may only be late.
        """
        try:
            response = await ask_async(self._client, "GET", management.url(self.served), seconds=1.0)
        except httpx.ConnectError as error:
            raise Unreachable(f"TorchServe at {self.served.management} does not answer") from error
        except httpx.HTTPError as error:
            raise Interrupted(f"TorchServe at {self.served.management} does not answer in time") from error
        if response.status_code >= 500:
            raise Interrupted(f"TorchServe at {self.served.management} answers {response.status_code}")
        if response.status_code != 200:
            raise Unreachable(
                f"TorchServe at {self.served.management} does not serve release {self.served.release} "
                f"(status {response.status_code})"
            )
        try:
            return management.read(response)
        except ValueError as error:
            raise Unreachable(f"what answers at {self.served.management} is not TorchServe") from error

    async def metrics(self) -> str:
        """Return TorchServe's own metrics in Prometheus' text format; raise `Unreachable`."""
        try:
            metrics = transport.url(self.served.metrics, "/metrics")
            response = await ask_async(self._client, "GET", metrics, seconds=2.0)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise Unreachable(f"TorchServe's metrics at {self.served.metrics}: {error}") from error
        return response.text


def predictions_url(served: Served) -> str:
    """Return the one path that always reaches this release."""
    return transport.url(served.address, f"/predictions/{MODEL}/{served.release}")


def _read_answer(response: httpx.Response) -> Answer:
    """Tell the handler's own answers from TorchServe's errors, whatever status they share."""
    if response.status_code == 200 and not _is_object(response):
        raise HandlerRaised("200 with a body that is no JSON object")
    if response.status_code == 200 or _is_handlers(response):
        answer = Answer(
            response.status_code, response.content, read_stages(response.headers.get("Server-Timing", ""))
        )
        if answer.status >= 500:
            raise ModelError(answer)
        return answer
    message = _torchserves_message(response)
    reason = f"{response.status_code} {message}"
    match response.status_code:
        case 500 | 507 if "Worker" in message:  # "Worker died.", and what it says past responseTimeout
            raise WorkerDied(reason)
        case 503 if "no worker" in message:  # also when its queue is full
            raise NoWorker(reason)
        case 404:
            raise Unreachable(reason)
        case _:  # 503 Prediction failed; 507 Out of resources for whatever names CUDA; anything not foreseen
            raise HandlerRaised(reason)


def _is_object(response: httpx.Response) -> bool:
    try:
        return isinstance(response.json(), dict)
    except ValueError:
        return False


def _is_handlers(response: httpx.Response) -> bool:
    """Whether this is one of model_handler.request.errors; TorchServe's own have `code` at the top."""
    try:
        error = response.json()["error"]
        return isinstance(error["code"], str) and isinstance(error["message"], str)
    except (ValueError, KeyError, TypeError):
        return False


def _torchserves_message(response: httpx.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
