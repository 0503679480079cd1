"""SageMaker's wire: the headers callers send, the headers and errors they get back.

Two dialects of one answer: `/invocations` speaks the container's plain HTTP, `/endpoints/{name}/invocations`
what boto3 parses (shapes of its `sagemaker-runtime` service model).
"""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.responses import Response

from model_handler.request.errors import ScoringError
from springboard.front.errors import InvalidHeader
from springboard.refusal import Refusal
from springboard.torchserve.client import Answer

PREFIX = "X-Amzn-SageMaker-"
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
# SageMaker's rules: pattern and greatest length.
RULES = {
    "Custom-Attributes": (re.compile(r"[\x20-\x7e\t]*"), 1024),
    "Target-Variant": (_NAME, 63),
    "Session-Id": (_NAME, 256),
    "Inference-Id": (re.compile(r"[\x21-\x7e][\x20-\x7e]*"), 64),
}
_MAX_MESSAGE = 2048


@dataclass(frozen=True)
class Call:
    """One request as its headers describe it, under the id the front gave it.

    `typed` asks for boto3's dialect.
    """

    request_id: str
    typed: bool
    variant: str | None = None
    session: str | None = None
    inference_id: str | None = None
    custom_attributes: str | None = None


def new_request_id() -> str:
    """Return a request's id, unique among all hosts."""
    return str(uuid.uuid4())


def read_call(headers: Mapping[str, str], call: Call) -> Call:
    """Return `call` with SageMaker's request headers; unknown ones are ignored.

    Raises `InvalidHeader` naming header and rule.
    """
    values: dict[str, str | None] = {}
    for name, (pattern, longest) in RULES.items():
        value = headers.get(PREFIX + name)
        if value is not None and (len(value) > longest or not pattern.fullmatch(value)):
            raise InvalidHeader(
                f"{PREFIX}{name} must have at most {longest} characters and match {pattern.pattern}"
            )
        values[name] = value
    return replace(
        call,
        variant=values["Target-Variant"],
        session=values["Session-Id"],
        inference_id=values["Inference-Id"],
        custom_attributes=values["Custom-Attributes"],
    )


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
        text = model.body.decode(errors="replace")
        return _respond(call, *_model_error(call, model.status, text, variant), headers)
    return _respond(call, model.status, model.body, headers)


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
    if call.custom_attributes is not None:
        headers["X-Amzn-SageMaker-Custom-Attributes"] = call.custom_attributes
    if call.inference_id is not None:
        headers["X-Amzn-SageMaker-Inference-Id"] = call.inference_id
    return Response(body, status, headers, media_type="application/json")
