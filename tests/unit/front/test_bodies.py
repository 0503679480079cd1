"""Each form in which callers send a video, up to the bytes that reach the model."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from model_handler.request.errors import InvalidRequest
from springboard.front.intake.unpack import unpack
from tests.stands.scoring import Scoring
from tests.unit.front.sent import ROUTES, VIDEO, error_of

TEXT = base64.b64encode(VIDEO)


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


class Sliced(bytes):
    """Bytes that count what is copied out of them."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        piece = super().__getitem__(key)
        self.copied += len(piece) if isinstance(piece, bytes) else 0
        return piece


def test_members_cost_what_they_hold_and_not_what_comes_after_them() -> None:
    member = b"\0\1\0\xfe\xffx\1\0\0\xff\xff"  # begins as the zeros do that may fill up a file
    body = Sliced(raw_deflate(b"x") + member * 50 + b"\xff" * 10_000_000)
    with pytest.raises(InvalidRequest):
        unpack(body, "deflate", 1000, lambda _: None)
    assert body.copied < 100_000_000


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
        'multipart/form-data; boundary="a"; b="' + ";" * 5000,
    ],
)
def test_a_form_without_a_usable_boundary_is_refused(model: Scoring, content_type: str) -> None:
    response = model.post("/invocations", multipart(part("a")), headers={"Content-Type": content_type})
    assert error_of(response) == (400, "invalid_request")
