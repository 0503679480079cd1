"""Waiting for what others do, and calling while one waits."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for `condition`, however long a busy machine takes within `seconds`.

    It is asked less and less often: what it asks of hosts and servers is work that others wait for.
    """
    end, pause = time.monotonic() + seconds, 0.02
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(pause)
        pause = min(pause * 1.3, 0.25)


@contextmanager
def at_work(*callers: Callable[[], object], pause: float = 0) -> Iterator[None]:
    """Call each of `callers` over and over, in a thread of its own, `pause` seconds apart, until the end."""
    stop = threading.Event()

    def run(call: Callable[[], object]) -> None:
        while not stop.is_set():
            call()
            stop.wait(pause)

    threads = [threading.Thread(target=run, args=(call,)) for call in callers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
