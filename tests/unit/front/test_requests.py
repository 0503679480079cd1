"""Each way that callers send a video, up to the bytes that reach the model and the words they get."""

import base64
import gzip
import json
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.stands.scoring import Scoring
from tests.stands.served import exchange

VIDEO = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 200
TEXT = base64.b64encode(VIDEO)
ROUTES = ["/invocations", "/endpoints/dive-scoring/invocations", "/predictions/dive"]


def error_of(response: httpx.Response) -> tuple[int, str]:
    """The status and code on the plain routes, the original ones of SageMaker's ModelError."""
    body = response.json()
    if "OriginalStatusCode" in body:
        return body["OriginalStatusCode"], json.loads(body["OriginalMessage"])["error"]["code"]
    return response.status_code, body.get("error", {}).get("code") or response.headers["x-amzn-errortype"]


def raw_deflate(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip, identity", gzip.compress),
        (
            "gzip",
            lambda body: b"".join(gzip.compress(body[at : at + 999]) for at in range(0, len(body), 999)),
        ),
        ("gzip", lambda body: gzip.compress(body) + bytes(512)),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
        ("", bytes),
    ],
)
def test_a_packed_body_is_unpacked(
    model: Scoring, route: str, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    response = model.post(route, pack(VIDEO), headers={"Content-Encoding": coding})
    assert response.status_code == 200, response.text
    assert model.videos[-1] == VIDEO
    assert model.held[-1] == len(VIDEO)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("coding", ["br", "zstd", "aws-chunked", "gzip, gzip", "deflate, br", "nonsense"])
def test_a_packing_that_is_not_known_is_refused(model: Scoring, route: str, coding: str) -> None:
    status, code = error_of(model.post(route, b"x", headers={"Content-Encoding": coding}))
    assert (status, code) in [(415, "unsupported_encoding"), (400, "ValidationError")]


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(bytes(50_000_000)), 413),
        ("gzip", b"".join(gzip.compress(bytes(300_000)) for _ in range(5)), 413),
        ("deflate", zlib.compress(bytes(50_000_000)), 413),
        ("gzip", gzip.compress(b"") * 10_001, 400),
        ("gzip", gzip.compress(VIDEO)[:-100], 400),
        ("gzip", gzip.compress(VIDEO) + b"more", 400),
        ("gzip", VIDEO, 400),
        ("deflate", VIDEO, 400),
        ("gzip", b"", 400),
    ],
)
def test_a_bomb_or_a_broken_packing_is_refused(model: Scoring, coding: str, body: bytes, status: int) -> None:
    response = model.post("/invocations", body, headers={"Content-Encoding": coding})
    assert response.status_code == status, response.text
    assert model.front.admission.bytes == 0


BASE64 = [
    json.dumps({"video": TEXT.decode()}),
    json.dumps({"video": TEXT.decode(), "note": "x" * 5000}),
    json.dumps({"instances": [{"b64": TEXT.decode()}]}),
    json.dumps({"instances": [{"video": {"b64": TEXT.decode()}}]}, indent=2),
    json.dumps({"instances": [TEXT.decode()]}),
    json.dumps({"video": f"data:video/mp4;base64,{TEXT.decode()}"}),
    json.dumps({"video": base64.encodebytes(VIDEO).decode()}),
    json.dumps({"video": base64.urlsafe_b64encode(VIDEO).decode().rstrip("=")}),
    json.dumps({"video": TEXT.decode()}).replace("/", "\\/").replace("+", "\\u002B"),
    json.dumps({"body": TEXT.decode(), "isBase64Encoded": True}),
    f"data:video/mp4;base64,{TEXT.decode()}",
    TEXT.decode(),
    base64.encodebytes(VIDEO).decode(),
    "\ufeff" + json.dumps({"video": TEXT.decode()}),
]


@pytest.mark.parametrize("route", [*ROUTES, "/aqa"])
@pytest.mark.parametrize("body", BASE64, ids=lambda body: body[:30])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_base64_is_decoded(model: Scoring, route: str, body: str, content_type: str) -> None:
    response = model.post(route, body.encode(), headers={"Content-Type": content_type})
    assert response.status_code == 200, response.text
    assert model.videos[-1] == VIDEO
    assert model.held[-1] == len(VIDEO)


def test_the_published_lambdas_answer_is_the_score_alone(model: Scoring) -> None:
    for body in (TEXT, base64.b64encode(b"short"), VIDEO):
        assert model.post("/aqa", body).json() == {"score": 61}
    assert model.videos[-2] == b"short"
    assert error_of(model.post("/aqa", b"")) == (400, "empty_body")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        b'{"video": "***"}',
        b'{"video": ""}',
        b'{"video": "AAA=AAAA"}',
        b'{"video": "data:video/mp4,plain"}',
        b'{"video": 5}',
        b'{"instances": ["QUFB", "QUFB"]}',
        b'{"instances": []}',
        b'{"video": "' + b"A" * 20_000,
        b'{"video": "' + b"\\" * 20_000 + b'"}',
        b'{"video": "' + b'\\"' * 20_000 + b'"}',
        b"[" * 8000,
        b'{"a":' * 1600,
        b"[" + b"[]," * 100_000 + b"[]]",
        b'{"a": "' + b"x" * 500_000 + b'"}',
        b"[" + b'"x",' * 100_000 + b"0]",
        b"3",
        b"null",
    ],
    ids=lambda body: body[:20],
)
def test_json_that_is_no_video_is_a_400_and_never_parsed_at_length(
    model: Scoring, route: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, loads = [], json.loads

    def measured(text: bytes | str, **more: Any) -> Any:
        lengths.append(len(text))
        return loads(text, **more)

    monkeypatch.setattr("model_handler.request.source.json.loads", measured)
    response = model.post(route, body, headers={"Content-Type": "application/json"})
    monkeypatch.undo()
    assert error_of(response) in [(400, "invalid_request"), (400, "empty_body")]
    assert max(lengths, default=0) <= 8192
    assert len(response.content) < 4000


@pytest.mark.parametrize("route", [*ROUTES, "/aqa"])
@pytest.mark.parametrize("video", [VIDEO, VIDEO[:300], b"\x1a\x45\xdf\xa3" * 4000, b"RIFF\x00\x00" * 2000])
def test_a_video_declared_as_json_is_a_video(model: Scoring, route: str, video: bytes) -> None:
    assert model.post(route, video, headers={"Content-Type": "application/json"}).status_code == 200
    assert model.videos[-1] == video


FORMS: list[list[tuple[str, Any]]] = [
    [("video", ("a.mp4", VIDEO))],
    [("anything", ("a.mp4", VIDEO))],
    [("anything", (None, VIDEO))],
    [("video", ("a.mp4", VIDEO)), ("file", ("b.mp4", b"other"))],
    [("note", (None, b"hello")), ("data", ("a.mp4", VIDEO))],
    [("note", (None, b"hello")), ("clip", ("a.mp4", VIDEO))],
    [("tag", (None, b"1")), ("tag", (None, b"2")), ("video", ('od"d;name.mp4', VIDEO))],
    [("video", (None, TEXT))],
    [("video", (None, b"data:video/mp4;base64," + TEXT))],
    [("video", ("a.txt", TEXT, "text/plain", {"Content-Transfer-Encoding": "base64"}))],
    [("video", ("a.json", json.dumps({"b64": TEXT.decode()}).encode()))],
]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("fields", FORMS, ids=range(len(FORMS)))
def test_a_forms_video_is_found_and_held_once(
    model: Scoring, route: str, fields: list[tuple[str, Any]]
) -> None:
    response = model.client.post(route, files=fields)
    assert response.status_code == 200, response.text
    assert model.videos[-1] == VIDEO
    assert model.held[-1] == len(VIDEO)


def test_a_packed_form_with_base64_is_unpacked_three_times(model: Scoring) -> None:
    request = httpx.Request("POST", f"{model.url}/invocations", files=FORMS[7])
    headers = {"Content-Type": request.headers["Content-Type"], "Content-Encoding": "gzip"}
    assert model.post("/invocations", gzip.compress(request.read()), headers=headers).status_code == 200
    assert model.videos[-1] == VIDEO
    assert model.held[-1] == len(VIDEO)


def multipart(*parts: bytes, end: bytes = b"--limit--\r\n") -> bytes:
    return b"".join(b"--limit\r\n" + part + b"\r\n" for part in parts) + end


def part(name: str, content: bytes = b"x") -> bytes:
    return b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name.encode(), content)


BROKEN: dict[str, bytes] = {
    "twice": multipart(part("video"), part("video")),
    "ambiguous": multipart(part("file"), part("data")),
    "several": multipart(part("a"), part("b")),
    "no field": multipart(),
    "many": multipart(*(part(f"field {i}" * 40) for i in range(1000))),
    "long names": multipart(*(part(f"{i}" * 1500) for i in range(30))),
    "cut off": multipart(part("video"), end=b""),
    "headers without end": multipart(b"a: b\r\n" * 2000),
    "no headers": multipart(b"no line break"),
    "boundary within": multipart(part("video", b"\r\n--limit!" * 2000)),
    "another boundary": part("video"),
    "coding": multipart(b"Content-Transfer-Encoding: quoted-printable\r\n" + part("video")),
    "mixed-up name": multipart(b"Content-Disposition: form-data; name*=a; name*0=b\r\n\r\nx"),
    "file name's charset": multipart(
        b"Content-Disposition: form-data; name=video; filename*=idna''x\r\n\r\nx"
    ),
    "charset with a zero": multipart(
        b"Content-Disposition: form-data; name=video; filename*=a\0b''x\r\n\r\nx"
    ),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_form_that_cannot_be_meant_is_refused_in_few_words(model: Scoring, route: str, body: bytes) -> None:
    response = model.post(route, body, headers={"Content-Type": "multipart/form-data; boundary=limit"})
    assert error_of(response) in [(400, "invalid_request"), (400, "empty_body")]
    assert len(response.content) < 3000
    assert model.front.admission.bytes == 0


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        f"multipart/form-data; boundary={'x' * 300}",
        "multipart/form-data; boundary*=a; boundary*0=b",
        "multipart/form-data; boundary*=idna''x",
    ],
)
def test_a_form_without_a_usable_boundary_is_refused(model: Scoring, content_type: str) -> None:
    response = model.post("/invocations", multipart(part("a")), headers={"Content-Type": content_type})
    assert error_of(response) == (400, "invalid_request")


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
