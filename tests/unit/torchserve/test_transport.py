"""HTTP over unix sockets, as the front and deployments speak it to TorchServe."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from springboard.endpoint.document import Served
from springboard.torchserve import settings, transport
from springboard.torchserve.client import Backend, Unreachable, predictions_url


@contextmanager
def listening(path: Path) -> Iterator[list[bytes]]:
    """Answer one request on each connection with the socket's name; yields the requests' heads."""
    heads: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if head := connection.recv(65536):
                        heads.append(head)
                        said = f"connection: close\r\ncontent-length: {len(path.name)}\r\n\r\n{path.name}"
                        connection.sendall(f"HTTP/1.1 200 OK\r\n{said}".encode())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield heads
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_each_address_is_asked_at_its_own_socket(tmp_path: Path) -> None:
    with listening(tmp_path / "Inference") as heads, listening(tmp_path / "management"):
        for name in ("Inference", "management"):
            answer = transport.request("GET", transport.url(f"unix:{tmp_path}/{name}", "/models/dive?x=1"))
            assert answer.text == name
    assert heads[0].startswith(b"GET /models/dive?x=1 HTTP/1.1\r\nHost: torchserve\r\n")


@pytest.mark.timeout(20)
def test_one_that_accepts_no_more_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stuck, socket.socket(socket.AF_UNIX) as waiting:
        stuck.bind(str(tmp_path / "management"))
        stuck.listen(0)
        waiting.connect(str(tmp_path / "management"))
        with pytest.raises(httpx.ConnectError, match="temporarily unavailable"):
            transport.request("GET", transport.url(f"unix:{tmp_path}/management", "/"))


def test_the_front_asks_at_sockets_and_ports_with_one_client(tmp_path: Path) -> None:
    async def ask(*served: Served) -> list[str]:
        async with httpx.AsyncClient(mounts=transport.mounts(), trust_env=False) as client:
            return [await Backend(client, one).metrics() for one in served]

    at_socket = Served(release="1.0.0", address=f"unix:{tmp_path}/inference")
    with listening(tmp_path / "metrics"):
        assert asyncio.run(ask(at_socket, at_socket)) == ["metrics", "metrics"]
    with pytest.raises(Unreachable):
        asyncio.run(ask(Served(release="1.0.0", address="http://127.0.0.1:9")))


def test_a_socket_that_nobody_listens_at_is_a_closed_port(tmp_path: Path) -> None:
    with listening(tmp_path / "inference"):
        pass  # its file stays
    served = Served(release="1.0.0", address=f"unix:{tmp_path}/inference")

    async def ask() -> None:
        async with httpx.AsyncClient(mounts=transport.mounts(), trust_env=False) as client:
            await Backend(client, served).workers()

    for _ in ("refused", "gone"):
        with pytest.raises(Unreachable) as caught:
            asyncio.run(ask())
        assert type(caught.value) is Unreachable, "not merely interrupted"
        with pytest.raises(httpx.ConnectError):
            transport.request("POST", predictions_url(served))
        (tmp_path / "inference").unlink(missing_ok=True)


def test_paths_that_no_socket_can_have_are_known_beforehand() -> None:
    assert settings.fits(Path("/" + 90 * "x"), Path("/" + 85 * "x"))
    assert not settings.fits(Path("/" + 100 * "x"), Path("/x"))
    assert not settings.fits(Path("/x"), Path("/" + 95 * "x"))
