"""Bodies that nobody reads: an answer comes in bounded time, and nothing behind it is taken for a request."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from springboard.auth.keys import Keys
from springboard.front import unread
from springboard.front.unread import Unread
from tests.stands.scoring import Scoring, scoring
from tests.stands.served import exchange, served

EVIL = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unread, "_DISCARD_SECONDS", 0.2)
        patch.setattr(unread, "_DISCARD_BYTES", 500_000)
        yield


@pytest.fixture(scope="module")
def guarded() -> Iterator[Scoring]:
    with scoring(Keys()) as one:
        yield one


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"POST /invocations", b"403"),
        (b"POST /endpoints/dive-scoring/invocations", b"403"),
        (b"POST /invocation", b"404"),
        (b"POST /ping", b"405"),
        (b"GET /ping", b"503"),
        (b"GET /metrics", b"200"),
        (b"GET /docs", b"200"),
    ],
)
@pytest.mark.parametrize("framing", [b"Content-Length: 9000000", b"Transfer-Encoding: chunked"])
def test_a_body_without_end_ends_its_connection_after_the_answer(
    guarded: Scoring, first: bytes, status: bytes, framing: bytes
) -> None:
    head = first + b" HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n"
    # Half of a large one, then silence: `exchange` returns because the server hangs up.
    received = exchange(guarded.port, head, b"10\r\n" + b"x" * 16)
    assert received.startswith(b"HTTP/1.1 " + status), received
    assert b"connection: close" in received.lower()
    assert received.count(b"HTTP/1.1 ") == 1
    assert guarded.front.admission.bytes == 0


@pytest.mark.parametrize("first", [b"POST /invocations", b"POST /invocation", b"GET /ping"])
def test_a_small_body_on_the_wrong_path_costs_nobody_the_connection(
    guarded: Scoring, first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "_DISCARD_SECONDS", 60)  # however long it takes to come
    body = EVIL * 100
    head = first + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    last = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    received = exchange(guarded.port, head, body, last)
    assert received.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 200 OK" in received


def test_a_body_is_dropped_up_to_a_bound_and_who_asks_first_is_told_no() -> None:
    """The bound is by bytes too: a fast sender does not keep a server busy for all its seconds."""

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(status_code=403)(scope, receive, send)

    async def asked(headers: list[tuple[bytes, bytes]], left: int) -> tuple[int, bool]:
        taken = 0

        async def receive() -> dict[str, object]:
            nonlocal left, taken
            left -= 1
            taken += 1
            return {"type": "http.request", "body": b"x" * 100_000, "more_body": left > 0}

        sent: list[dict[str, object]] = []

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "headers": headers}
        await Unread(refuse)(scope, receive, send)  # type: ignore[arg-type]
        return taken, (b"connection", b"close") in sent[0]["headers"]  # type: ignore[operator]

    length = (b"content-length", b"9")
    assert asyncio.run(asked([length], 3)) == (3, False)
    assert asyncio.run(asked([length], 1000)) == (5, True)
    assert asyncio.run(asked([length, (b"expect", b"100-Continue")], 3)) == (0, True)
    assert asyncio.run(asked([(b"content-length", b"0")], 1000)) == (0, False)


def test_a_silent_application_is_left_alone() -> None:
    async def hold(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"abc"
        await Response(b"ok")(scope, receive, send)

    with served(Unread(hold)) as port:
        sent = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        assert exchange(port, sent).endswith(b"ok")
