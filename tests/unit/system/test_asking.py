"""Exchanges that end, whatever the other side sends and how slowly."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from springboard.deploy.figures import FrontAway, FrontFigures
from springboard.system import asking
from springboard.torchserve import transport
from tests.stands import certificates

pytestmark = pytest.mark.timeout(30)

HEAD = b"HTTP/1.1 200 OK\r\n"
# Each begins well, and goes on with one of the bytes now and then, for good.
SLOW = {
    "head": (HEAD + b"x-long: ", b"x"),
    "body": (HEAD + b"content-length: 1000000\r\n\r\n", b"x"),
    "body that ends with its connection": (HEAD + b"\r\n", b"x"),
    "silence": (b"", b""),
}
ENDLESS = (HEAD + b"\r\n", bytes(1 << 20))
Said = tuple[bytes, bytes]


@contextmanager
def saying(said: Said, pause: float = 0.05, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Answer one request so, until whoever asked is gone; yields where."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            plain, _ = server.accept()
            with plain, suppress(OSError), tls.wrap_socket(plain, server_side=True) if tls else plain as one:
                one.recv(65536)
                one.sendall(said[0])
                while not ended.wait(pause):
                    one.sendall(said[1])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


def by_thread(url: str, seconds: float) -> httpx.Response:
    return transport.request("GET", url, timeout=seconds)


def by_loop(url: str, seconds: float) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(timeout=None) as client:
            return await asking.ask_async(client, "GET", url, seconds=seconds)

    return asyncio.run(run())


Ask = Callable[[str, float], httpx.Response]
both = pytest.mark.parametrize("ask", [by_thread, by_loop])


@both
@pytest.mark.parametrize("said", SLOW.values(), ids=SLOW)
def test_who_sends_a_byte_now_and_then_is_left(ask: Ask, said: Said) -> None:
    with saying(said) as url, pytest.raises(httpx.ReadTimeout, match=r"no whole answer within 0\.3 s"):
        ask(url, 0.3)


@both
def test_an_answer_without_end_is_not_read_on(ask: Ask) -> None:
    with saying(ENDLESS, pause=0) as url, pytest.raises(httpx.ReadError, match="more than 16,777,216 bytes"):
        ask(url, 25)


@both
def test_an_answer_in_time_is_whole(ask: Ask) -> None:
    head = (
        HEAD + b"content-length: 3\r\ncontent-type: text/plain; charset=latin-1\r\nserver-timing: a\r\n\r\n"
    )
    with saying((head + b"\xe4bc", b"")) as url:
        answer = ask(url, 25)
    assert (answer.status_code, answer.text, answer.headers["server-timing"]) == (200, "äbc", "a")


@pytest.mark.parametrize("shakes_hands", [True, False])
def test_tls_is_no_way_to_stay(tmp_path: Path, shakes_hands: bool) -> None:
    certificate, key = certificates.pair(tmp_path, "front", "127.0.0.1")
    ours, theirs = ssl.create_default_context(cafile=certificate), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, key)
    # A record that begins a handshake, and has 16 kB.
    with (
        saying(SLOW["body"], tls=theirs) if shakes_hands else saying((b"\x16\x03\x03\x40\x00", b"x")) as url,
        httpx.Client(verify=ours) as client,
        pytest.raises(httpx.ReadTimeout, match="no whole answer"),
    ):
        asking.ask(client, "GET", url.replace("http:", "https:"), seconds=0.5)


def test_a_front_that_never_ends_is_away() -> None:
    with saying(ENDLESS, pause=0) as url, pytest.raises(FrontAway, match="does not answer"):
        FrontFigures(url).read()
