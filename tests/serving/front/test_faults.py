"""What breaks, and what callers see of it: nothing, or an answer that says what to do."""

import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from springboard.torchserve.management import NO_WORKERS
from springboard.torchserve.process import TorchServe
from tests.stands.front import FrontProcess, steady_load, write_endpoint
from tests.stands.release import build_puppet
from tests.stands.waiting import wait_until

pytestmark = pytest.mark.xdist_group("faults")

WORK = b"score=50 sleep=0.02 " + b"x" * 10_000


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServe]:
    """Two workers whom nobody spares."""
    with TorchServe(build_puppet(tmp_path_factory.mktemp("victim"), workers=2)) as server:
        yield server


@pytest.fixture(scope="module")
def front(victim: TorchServe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontProcess]:
    """Small limits, so that tests reach them."""
    limits = {
        "queue_requests": 6,
        "deadline_seconds": 20,
        "upload_idle_seconds": 3,
        "s3_concurrency": 4,
    }
    path = tmp_path_factory.mktemp("endpoint") / "endpoint.yml"
    write_endpoint(path, [("only", victim, 1)], limits=limits, allowed_buckets=["stalled"])
    with _black_hole() as s3:
        environment = {
            "AWS_ENDPOINT_URL_S3": s3,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": "us-east-1",
        }
        with FrontProcess("--endpoint-file", path, environment=environment) as process:
            yield process.wait_ready()


class _black_hole:  # noqa: N801 - reads as a function
    """An address that accepts connections and never answers."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def address_of(front: FrontProcess) -> tuple[str, int]:
    url = urlsplit(front.url)
    return url.hostname or "", url.port or 0


def ready_workers(server: TorchServe) -> list[int]:
    return list((server.workers() or NO_WORKERS).ready)


def all_ready(front: FrontProcess, count: int = 2) -> None:
    wait_until(lambda: front.metric("springboard_workers_ready") == count, "all workers to be ready")


def test_killing_a_worker_every_five_seconds_for_a_minute_costs_nobody_an_answer(
    front: FrontProcess, victim: TorchServe
) -> None:
    kills = 0

    def died() -> float:
        return front.metric("springboard_attempts_total", outcome="worker_died")

    with steady_load(front.url, WORK) as statuses:
        # Some have nothing to do in the moment of their death.
        while kills < 10 or (kills < 40 and not died()):
            time.sleep(5)
            wait_until(lambda: bool(ready_workers(victim)), "a worker to kill")
            if workers := ready_workers(victim):
                with suppress(ProcessLookupError):  # TorchServe learns of a death a moment later
                    os.kill(random.choice(workers), signal.SIGKILL)
                    kills += 1
    assert Counter(statuses) == {200: len(statuses)}
    assert died() > 0
    all_ready(front)


def test_a_body_that_kills_three_workers_is_refused_and_remembered_and_others_are_served(
    front: FrontProcess,
) -> None:
    poison = b"die now"
    with steady_load(front.url, WORK, clients=2) as statuses:
        response = front.score(poison)
        assert response.status_code == 424
        assert response.json()["error"]["code"] == "kills_workers"
        died = front.metric("springboard_attempts_total", outcome="worker_died")
        assert front.score(poison).status_code == 424
        assert front.metric("springboard_attempts_total", outcome="worker_died") == died
    assert Counter(statuses) == {200: len(statuses)}
    all_ready(front)


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(front: FrontProcess, tmp_path: Path) -> None:
    (hold := tmp_path / "hold").touch()
    with ThreadPoolExecutor(12) as threads:
        calls = [threads.submit(front.score, f"hold={hold} score={n}".encode()) for n in range(12)]
        wait_until(lambda: sum(call.done() for call in calls) >= 6, "six to be refused")
        hold.unlink()
        responses = [call.result() for call in calls]
    statuses = Counter(response.status_code for response in responses)
    assert statuses == {200: 6, 429: 6}
    refused = next(response for response in responses if response.status_code == 429)
    assert refused.headers["retry-after"]
    assert "queue_requests" in refused.json()["error"]["message"]


def test_a_client_that_goes_away_leaves_the_queue_and_torchserve_never_holds_too_much(
    front: FrontProcess, tmp_path: Path
) -> None:
    (hold := tmp_path / "hold").touch()
    with ThreadPoolExecutor(2) as threads:
        slow = [threads.submit(front.score, f"hold={hold} score={n}".encode()) for n in range(2)]
        wait_until(lambda: front.metric("springboard_in_flight") == 2, "both workers to be busy")
        with socket.create_connection(address_of(front)) as leaving:
            leaving.sendall(b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\ngone")
            wait_until(lambda: front.metric("springboard_queued") == 1, "the client to wait")
        wait_until(lambda: front.metric("springboard_queued") == 0, "the client to be noticed gone")
        # A client that leaves while its video is at work keeps its turn until TorchServe lets go of it.
        assert front.metric("springboard_in_flight") == 2
        hold.unlink()
        assert [future.result().status_code for future in slow] == [200, 200]
    assert front.metric("springboard_requests_total", status="499") >= 1
    wait_until(lambda: front.metric("springboard_held_requests") == 0, "everything to be given back")


def test_work_past_the_deadline_is_504_and_keeps_its_turn(front: FrontProcess) -> None:
    # Longer than the deadline, and than TorchServe's responseTimeout of 20 s together with a retry.
    response = front.score(b"sleep=19.9 raise")
    assert response.status_code == 504, response.text
    assert response.json()["error"]["code"] == "deadline_exceeded"
    all_ready(front)


def test_idle_and_slow_connections_disturb_nobody(front: FrontProcess) -> None:
    opened = [socket.create_connection(address_of(front)) for _ in range(200)]
    try:
        for slow in opened[100:]:
            slow.sendall(
                b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"
                + b"x" * 9000
            )
        assert httpx.get(f"{front.url}/ping").status_code == 200
        assert front.score(WORK).status_code == 200
        # Whoever stalls is told so, and holds nothing any more.
        opened[150].settimeout(60)
        assert opened[150].recv(4096).startswith(b"HTTP/1.1 408")
        wait_until(lambda: front.metric("springboard_held_bytes") == 0, "their bytes to be given back")
    finally:
        for connection in opened:
            connection.close()


def test_a_stalled_s3_delays_only_who_asked_for_it(front: FrontProcess) -> None:
    pointer = b'{"s3_uri": "s3://stalled/dive.mp4"}'
    with ThreadPoolExecutor(4) as threads:
        stalled = [threads.submit(front.score, pointer) for _ in range(4)]
        wait_until(lambda: front.metric("springboard_held_requests") == 4, "the downloads to hang")
        for _ in range(10):
            assert front.score(WORK).status_code == 200
        assert not any(future.done() for future in stalled)
        for future in stalled:
            assert future.result().status_code == 502
            assert "s3://stalled/dive.mp4" in future.result().json()["error"]["message"]


def test_sigterm_under_load_answers_everything_accepted_and_tells_balancers(
    victim: TorchServe, tmp_path: Path
) -> None:
    path = write_endpoint(tmp_path / "endpoint.yml", [("only", victim, 1)])
    (hold := tmp_path / "hold").touch()
    with FrontProcess("--endpoint-file", path, "--drain-seconds", "3") as front:
        front.wait_ready()
        long = f"{front.url}/endpoints/dive-scoring/requests/long"
        with steady_load(front.url, b"sleep=0.3 score=9") as statuses, ThreadPoolExecutor(1) as threads:
            wait_until(lambda: len(statuses) >= 8, "the load")
            body = f"sleep=6 hold={hold} score=8".encode()  # longer than the lead time
            running = threads.submit(front.score, body, X_Amzn_SageMaker_Inference_Id="long")
            wait_until(lambda: httpx.get(long).json()["state"] != "absent", "the long one to be in")
            front.process.send_signal(signal.SIGTERM)
            wait_until(lambda: httpx.get(f"{front.url}/ping").status_code == 503, "/ping to be 503")
            late = front.score(WORK)
            assert (late.status_code, late.json()["error"]["code"]) == (503, "draining")
            assert late.headers["connection"] == "close"
            hold.unlink()
            assert running.result().json()["score"] == 8
            assert front.process.wait(30) == 0
            during = list(statuses)
        # What was accepted before is 200, what came in the lead time 503; only then the port closes.
        assert set(during[: during.index(503)]) == {200}
        answered = [status for status in during if status]
        assert set(answered) == {200, 503}


def test_a_second_signal_stops_at_once(victim: TorchServe, tmp_path: Path) -> None:
    path = write_endpoint(tmp_path / "endpoint.yml", [("only", victim, 1)])
    with FrontProcess("--endpoint-file", path, "--drain-seconds", "300") as front:
        front.wait_ready()
        front.process.send_signal(signal.SIGTERM)
        wait_until(lambda: any("draining" in line for line in front.log), "the drain")
        assert front.process.poll() is None
        front.process.send_signal(signal.SIGTERM)
        assert front.process.wait(30) == 1


def test_a_drain_that_takes_longer_than_allowed_ends(victim: TorchServe, tmp_path: Path) -> None:
    """As engines of containers kill what has not ended in time."""
    path = write_endpoint(tmp_path / "endpoint.yml", [("only", victim, 1)])
    with FrontProcess("--endpoint-file", path, "--drain-seconds", "300", "--stop-within", "1") as front:
        front.wait_ready()
        front.process.send_signal(signal.SIGTERM)
        assert front.process.wait(30) == 1
        wait_until(lambda: any("not drained within 1 s" in line for line in front.log), "its last word")


def test_a_killed_torchserve_is_brought_back_and_nothing_is_left_behind_at_the_end(tmp_path: Path) -> None:
    archive = build_puppet(tmp_path)
    with FrontProcess("--archive", archive) as front:
        front.wait_ready()
        java = _java_of(front)
        assert java
        with steady_load(front.url, WORK, clients=2) as statuses:
            wait_until(lambda: len(statuses) > 5, "the load")
            java.kill()
            # How the attempts end that meet the loss is chance: refused, cut off, or told by a worker's end.
            wait_until(lambda: _java_of(front) not in (java, None), "another TorchServe")
            lost = len(statuses)
            wait_until(lambda: len(statuses) > lost + 5, "answers again")
        assert Counter(statuses) == {200: len(statuses)}
        java = _java_of(front)
        assert java
        group = os.getpgid(java.pid)
        front.process.send_signal(signal.SIGTERM)
        front.process.send_signal(signal.SIGINT)
        assert front.process.wait(60) == 1
    wait_until(lambda: not _group_lives(group), "TorchServe and its workers to be gone")


def test_a_worker_that_hangs_is_replaced_and_its_request_answered(tmp_path: Path) -> None:
    """As a decode does that never returns from FFmpeg: only TorchServe's responseTimeout ends it."""
    marker = tmp_path / "hang"
    marker.touch()
    with TorchServe(build_puppet(tmp_path, timeout_s=2)) as torchserve:
        path = write_endpoint(tmp_path / "endpoint.yml", [("only", torchserve, 1)])
        with FrontProcess("--endpoint-file", path) as front:
            front.wait_ready()
            answer = front.score(f"hang={marker} score=77".encode())
            assert (answer.status_code, answer.json()["score"]) == (200, 77)
            assert not marker.exists()
            assert front.metric("springboard_attempts_total", outcome="worker_died") == 1
            assert front.metric("springboard_attempts_total", outcome="answered") == 1


def _java_of(front: FrontProcess) -> psutil.Process | None:
    """Return the JVM below a front; None while there is none."""
    for child in psutil.Process(front.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if child.name() == "java":
                return child
    return None


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
