"""What clients really send on a connection, to a server that only counts what it got."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from springboard.front import connection
from tests.stands.served import exchange, served
from tests.stands.waiting import wait_until

CLOSE = b"Connection: close\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


class Counting:
    """Answers with what came; `/slow` does so when the test lets it, and notes who left."""

    def __init__(self) -> None:
        self.left = 0
        self.seen: list[dict[str, str]] = []
        self.go = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            self.left += 1
            return
        self.seen.append(dict(request.headers))
        while scope["path"] == "/slow" and not self.go:
            if await request.is_disconnected():
                self.left += 1
                return
            await asyncio.sleep(0.01)
        answer = JSONResponse({"method": scope["method"], "path": scope["path"], "body": len(body)})
        await answer(scope, receive, send)


@pytest.fixture(scope="module")
def app() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
def port(app: Counting) -> Iterator[int]:
    with served(app) as port:
        yield port


def post(path: bytes, body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    head = b"POST %s HTTP/%s\r\nHost: x\r\nContent-Length: %d\r\n" % (path, version, len(body))
    return head + b"".join(headers) + b"\r\n" + body


def answers(received: bytes) -> list[dict[str, Any]]:
    bodies = [part.rpartition(b"\r\n\r\n")[2] for part in received.split(b"HTTP/1.1 200 OK")[1:]]
    return [json.loads(body) for body in bodies]


@pytest.mark.parametrize("offer", [H2C, b"Upgrade: websocket\r\nConnection: upgrade\r\n"], ids=["h2c", "ws"])
@pytest.mark.parametrize("cut", [0, 1, 20, 60, 200, 260, 1000])
def test_a_body_sent_with_an_offer_to_upgrade_is_the_body(port: int, offer: bytes, cut: int) -> None:
    # It looks like a request, and must not be taken for one.
    body = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    sent = post(b"/a", body, offer) + post(b"/b", b"xyz", offer) + post(b"/c", b"", CLOSE)
    received = answers(exchange(port, sent[:cut], sent[cut:]))
    assert [(one["path"], one["body"]) for one in received] == [("/a", len(body)), ("/b", 3), ("/c", 0)]


def test_a_chunked_body_sent_with_an_offer_is_the_body(port: int) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + H2C
    received = exchange(port, head + b"\r\n", b"5\r\nhello\r\n0\r\n\r\n" + post(b"/b", b"12", CLOSE))
    assert [one["body"] for one in answers(received)] == [5, 2]


def test_the_application_sees_the_offer_as_it_was_sent(app: Counting, port: int) -> None:
    exchange(port, post(b"/a", b"x", H2C), post(b"/b", b"", CLOSE))
    assert app.seen[-2]["upgrade"] == "h2c"
    assert app.seen[-2]["http2-settings"] == "AAMAAABkAAQAAP__"


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("path", [b"/a", b"/slow"])
def test_who_half_closes_after_the_body_is_answered(
    app: Counting, port: int, path: bytes, version: bytes
) -> None:
    app.go = True
    received = exchange(port, post(path, b"x" * 100_000, version=version), half_close=True)
    assert answers(received)[0]["body"] == 100_000


def test_pipelined_requests_before_a_half_close_are_all_answered(port: int) -> None:
    received = exchange(port, *(post(b"/a", b"x" * size) for size in (1, 2, 3)), half_close=True)
    assert [one["body"] for one in answers(received)] == [1, 2, 3]


def test_who_waits_half_closed_gets_the_answer_later(app: Counting, port: int) -> None:
    app.go = False
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        plain.sendall(post(b"/slow", b"abc"))
        plain.shutdown(socket.SHUT_WR)
        interim = plain.recv(100)  # to learn whether anybody listens
        assert interim.startswith(b"HTTP/1.1 100 ")
        app.go = True
        assert b'"body":3' in plain.makefile("rb").read()


@pytest.mark.parametrize("path", [b"/a", b"/slow"])
@pytest.mark.parametrize("missing", [0, 10])
def test_who_goes_away_is_noticed(app: Counting, port: int, path: bytes, missing: int) -> None:
    app.go, before = False, app.left
    if path == b"/a" and not missing:
        return  # it is answered before anybody can leave
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        plain.sendall(post(path, b"x" * 100)[: -missing or None])
    wait_until(lambda: app.left == before + 1, "the client to be noticed gone")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n" + post(b"/a", b""),
        b"CONNECT /a HTTP/1.1\r\nHost: x\r\n\r\n" + post(b"/a", b""),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_as_json_and_nothing_of_it_is_served(port: int, sent: bytes) -> None:
    received = exchange(port, sent)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert json.loads(received.rpartition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"GET /", b"a" * 1000),
        (b"GET / HTTP/1.1\r\na: ", b"b" * 1000),
        (b"GET / HTTP/1.1\r\n", b"a: " + b"b" * 1000 + b"\r\n"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
            b"a: " + b"b" * 1000 + b"\r\n",
        ),
    ],
    ids=["line", "header", "headers", "trailers"],
)
def test_a_head_without_end_is_refused(port: int, begins: bytes, goes_on: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        plain.sendall(begins)
        with suppress(ConnectionError):  # the server has closed it, as it should
            for _ in range(10_000):
                plain.sendall(goes_on)
            pytest.fail("10 MB of a head were taken")


def test_who_sends_too_long_a_head_is_told(port: int) -> None:
    received = exchange(port, b"GET / HTTP/1.1\r\na: " + b"b" * 70_000)
    assert received.startswith(b"HTTP/1.1 431 ")
    assert b"65,536" in received


@pytest.mark.parametrize("end", [b"", b"\r\n"], ids=["open", "whole"])
def test_more_headers_than_any_client_sends_are_refused(port: int, app: Counting, end: bytes) -> None:
    seen = len(app.seen)
    received = exchange(port, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 150 + end)
    assert received.startswith(b"HTTP/1.1 431 ")
    assert b"more than 100 headers" in received
    assert len(app.seen) == seen


def test_trailers_are_no_headers(port: int, app: Counting) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    trailers = b"authorization: x\r\n" * 150
    received = exchange(port, head + b"a: b\r\n" * 90 + b"\r\n1\r\nx\r\n0\r\n" + trailers + b"\r\n")
    assert [one["body"] for one in answers(received)] == [1]
    assert "authorization" not in app.seen[-1]


def test_who_takes_nothing_of_an_answer_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_TAKE_SECONDS", 0.1)
    ended = threading.Event()

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(iter([bytes(1_000_000)] * 50))(scope, receive, send)
        ended.set()

    with served(large) as port, socket.create_connection(("127.0.0.1", port), 10) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ended.wait(30), "the server waits for its client to take the answer"
        taken = 0
        with suppress(ConnectionError):
            while piece := caller.recv(1 << 20):
                taken += len(piece)
    assert taken < 50_000_000


def test_long_headers_and_longer_bodies_are_taken(port: int) -> None:
    head = b"a: " + b"b" * 30_000 + b"\r\n"
    sent = post(b"/a", b"x" * 300_000, head) + post(b"/b", b"x", head) + post(b"/c", b"x", head, CLOSE)
    parts = [sent[at : at + 20_000] for at in range(0, len(sent), 20_000)]
    assert [one["body"] for one in answers(exchange(port, *parts))] == [300_000, 1, 1]


def test_a_head_that_does_not_end_in_time_is_refused(
    port: int, app: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_HEAD_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", port), 10) as caller:
        caller.sendall(b"GET /half HTTP/1.1\r\nHost:")
        answer = b""
        while piece := caller.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not end within 0.2 s" in answer


def test_a_late_head_behind_a_request_at_work_waits_for_its_answer(
    port: int, app: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_HEAD_SECONDS", 0.1)
    app.go = False
    with socket.create_connection(("127.0.0.1", port), 10) as caller:
        seen = len(app.seen)
        caller.sendall(post(b"/slow", b"") + b"GET /half HTTP/1.1\r\n")
        wait_until(lambda: len(app.seen) > seen, "the request to arrive")
        caller.settimeout(0.5)
        with pytest.raises(TimeoutError):
            caller.recv(1)
        app.go = True
        caller.settimeout(10)
        answer = b""
        while piece := caller.recv(4096):
            answer += piece
    app.go = False
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


def test_requests_by_the_thousand_on_one_connection_are_cut_off(port: int, app: Counting) -> None:
    app.go = False
    with socket.create_connection(("127.0.0.1", port), 10) as caller, suppress(ConnectionError):
        caller.sendall(post(b"/slow", b"") + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)
        answer = b""
        while piece := caller.recv(4096):
            answer += piece
        assert not answer


def test_some_requests_on_one_connection_are_all_answered(port: int, app: Counting) -> None:
    app.go = True
    with socket.create_connection(("127.0.0.1", port), 10) as caller:
        caller.sendall(post(b"/slow", b"") + (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 32))
        caller.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := caller.recv(4096):
            answer += piece
    app.go = False
    assert answer.count(b"HTTP/1.1 200 ") == 33


def test_more_connections_than_there_are_descriptors_for_are_hung_up_on(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_most_connections", lambda: 2)
    with suppress(ConnectionError):
        callers = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(4)]
        callers[3].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert callers[3].recv(4096) == b""
    for caller in callers:
        caller.close()
