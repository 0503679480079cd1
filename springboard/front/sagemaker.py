"""SageMaker's wire: the headers callers send, the headers and errors they get back.

Two dialects of one answer: `/invocations` speaks the container's plain HTTP, `/endpoints/{name}/invocations`
what boto3 parses (shapes of its `sagemaker-runtime` service model).
"""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from starlette.responses import Response

from model_handler.request.errors import ScoringError
from springboard.front import eventstream
from springboard.front.errors import InvalidHeader
from springboard.jobs.job import LOW, PRIORITY, WORK_SECONDS
from springboard.refusal import Refusal
from springboard.torchserve.client import INCLUDE, Answer

PREFIX = "X-Amzn-SageMaker-"
# Of an endpoint that keeps answers: `hit`, or `miss` where the video was scored.
CACHE = "X-Springboard-Cache"
# Below this are the paths of SageMaker's runtime.
BELOW = "/endpoints/"
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_ASCII = re.compile(r"[\x20-\x7e\t]*")
Rule = tuple[re.Pattern[str], int]
"""SageMaker's rule for a header: pattern and greatest length."""

RULES: dict[str, Rule] = {
    "Custom-Attributes": (_ASCII, 1024),
    "Target-Variant": (_NAME, 63),
    "Session-Id": (re.compile(rf"{_NAME.pattern}(; ?Expires=[0-9TZ:-]+)?|NEW_SESSION"), 256),
    "Inference-Id": (re.compile(r"[\x21-\x7e][\x20-\x7e]*"), 64),
}
# InvokeEndpointAsync's own; paths of results climb nowhere.
ASYNC_RULES: dict[str, Rule] = {
    "InputLocation": (re.compile(r"(https|s3|file)://[^/]*/.*"), 1024),
    "Content-Type": (_ASCII, 1024),
    "Accept": (_ASCII, 1024),
    "S3OutputPathExtension": (re.compile(r"(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+"), 512),
    "Filename": (re.compile(r"(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9-_.]*"), 32),
}
# Bounds and defaults, in seconds.
ASYNC_SECONDS = {"RequestTTLSeconds": (60, 21600, 21600), "InvocationTimeoutSeconds": (1, 3600, 900)}
# What an answer can bring beside the score: `strip` shows what was scored.
INCLUDABLE = ("strip",)
_MAX_MESSAGE = 2048
# What SageMaker's API tells of a new session. Ours are a way to a variant and keep nothing, so none ends;
# this is only what callers are told.
_SESSION_LASTS = timedelta(days=1)


class Dialect(Enum):
    """How an answer is written: plain HTTP, boto3's, boto3's stream of events, or the published Lambda's."""

    PLAIN = "plain"
    TYPED = "typed"
    STREAM = "stream"
    LAMBDA = "lambda"


@dataclass(frozen=True)
class Call:
    """One request as its headers describe it, under the id the front gave it."""

    request_id: str
    dialect: Dialect = Dialect.PLAIN
    variant: str | None = None
    session: str | None = None
    session_is_new: bool = False
    inference_id: str | None = None
    custom_attributes: str | None = None
    include: str = ""
    low: bool = False
    work_seconds: float | None = None

    @property
    def typed(self) -> bool:
        """Whether errors are boto3's."""
        return self.dialect in (Dialect.TYPED, Dialect.STREAM)


def dialect_of(method: str, path: str) -> Dialect:
    """Return the dialect of a request that came to no route of its own: SageMaker's runtime only posts."""
    return Dialect.TYPED if path.startswith(BELOW) and method not in ("GET", "HEAD") else Dialect.PLAIN


def new_request_id() -> str:
    """Return a request's id, unique among all hosts."""
    return str(uuid.uuid4())


def read_call(headers: Mapping[str, str], call: Call) -> Call:
    """Return `call` with SageMaker's request headers and our own one; unknown ones are ignored.

    Raises `InvalidHeader` naming header and rule.
    """
    values: dict[str, str | None] = {}
    for name, rule in RULES.items():
        value = headers.get(PREFIX + name)
        if value is not None:
            check(name, value, rule)
        values[name] = value
    include = headers.get(INCLUDE, "")
    if include not in ("", *INCLUDABLE):
        raise InvalidHeader(f"{INCLUDE} must be {' or '.join(INCLUDABLE)}.")
    low = _is_low(headers)
    new = values["Session-Id"] == "NEW_SESSION"
    return replace(
        call,
        variant=values["Target-Variant"],
        # NewSessionId comes with its end; whoever sends it back whole means the session.
        session=str(uuid.uuid4()) if new else (values["Session-Id"] or "").partition(";")[0] or None,
        session_is_new=new,
        inference_id=values["Inference-Id"],
        custom_attributes=values["Custom-Attributes"],
        include=include,
        low=low,
        work_seconds=_work_seconds(headers) if low else None,
    )


def check(name: str, value: str, rule: Rule) -> None:
    """Raise `InvalidHeader` where one of SageMaker's headers does not keep its rule."""
    pattern, longest = rule
    if len(value) > longest or not pattern.fullmatch(value):
        raise InvalidHeader(
            f"{PREFIX}{name} must have at most {longest} characters and match {pattern.pattern}"
        )


def _is_low(headers: Mapping[str, str]) -> bool:
    value = headers.get(PRIORITY, "")
    if value not in ("", LOW):
        raise InvalidHeader(f"{PRIORITY} must be {LOW}, or be left out.")
    return value == LOW


def _work_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of work that a request of low priority may take, from its turn on."""
    value = headers.get(WORK_SECONDS, "")
    if not value:
        return None
    if not value.isdecimal() or len(value) > 4 or not 1 <= int(value) <= 3600:
        raise InvalidHeader(f"{WORK_SECONDS} must be a whole number from 1 to 3600.")
    return float(value)


def answer(call: Call, model: Answer, variant: str, extra_stages: Mapping[str, float]) -> Response:
    """Return the model's answer, good or bad, in the caller's dialect.

    `extra_stages` are milliseconds spent in the front; they join the model's in Server-Timing.
    """
    stages = {**extra_stages, **model.stages}
    headers = {
        "x-Amzn-Invoked-Production-Variant": variant,
        "Server-Timing": ", ".join(f"{stage};dur={spent:.1f}" for stage, spent in stages.items()),
    }
    if call.typed and model.status >= 300:
        body = _without_strip(model) if call.include else model.body
        text = body.decode(errors="replace")
        return _respond(call, *_model_error(call, model.status, text, variant), headers)
    if call.dialect is Dialect.STREAM:
        return eventstream.respond(_respond(call, model.status, model.body, headers))
    if call.dialect is Dialect.LAMBDA and model.status == 200:
        return _respond(call, 200, json.dumps({"score": model.json()["prediction"]}).encode(), headers)
    return _respond(call, model.status, model.body, headers)


def _without_strip(model: Answer) -> bytes:
    """Return a refusal without its picture: a ModelError's texts are too short for it."""
    document: dict[str, Any] = model.json()
    document["error"].pop("strip", None)
    return json.dumps(document).encode()


def unknown_route(call: Call, status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Return what boto3 reads of a path below /endpoints that is none of ours."""
    error_type = "UnknownOperationException" if status == 404 else "ValidationError"
    return _respond(
        call, status, json.dumps({"Message": message}).encode(), {**headers, "x-amzn-ErrorType": error_type}
    )


def refusal(call: Call, error: ScoringError) -> Response:
    """Return what the front itself refuses or gives up, in the caller's dialect."""
    retry_after = error.retry_after if isinstance(error, Refusal) else None
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    if not call.typed:
        return _respond(call, error.status, json.dumps(error.body()).encode(), headers)
    typed = error.sagemaker if isinstance(error, Refusal) else None
    if typed is None:
        return _respond(
            call, *_model_error(call, error.status, json.dumps(error.body()), "the front"), headers
        )
    status, error_type = typed
    headers["x-amzn-ErrorType"] = error_type
    return _respond(call, status, json.dumps({"Message": error.message[:_MAX_MESSAGE]}).encode(), headers)


def _model_error(call: Call, status: int, text: str, origin: str) -> tuple[int, bytes]:
    """Return SageMaker's ModelError; boto3 never retries its 424, so a bad video costs one inference."""
    side = "client" if status < 500 else "server"
    document = {
        "Message": f'Received {side} error ({status}) from {origin} with message "{text}"'[:_MAX_MESSAGE],
        "OriginalStatusCode": status,
        "OriginalMessage": text[:_MAX_MESSAGE],
        "LogStreamArn": f"request-id:{call.request_id}",
    }
    return 424, json.dumps(document).encode()


def _respond(call: Call, status: int, body: bytes, headers: dict[str, str]) -> Response:
    if status == 424 and call.typed:
        headers["x-amzn-ErrorType"] = "ModelError"
    if call.session_is_new:
        ends = datetime.now(UTC) + _SESSION_LASTS
        headers["X-Amzn-SageMaker-New-Session-Id"] = f"{call.session}; Expires={ends:%Y-%m-%dT%H:%M:%SZ}"
    if call.custom_attributes is not None:
        headers["X-Amzn-SageMaker-Custom-Attributes"] = call.custom_attributes
    if call.inference_id is not None:
        headers["X-Amzn-SageMaker-Inference-Id"] = call.inference_id
    return Response(body, status, headers, media_type="application/json")
