"""Each way that callers come by, and the words they get."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.stands.scoring import Scoring
from tests.stands.served import exchange
from tests.unit.front.sent import ROUTES, VIDEO, error_of


@pytest.mark.parametrize("path", ["/ping", "/metrics", "/docs", "/openapi.json", "/endpoints/dive-scoring"])
def test_head_is_as_get_without_a_body(model: Scoring, path: str) -> None:
    head, get = model.client.head(path), model.client.get(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert "content-length" in head.headers


@pytest.mark.parametrize("route", [*ROUTES, "/aqa", "/predictions/dive/1.1.0"])
def test_a_trailing_slash_is_no_other_path(model: Scoring, route: str) -> None:
    assert model.post(f"{route}/", VIDEO).status_code == 200
    assert model.videos[-1] == VIDEO
    assert model.client.get("/ping/").status_code == model.client.get("/ping").status_code
    assert model.client.get("/docs/").status_code == 200


def test_405_names_every_method(model: Scoring) -> None:
    response = model.client.get("/invocations")
    assert (response.status_code, response.headers["allow"]) == (405, "POST, PUT")
    assert response.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("path", "status", "variant"),
    [
        ("/predictions/dive", 200, None),
        ("/predictions/dive/1.1.0", 200, "canary"),
        ("/predictions/dive/1.0.0", 200, "stable"),
        ("/predictions/dive/9.9.9", 404, None),
        ("/predictions/other", 404, None),
        ("/predictions/other/1.0.0", 404, None),
    ],
)
def test_torchserves_names_are_answered(model: Scoring, path: str, status: int, variant: str | None) -> None:
    response = model.post(path, VIDEO)
    assert response.status_code == status
    if status == 200:
        assert model.tickets[-1].pin == variant
        assert response.json()["score"] == 61.5
        form = model.client.post(path, files={"data": VIDEO})  # as TorchServe's own examples send
        assert form.status_code == 200
        assert model.videos[-1] == VIDEO
    else:
        assert response.json()["error"]["code"] == "unknown_model"
        assert "dive" in response.json()["error"]["message"]


def test_a_version_and_a_variant_that_differ_are_refused(model: Scoring) -> None:
    headers = {"X-Amzn-SageMaker-Target-Variant": "stable"}
    assert model.post("/predictions/dive/1.0.0", VIDEO, headers=headers).status_code == 200
    assert error_of(model.post("/predictions/dive/1.1.0", VIDEO, headers=headers)) == (400, "invalid_header")


@pytest.fixture(scope="module")
def runtime(model: Scoring) -> Iterator[Any]:
    client = boto3.client(
        "sagemaker-runtime",
        region_name="eu-central-1",
        endpoint_url=model.url,
        config=Config(signature_version=UNSIGNED),
    )
    yield client
    client.close()


def test_a_new_session_gets_an_id_that_can_be_used(model: Scoring, runtime: Any) -> None:
    first = runtime.invoke_endpoint(EndpointName="dive-scoring", Body=VIDEO, SessionId="NEW_SESSION")
    whole = first["NewSessionId"]
    session, expires = whole.split("; Expires=")
    assert expires.endswith("Z")
    assert model.tickets[-1].session == session
    for used in (session, whole):
        again = runtime.invoke_endpoint(EndpointName="dive-scoring", Body=VIDEO, SessionId=used)
        assert model.tickets[-1].session == session
        assert "NewSessionId" not in again
    other = runtime.invoke_endpoint(EndpointName="dive-scoring", Body=VIDEO, SessionId="NEW_SESSION")
    assert other["NewSessionId"] != whole


def test_the_response_stream_has_the_answer(runtime: Any) -> None:
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName="dive-scoring", Body=VIDEO, TargetVariant="canary", CustomAttributes="a=1"
    )
    assert answer["ContentType"] == "application/json"
    assert (answer["InvokedProductionVariant"], answer["CustomAttributes"]) == ("canary", "a=1")
    whole = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])
    assert json.loads(whole)["score"] == 61.5
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint_with_response_stream(EndpointName="dive-scoring", Body=b"unreadable")
    assert caught.value.response["Error"]["Code"] == "ModelError"


def test_what_is_not_offered_is_refused_in_words_that_boto3_shows(runtime: Any) -> None:
    with pytest.raises(ClientError, match="s3_uri") as caught:
        runtime.invoke_endpoint_async(EndpointName="dive-scoring", InputLocation="s3://b/k")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    arn = "arn:aws:sagemaker:eu-central-1:111122223333:endpoint/dive-scoring"
    with pytest.raises(ClientError, match="name alone, dive-scoring") as caught:
        runtime.invoke_endpoint(EndpointName=arn, Body=VIDEO)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_unknown_paths_below_endpoints_are_typed(model: Scoring) -> None:
    response = model.post("/endpoints/dive-scoring/nothing", VIDEO)
    assert (response.status_code, response.headers["x-amzn-errortype"]) == (404, "UnknownOperationException")
    assert "InvokeEndpoint" in response.json()["Message"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
def test_curl_d_of_a_video_is_told_what_to_write(model: Scoring, tmp_path: Path) -> None:
    file = tmp_path / "dive.mp4"
    file.write_bytes(b"unreadable\n\r\n\x00" * 100)
    command = ["curl", "-sS", "-d", f"@{file}", f"{model.url}/invocations"]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    assert "--data-binary" in said["error"]["message"]
    assert b"\n" not in model.videos[-1]
    assert "--data-binary" not in model.post("/invocations", b"unreadable").text
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    typed = model.post("/endpoints/dive-scoring/invocations", b"unreadable", headers=form)
    assert "--data-binary" in typed.json()["OriginalMessage"]


@pytest.mark.parametrize(
    ("said", "hinted"),
    [
        ("The body is not a video this server can read.", True),
        ("This is a PDF document: send the video's own bytes.", False),
        ("This is an XML document: send the video's own bytes.", False),
        ("The video lost bytes on its way, as with curl -d; send it with curl --data-binary @FILE.", False),
    ],
)
def test_the_hint_on_curl_d_stands_once_and_only_where_the_file_has_no_name(
    model: Scoring, said: str, hinted: bool
) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"unreadable: " + said.encode()
    message = model.post("/invocations", body, headers=form).json()["error"]["message"]
    assert message.startswith(said)
    assert (message != said) == hinted


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
@pytest.mark.parametrize("more", [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]])
def test_curl_with_http2_over_cleartext_is_answered(model: Scoring, tmp_path: Path, more: list[str]) -> None:
    file = tmp_path / "dive.mp4"
    file.write_bytes(VIDEO)
    command = ["curl", "-sS", "--http2", *more, "--data-binary", f"@{file}"]
    url = f"{model.url}/invocations"
    said = subprocess.run([*command, url, "--next", *command[1:], url], check=True, capture_output=True)
    assert said.stdout.count(b'"score": 61.5') == 2
    assert model.videos[-2:] == [VIDEO, VIDEO]


@pytest.mark.parametrize(
    ("path", "length"), [("/invocations", 3_000_000), ("/nothing", 40), ("/ping", 40), ("/endpoints/a/b", 40)]
)
def test_who_asks_before_sending_and_is_refused_cannot_have_the_next_request_eaten(
    model: Scoring, path: str, length: int
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    received = exchange(model.port, head.encode())  # until the server closes
    assert b"100 Continue" not in received
    assert b"connection: close" in received.lower()
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked"],
)
def test_who_finds_the_queue_full_when_all_has_come_is_told_at_once(model: Scoring, rest: bytes) -> None:
    # Waiting for more of a body that has ended would take its whole patience, and then the connection.
    before, model.front.admission.bytes = model.front.admission.bytes, model.front.endpoint.limits.queue_bytes
    try:
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
        received = exchange(
            model.port, head + rest + b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
    finally:
        model.front.admission.bytes = before
    assert received.startswith(b"HTTP/1.1 429 ")
    assert received.count(b"HTTP/1.1 ") == 2, "the connection was not kept"


def test_what_an_answer_shall_bring_reaches_the_model_and_nothing_unknown_does(model: Scoring) -> None:
    model.post("/invocations", VIDEO, headers={"X-Springboard-Include": "strip"})
    model.post("/invocations", VIDEO)
    assert model.includes[-2:] == ["strip", ""]
    refused = model.post("/invocations", VIDEO, headers={"X-Springboard-Include": "weights"})
    assert error_of(refused) == (400, "invalid_header")
    assert "strip" in refused.json()["error"]["message"]


def test_a_caller_can_ask_how_far_its_request_is(model: Scoring) -> None:
    asked = model.client.get("/endpoints/dive-scoring/requests/mine")
    assert asked.json() == {"state": "absent", "before": 0}
    assert model.client.get("/endpoints/other/requests/mine").status_code == 404


def test_the_endpoint_tells_its_last_errors_without_their_words(model: Scoring) -> None:
    refused = model.post("/invocations", b"unreadable")
    told = model.client.get("/endpoints/dive-scoring").json()["last_errors"][0]
    assert told.pop("at") > 0
    assert told == {
        "request_id": refused.headers["x-amzn-requestid"],
        "status": 422,
        "code": "unreadable_video",
        "variant": "",
    }
