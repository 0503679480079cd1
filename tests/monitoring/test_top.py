"""`springboard top` against a running server, and against none."""

import os
import pty
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx
import pytest

from springboard.client.source import Away, Source
from springboard.client.view import quantile
from springboard.system.ports import free_ports
from springboard.system.processes import Child
from tests.monitoring.stack import Stack
from tests.stands.front import SPRINGBOARD, FrontProcess
from tests.stands.waiting import wait_until


def once(*arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "24"}
    command = [str(SPRINGBOARD), "top", "--once", "--seconds", "5", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_once_shows_everything_within_a_small_terminal(stack: Stack) -> None:
    done = once("--url", stack.front.url)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for word in (
        *("dive-scoring", "InService", "requests", "failed", "refused", "queued", "retries"),
        *("stable", "canary", "shadow", "1.0.0", "1.1.0", "2/2", "p50", "p90", "p99"),
        *("queue", "decode", "gate", "score", "of 100 requests", "GPU 0", "of 24 GB"),
        *("jobs waiting", "dead", "workers"),
        *("answers p50", "waits p90", "oldest", "late"),
    ):
        assert word in done.stdout, f"{word} in {done.stdout}"
    assert "…" not in done.stdout
    (stable,) = [line.split() for line in lines if line.strip().startswith("stable")]
    assert float(stable[4].removesuffix("/s")) > 0, "its rate"


def test_from_elsewhere_it_says_how_to_get_a_token() -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(403)))
    with client, pytest.raises(Away, match="--token"):
        Source(client, "http://elsewhere").read()


def test_what_stands_before_a_server_may_answer_in_its_own_words() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        metrics = request.url.path == "/metrics"
        return httpx.Response(200, text="") if metrics else httpx.Response(503, text="<html>busy</html>")

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        assert Source(client, "http://elsewhere").read().reason == "503 Service Unavailable"


def test_without_a_server_it_says_so() -> None:
    (port,) = free_ports(1)
    done = once("--url", f"http://127.0.0.1:{port}")
    assert done.returncode == 2
    assert "springboard serve" in done.stderr


def test_another_server_is_told_apart() -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, text="<html>")))
    with client, pytest.raises(Away, match="is it a Springboard"):
        Source(client, "http://elsewhere").read()


class Terminal:
    """`springboard top` in a terminal of 80x24; `drawn` is all that it drew so far."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
        command = [str(SPRINGBOARD), "top", "--seconds", "0.2", *arguments]
        self._child = Child(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.drawn = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the other end was closed
            while chunk := os.read(self._ours, 65536):
                self.drawn += chunk.decode(errors="replace")

    def shows(self, word: str) -> None:
        """Wait until something drawn from now on holds `word`."""
        since = len(self.drawn)
        try:
            wait_until(lambda: word in self.drawn[since:], word)
        except AssertionError:
            pytest.fail(f"{word!r} does not come up; the last that was drawn:\n{self.drawn[-3000:]!r}")

    def interrupt(self) -> int:
        self._child.process.send_signal(signal.SIGINT)
        return self._child.process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop(5)
        self._reader.join()
        os.close(self._ours)


def test_it_comes_back_when_the_server_does(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    endpoint = tmp_path / "endpoint.yml"
    endpoint.write_text("variants: [{name: only, release: 1.0.0, address: 'http://127.0.0.1:1'}]")
    with Terminal("--url", f"http://127.0.0.1:{port}") as terminal:
        terminal.shows("does not answer")
        with FrontProcess("--port", str(port), "--endpoint-file", endpoint):
            terminal.shows("OutOfService")
            terminal.shows("variant only")  # the reason
        terminal.shows("does not answer")
        assert terminal.interrupt() == 0
        assert "Traceback" not in terminal.drawn


def test_quantiles_are_prometheus_own() -> None:
    buckets = {"0.5": 0.0, "1.0": 80.0, "2.0": 100.0, "+Inf": 100.0}
    assert quantile(0.4, buckets) == pytest.approx(0.75)
    assert quantile(0.9, buckets) == pytest.approx(1.5)
    assert quantile(0.9, {"1.0": 0.0, "+Inf": 0.0}) is None
    assert quantile(0.9, {"1.0": 1.0, "+Inf": 10.0}) == 1.0
