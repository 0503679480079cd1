"""The front under systemd: a socket handed over, readiness told, a restart that nobody notices."""

import http.client
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.stands.front import FrontProcess, write_endpoint
from tests.stands.handover import Systemd
from tests.stands.waiting import at_work, wait_until

pytestmark = pytest.mark.xdist_group("front")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    manager = Systemd(tmp_path)
    yield manager
    manager.close()


@contextmanager
def steady_callers(url: str, keep_alive: int, fresh: int) -> Iterator[list[str]]:
    """Callers that never try again: some keep their connection as long as it is offered, others never."""
    outcomes: list[str] = []
    host = url.removeprefix("http://")
    connections = [http.client.HTTPConnection(host, timeout=90) for _ in range(keep_alive + fresh)]

    def call(connection: http.client.HTTPConnection, keep: bool) -> None:
        try:
            connection.request("POST", "/invocations", body=b"sleep=0.02 score=5")
            response = connection.getresponse()
            response.read()
            outcomes.append(str(response.status))
        except OSError as error:
            outcomes.append(repr(error))
            keep = False
        if not keep:
            connection.close()
        time.sleep(0.01)

    try:
        with at_work(*(partial(call, one, n < keep_alive) for n, one in enumerate(connections))):
            yield outcomes
    finally:
        for connection in connections:
            connection.close()


def test_a_restart_under_load_fails_no_request(systemd: Systemd, endpoint_file: Path) -> None:
    serve: list[str | Path] = ["--endpoint-file", endpoint_file, "--drain-seconds", "1"]
    running = systemd.start(*serve)
    try:
        systemd.wait_told("READY=1")
        wait_until(lambda: httpx.get(f"{systemd.url}/ping").status_code == 200, "/ping to be 200", 120)
        with steady_callers(systemd.url, keep_alive=3, fresh=2) as outcomes:
            for _ in range(3):
                before = len(outcomes)
                wait_until(lambda: len(outcomes) > before + 20, "the load", 120)  # noqa: B023
                running.process.send_signal(signal.SIGTERM)
                systemd.wait_told("STOPPING=1")
                assert running.process.wait(90) == 0
                running.stop(0)
                assert "Traceback" not in systemd.log.read_text()
                running = systemd.start(*serve)
                systemd.wait_told("READY=1")
            before = len(outcomes)
            wait_until(lambda: len(outcomes) > before + 20, "the load", 120)
        assert set(outcomes) == {"200"}
    finally:
        running.stop(90)


def test_an_idle_connection_is_answered_during_the_drain_and_closed_at_its_end(
    systemd: Systemd, endpoint_file: Path
) -> None:
    running = systemd.start("--endpoint-file", endpoint_file, "--drain-seconds", "600")
    try:
        systemd.wait_told("READY=1")
        wait_until(lambda: httpx.get(f"{systemd.url}/ping").status_code == 200, "/ping to be 200", 120)
        idle = http.client.HTTPConnection(systemd.url.removeprefix("http://"), timeout=90)
        idle.request("GET", "/ping")
        assert idle.getresponse().read() == b'{"status":"ready"}'
        running.process.send_signal(signal.SIGTERM)
        systemd.wait_told("STOPPING=1")
        idle.request("POST", "/invocations", body=b"score=7")
        late = idle.getresponse()
        assert (late.status, late.headers["Connection"]) == (200, "close")
        late.read()
        # Nobody is left, so it does not wait for the rest of its time.
        assert running.process.wait(90) == 0
        idle.close()
    finally:
        running.stop(90)


def test_the_sockets_own_address_decides_whether_callers_must_say_who_they_are(
    tmp_path: Path, endpoint_file: Path
) -> None:
    everywhere = Systemd(tmp_path, "0.0.0.0")
    refused = everywhere.start("--endpoint-file", endpoint_file, "--host", "127.0.0.1")
    try:
        assert refused.process.wait(90) == 2
    finally:
        refused.stop(0)
        everywhere.close()
    assert "0.0.0.0 can be reached from elsewhere" in " ".join(everywhere.log.read_text().split())


def test_without_a_release_the_front_says_how_to_deploy_one(tmp_path: Path) -> None:
    path = write_endpoint(tmp_path / "endpoint.yml", [])
    with FrontProcess("--endpoint-file", path) as front:
        ping = httpx.get(f"{front.url}/ping")
        assert ping.status_code == 503
        assert "playbooks/deploy.yml -e release=X.Y.Z" in ping.json()["error"]["message"]
        refused = front.score(b"x")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert front.state()["variants"] == []
