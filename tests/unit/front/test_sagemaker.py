"""SageMaker's headers and dialects, without a server."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from springboard.auth.errors import NotAuthorized
from springboard.front import eventstream
from springboard.front import sagemaker as wire
from springboard.front.errors import (
    BodyTooLarge,
    Draining,
    InternalFailure,
    InvalidHeader,
    KillsWorkers,
    Overloaded,
    UnsupportedEncoding,
)
from springboard.front.sagemaker import Call, Dialect
from springboard.torchserve.client import Answer

PLAIN, TYPED = Call("an-id"), Call("an-id", Dialect.TYPED)
GOOD = Answer(200, b'{"prediction": 84, "score": 84.15}', {"decode": 1.25})
BAD = Answer(422, b'{"error": {"code": "not_a_dive", "message": "No."}}', {})


def read(**headers: str) -> Call:
    return wire.read_call(
        {wire.PREFIX + name.replace("_", "-"): text for name, text in headers.items()}, PLAIN
    )


def test_headers_are_read() -> None:
    call = read(Target_Variant="canary", Session_Id="s-1", Inference_Id="heat 2", Custom_Attributes="a=1")
    assert (call.variant, call.session, call.inference_id, call.custom_attributes) == (
        "canary",
        "s-1",
        "heat 2",
        "a=1",
    )
    assert read() == PLAIN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Target_Variant", "a_b"),
        ("Target_Variant", "a" * 64),
        ("Target_Variant", "-a"),
        ("Session_Id", "NEW_SESSIONS"),
        ("Session_Id", "a b"),
        ("Session_Id", "a" * 257),
        ("Inference_Id", " x"),
        ("Inference_Id", "x" * 65),
        ("Custom_Attributes", "é"),
        ("Custom_Attributes", "x" * 1025),
    ],
)
def test_a_header_that_breaks_its_rule_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidHeader, match=name.replace("_", "-")):
        read(**{name: value})


def test_a_new_session_is_told_in_the_form_of_sagemakers_model() -> None:
    call = read(Session_Id="NEW_SESSION")
    answer = wire.answer(call, GOOD, "stable", {})
    told = answer.headers["x-amzn-sagemaker-new-session-id"]
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*;\sExpires=\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", told)
    assert read(Session_Id=told).session == call.session == told.partition(";")[0]
    assert (
        "x-amzn-sagemaker-new-session-id"
        not in wire.answer(read(Session_Id="mine"), GOOD, "stable", {}).headers
    )


@pytest.mark.parametrize("dialect", [Dialect.PLAIN, Dialect.TYPED])
def test_a_score_passes_as_the_model_gave_it(dialect: Dialect) -> None:
    call = Call("an-id", dialect, inference_id="mine", custom_attributes="a=1")
    answer = wire.answer(call, GOOD, "canary", {"queue": 0.5})
    assert (answer.status_code, answer.body) == (200, GOOD.body)
    assert answer.headers["server-timing"] == "queue;dur=0.5, decode;dur=1.2"
    assert answer.headers["x-amzn-invoked-production-variant"] == "canary"
    assert answer.headers["x-amzn-sagemaker-inference-id"] == "mine"
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "a=1"


def test_the_lambdas_score_is_alone_and_its_errors_are_plain() -> None:
    call = Call("an-id", Dialect.LAMBDA)
    assert json.loads(bytes(wire.answer(call, GOOD, "stable", {}).body)) == {"score": 84}
    refused = wire.answer(call, BAD, "stable", {})
    assert (refused.status_code, refused.body) == (422, BAD.body)


def parsed(body: bytes) -> Any:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    (event,) = buffer
    return event.to_response_dict()


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_botocore_reads_the_stream(size: int) -> None:
    event = parsed(eventstream.message(b"x" * size))
    assert event["headers"][":event-type"] == "PayloadPart"
    assert event["body"] == b"x" * size


def test_a_streamed_refusal_is_no_stream() -> None:
    call = Call("an-id", Dialect.STREAM)
    streamed = wire.answer(call, GOOD, "stable", {})
    assert streamed.media_type == "application/vnd.amazon.eventstream"
    assert streamed.headers["x-amzn-sagemaker-content-type"] == "application/json"
    assert parsed(bytes(streamed.body))["body"] == GOOD.body
    refused = wire.answer(call, BAD, "stable", {})
    assert (refused.status_code, refused.headers["x-amzn-errortype"]) == (424, "ModelError")


@pytest.mark.parametrize(
    ("error", "plain", "typed", "kind"),
    [
        (BodyTooLarge(5), 413, 400, "ValidationError"),
        (UnsupportedEncoding("br"), 415, 400, "ValidationError"),
        (NotAuthorized(), 403, 403, "AccessDeniedException"),
        (Overloaded("Full."), 429, 429, "ThrottlingException"),
        (Draining(), 503, 503, "ServiceUnavailable"),
        (InternalFailure("an-id"), 500, 500, "InternalFailure"),
        (KillsWorkers("No more."), 424, 424, "ModelError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_refusal_has_both_dialects(error: Any, plain: int, typed: int, kind: str) -> None:
    said = wire.refusal(PLAIN, error)
    assert (said.status_code, json.loads(bytes(said.body))["error"]["code"]) == (plain, error.code)
    said = wire.refusal(TYPED, error)
    assert (said.status_code, said.headers["x-amzn-errortype"]) == (typed, kind)
    assert error.message in json.loads(bytes(said.body))["Message"]
    assert ("retry-after" in said.headers) == bool(error.retry_after)


def test_a_refusals_picture_stays_out_of_boto3s_short_texts() -> None:
    error = {"code": "not_a_dive", "message": "Walkers.", "strip": {"data": "x" * 100_000}}
    refused = Answer(422, json.dumps({"error": error}).encode(), {})
    call = Call("id", include="strip")
    assert len(wire.answer(call, refused, "stable", {}).body) > 100_000
    typed = wire.answer(replace(call, dialect=Dialect.TYPED), refused, "stable", {})
    document = json.loads(bytes(typed.body))
    assert json.loads(document["OriginalMessage"])["error"] == {"code": "not_a_dive", "message": "Walkers."}


def test_a_model_error_has_the_original_within_bounds() -> None:
    long = Answer(500, json.dumps({"error": {"code": "x", "message": "y" * 9000}}).encode(), {})
    document = json.loads(bytes(wire.answer(TYPED, long, "stable", {}).body))
    assert document["OriginalStatusCode"] == 500
    assert document["LogStreamArn"] == "request-id:an-id"
    assert len(document["OriginalMessage"]) == len(document["Message"]) == 2048
    assert (
        json.loads(bytes(wire.answer(TYPED, BAD, "stable", {}).body))["OriginalMessage"] == BAD.body.decode()
    )
