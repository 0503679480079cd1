"""The edge's nginx before a front that asks for keys: what strangers send, and who pays for it."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from springboard.auth import keys
from springboard.front.connection import _MAX_HEAD_BYTES
from tests.stands.edge import Edge, edge
from tests.stands.scoring import Scoring, scoring
from tests.stands.waiting import wait_until

IDLE = 1.0
UPLOAD = 3.0
BODY = 900_000
PIECE = 60_000


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> tuple[keys.Keys, str]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    shown = keys.create_token(path, "ci")
    return keys.load(path), shown


@pytest.fixture(scope="module")
def guarded(token: tuple[keys.Keys, str]) -> Iterator[Scoring]:
    limits: dict[str, Any] = {"upload_idle_seconds": IDLE, "upload_seconds": UPLOAD, "queue_bytes": 3_000_000}
    with scoring(token[0], **limits) as one:
        yield one


@pytest.fixture(scope="module")
def nginx(guarded: Scoring, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("edge")
    settings = {
        "edge_max_body_bytes": 1_000_000,
        "edge_upload_idle_seconds": 2,
        "edge_connections_per_address": 8,
        "edge_requests_per_second": 1000,
    }
    with edge(folder, f"127.0.0.1:{guarded.port}", **settings) as one:
        yield one


def request(first: bytes, *headers: bytes, length: int | None = None) -> bytes:
    head = [first + b" HTTP/1.1", b"Host: dives.example", b"Connection: close", *headers]
    if length is not None:
        head.append(b"Content-Length: %d" % length)
    return b"\r\n".join([*head, b"", b""])


def bearer(token: tuple[keys.Keys, str]) -> bytes:
    return b"Authorization: Bearer " + token[1].encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /%2e%2e/metrics HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /metrics%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /endpoints/..%2f..%2f..%2fmetrics HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"TRACE /ping HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\x1b[31m HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\na: " + b"b" * 40_000 + b"\r\n\r\n", 400),
        (b"GET /ping HTTP/3.0\r\nHost: x\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /aqa HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (request(b"GET /nothing"), 404),
        (request(b"GET /metrics"), 403),
        (request(b"GET /.errors/400"), 404),
    ],
    ids=lambda value: re.sub(rb"\W+", b" ", value[:40]).decode() if isinstance(value, bytes) else None,
)  # fmt: skip
def test_what_nginx_refuses_itself_is_json_under_hsts(nginx: Edge, sent: bytes, status: int) -> None:
    received = nginx.exchange(sent)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), received[:300]
    assert b"Content-Type: application/json" in head
    assert b"Strict-Transport-Security: max-age=" in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert json.loads(body)["error"]["code"]


def test_a_small_head_that_the_front_would_take_passes(nginx: Edge) -> None:
    """Nothing that reaches the front is beyond what it takes itself."""
    received = nginx.exchange(request(b"GET /docs", *(b"a%d: " % n + b"b" * 7000 for n in range(3))))
    assert received.startswith(b"HTTP/1.1 200")
    assert _MAX_HEAD_BYTES > 4 * 8192
    for header in (b"nosniff", b"frame-ancestors", b"Strict-Transport-Security"):
        assert header in received


@pytest.mark.parametrize("path", [b"/ping", b"/", b"/docs", b"/openapi.json", b"/page/x", b"/metrics"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_body_where_none_belongs_is_refused_unread(nginx: Edge, method: bytes, path: bytes) -> None:
    received = nginx.exchange(request(method + b" " + path, length=BODY), b"x" * 1000)
    assert received.startswith(b"HTTP/1.1 413")
    assert json.loads(received.rpartition(b"\r\n\r\n")[2])["error"]["code"] == "unexpected_body"


def test_below_a_further_endpoints_path_the_rules_are_the_firsts(guarded: Scoring, tmp_path: Path) -> None:
    below, front = b"/endpoints/others/front", f"127.0.0.1:{guarded.port}"
    with edge(tmp_path, front, edge_control=True, edge_max_body_bytes=1_000_000) as nginx:
        for path in (b"/", b"/ping", b"/docs", b"/openapi.json", b"/page/x", b"/metrics"):
            received = nginx.exchange(request(b"POST " + below + path, length=BODY), b"x" * 1000)
            assert received.startswith(b"HTTP/1.1 413"), received
            assert json.loads(received.rpartition(b"\r\n\r\n")[2])["error"]["code"] == "unexpected_body"
        shown = (
            b"/metrics",
            b"/metrics/torchserve",
            b"/status",
            b"/metrics/",
            b"/%6detrics",
            b"/x/../metrics",
            b"//metrics",
        )
        for path in shown:
            received = nginx.exchange(request(b"GET " + below + path))
            assert received.startswith(b"HTTP/1.1 403"), received
        for path in (b"/invocations", b"/aqa/", b"/predictions/dive"):
            received = nginx.exchange(request(b"POST " + below + path, length=1_000_001))
            assert received.startswith(b"HTTP/1.1 413"), received
            assert b"max_body_bytes is 1,000,000" in received


def test_a_body_without_credentials_is_held_nowhere(nginx: Edge, guarded: Scoring, tmp_path: Path) -> None:
    for _ in range(3):
        received = nginx.exchange(request(b"POST /invocations", length=BODY), b"x" * BODY)
        assert received.startswith(b"HTTP/1.1 403"), received
    assert guarded.front.admission.bytes == 0


def test_one_address_with_unfinished_bodies_leaves_the_others_their_part(
    nginx: Edge, guarded: Scoring, token: tuple[keys.Keys, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one who has a key: memory is shared by caller, connections by address, and a body has its time."""
    signed = (
        b"Authorization: AWS4-HMAC-SHA256 "
        b"Credential=SBAAAAAAAAAAAAAAAAAA/%s/us-east-1/sagemaker/aws4_request, "
        b"SignedHeaders=host;x-amz-date, Signature=" + b"0" * 64
    )
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ").encode()
    head = request(b"POST /invocations", signed % now[:8], b"X-Amz-Date: " + now, length=BODY)
    limits = vars(guarded.front.endpoint.limits)
    # Nobody's time ends while one looks.
    monkeypatch.setitem(limits, "upload_seconds", 60.0)
    monkeypatch.setitem(limits, "upload_idle_seconds", 60.0)
    with ExitStack() as stack:
        held = [stack.enter_context(nginx.connect("127.0.0.9")) for _ in range(8)]
        for one in held:
            one.sendall(head + b"x" * (BODY - 2))
        wait_until(lambda: guarded.front.admission.bytes > 2_000_000, "the memory to be full")
        assert nginx.exchange(request(b"GET /ping"), source="127.0.0.9").startswith(b"HTTP/1.1 429")
        ours = nginx.exchange(request(b"POST /invocations", bearer(token), length=BODY), b"y" * BODY)
        assert ours.startswith(b"HTTP/1.1 200"), ours
        # From their next byte on it does, and they send no more: each is told, not held.
        monkeypatch.setitem(limits, "upload_idle_seconds", IDLE)
        for one in held:
            with suppress(OSError):  # some were refused already
                one.sendall(b"x")
        answers = [one.recv(100)[9:12] for one in held]
    assert set(answers) <= {b"408", b"429"}
    assert b"408" in answers
    wait_until(lambda: guarded.front.admission.bytes == 0, "the memory to be free")


def test_a_body_that_trickles_ends_at_its_deadline(
    nginx: Edge, guarded: Scoring, token: tuple[keys.Keys, str]
) -> None:
    with nginx.connect() as slow:
        slow.sendall(request(b"POST /endpoints/dive-scoring/invocations", bearer(token), length=BODY))
        slow.settimeout(IDLE / 4)
        answer = b""
        for _ in range(200):  # never idle for long: this is the attack
            try:
                slow.sendall(b"x")
                answer = slow.recv(65536)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"upload_seconds" in answer
    assert b"ValidationError" in answer


def test_a_body_over_the_limit_is_refused_however_it_is_framed(
    nginx: Edge, token: tuple[keys.Keys, str]
) -> None:
    key = bearer(token)
    for typed, path in ((False, b"/invocations"), (True, b"/endpoints/dive-scoring/invocations")):
        whole = nginx.exchange(request(b"POST " + path, key, length=1_000_001))
        chunked = nginx.exchange(
            request(b"POST " + path, key, b"Transfer-Encoding: chunked"),
            *[b"%x\r\n" % PIECE + b"x" * PIECE + b"\r\n"] * 20,
        )
        for received in (whole, chunked):
            assert received.startswith(b"HTTP/1.1 400" if typed else b"HTTP/1.1 413"), received[:200]
            assert b"max_body_bytes is 1,000,000" in received


def test_the_log_has_neither_queries_nor_what_a_terminal_obeys(nginx: Edge) -> None:
    nginx.logged()
    nginx.exchange(request(b"GET /ping%1b[31m?token=hunter2", b"X-Request-Id: first"))
    nginx.exchange(b"GET /%2e%2e/x?X-Amz-Signature=hunter2 HTTP/1.1\r\nHost: x\r\n\r\n")
    nginx.exchange(request(b"GET https://x/ping?token=hunter2", b"X-Request-Id: last"))
    paths = {}

    def read() -> bool:
        lines = nginx.logged()  # also what comes late of other tests
        assert "hunter2" not in "".join(lines)
        for told in (json.loads(line[line.index("{") :]) for line in lines):
            paths[told["client_request_id"]] = told["path"]
        return "last" in paths

    wait_until(read, "the last line")
    assert (paths["first"], paths["last"]) == ("/ping%1b[31m", "/ping")


def test_a_front_that_is_gone_is_told_without_the_query(tmp_path: Path) -> None:
    with edge(tmp_path, "127.0.0.1:9") as alone:
        for path, code in (
            (b"/invocations", b"front_unreachable"),
            (b"/endpoints/d/invocations", b"Unavailable"),
        ):
            received = alone.exchange(request(b"POST " + path + b"?token=hunter2", length=3), b"abc")
            assert code in received
            assert b"Strict-Transport-Security" in received
        lines = alone.logged(2)
        assert "hunter2" not in "".join(lines)
