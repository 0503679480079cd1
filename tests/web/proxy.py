"""A proxy before a front: under a path prefix, as balancers of many services have it, or one that breaks."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

PREFIX = b"/team/dives"


@contextmanager
def prefixed(url: str) -> Iterator[str]:
    """Serve `url` under a prefix; yields its address without a slash at its end."""
    with _between(url, strip=True) as (port, _):
        yield f"http://127.0.0.1:{port}{PREFIX.decode()}"


@contextmanager
def breaking(url: str, after: int) -> Iterator[tuple[str, threading.Event]]:
    """Serve `url`, but cut each connection that has sent `after` bytes until the event is set."""
    with _between(url, after=after) as (port, mended):
        yield f"http://127.0.0.1:{port}", mended


@contextmanager
def _between(url: str, strip: bool = False, after: int = 0) -> Iterator[tuple[int, threading.Event]]:
    mended = threading.Event()
    target = (str(urlsplit(url).hostname), int(urlsplit(url).port or 80))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads: list[threading.Thread] = []
        ends: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    caller = listening.accept()[0]
                except OSError:
                    return
                front = socket.create_connection(target)
                ends.extend((caller, front))
                for one in (
                    threading.Thread(
                        target=_pass, args=(caller, front, strip, 0 if mended.is_set() else after)
                    ),
                    threading.Thread(target=_pass, args=(front, caller, False, 0)),
                ):
                    one.start()
                    threads.append(one)

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield int(listening.getsockname()[1]), mended
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for end in ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for end in ends:
                end.close()


def _pass(source: socket.socket, target: socket.socket, strip: bool, most: int) -> None:
    """Pass bytes on until one side ends; of `most` or more both do."""
    passed = 0
    with suppress(OSError):
        while data := source.recv(65536):
            passed += len(data)
            if most and passed >= most:
                break
            target.sendall(data.replace(b" %s/" % PREFIX, b" /") if strip else data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
