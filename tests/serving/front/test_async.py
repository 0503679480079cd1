"""Asynchronous requests from door to door: front, worker and TorchServe as `springboard serve` runs them."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from springboard.jobs.local import LocalQueue
from tests.serving.front.conftest import Stage
from tests.stands.front import FrontProcess, steady_load, write_endpoint
from tests.stands.seaweedfs import ObjectStore
from tests.stands.waiting import wait_until

PATH = "/endpoints/dive-scoring/async-invocations"


@dataclass
class Works:
    """A front with its own worker: results in `folder`/scores."""

    front: FrontProcess
    folder: Path

    def send(self, body: bytes = b"", **headers: str) -> Path:
        """Hand a job in; return where its result will be."""
        named = {f"X-Amzn-SageMaker-{name.replace('_', '-')}": value for name, value in headers.items()}
        response = httpx.post(f"{self.front.url}{PATH}", content=body, headers=named, timeout=30)
        assert response.status_code == 202, response.text
        return Path(response.headers["X-Amzn-SageMaker-OutputLocation"].removeprefix("file://"))

    def failed(self, **headers: str) -> tuple[str, str]:
        """Hand a job in that fails; return the error's code and message."""
        place = self.send(b"", **headers)
        failure = place.parent / "failures" / f"{place.stem}-error.out"
        wait_until(failure.exists, "the failure")
        error = json.loads(failure.read_bytes())["error"]
        assert not place.exists()
        return error["code"], error["message"]

    def worker(self) -> psutil.Process | None:
        """The worker's process."""
        for child in psutil.Process(self.front.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if "work" in child.cmdline():
                    return child
        return None

    def kill_worker(self) -> int:
        """Kill it without a warning once there is one; return whose turn that was."""
        wait_until(lambda: self.worker() is not None, "the worker")
        worker = self.worker()
        assert worker
        worker.send_signal(signal.SIGKILL)
        return int(worker.pid)


@pytest.fixture(scope="module")
def works(
    stage: Stage, object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Works]:
    folder = tmp_path_factory.mktemp("works")
    settings: dict[str, Any] = {
        "output": f"{folder}/scores",
        "queue": f"{folder}/queue",
        "lease_seconds": 1.5,
        "max_attempts": 20,
    }
    endpoint = write_endpoint(
        folder / "endpoint.yml",
        [("stable", stage.stable, 1)],
        allowed_buckets=["dives", "secret"],
        limits={"max_object_bytes": 100_000},
        **{"async": settings},
    )
    environment = {**object_store.environment, "STATE_DIRECTORY": str(folder)}
    with FrontProcess("--endpoint-file", endpoint, environment=environment) as front:
        yield Works(front.wait_ready(), folder)


def test_a_video_in_s3_is_scored_and_one_that_cannot_be_had_is_told_as_in_real_time(
    works: Works, object_store: ObjectStore
) -> None:
    client = object_store.client
    client.put_object(Bucket="dives", Key="async/good", Body=b"score=71.5")
    client.put_object(Bucket="dives", Key="async/large", Body=bytes(100_001))
    client.put_object(Bucket="dives", Key="async/none", Body=b"status=422 code=not_a_dive")
    client.put_object(Bucket="secret", Key="async/denied", Body=b"score=1")
    result = works.send(InputLocation="s3://dives/async/good")
    wait_until(result.exists, "the result")
    assert json.loads(result.read_bytes())["score"] == 71.5
    for place, code in (
        ("dives/async/absent", "object_not_found"),
        ("dives/async/large", "limit_exceeded"),
        ("dives/async/none", "not_a_dive"),
        ("secret/async/denied", "access_denied"),
    ):
        found, message = works.failed(InputLocation=f"s3://{place}")
        real_time = works.front.score(json.dumps({"s3_uri": f"s3://{place}"}).encode()).json()["error"]
        assert (found, message) == (code, real_time["message"])


def test_work_that_takes_longer_than_its_time_fails(works: Works) -> None:
    place = works.send(b"sleep=3", InvocationTimeoutSeconds="1")
    failure = place.parent / "failures" / f"{place.stem}-error.out"
    wait_until(failure.exists, "the failure")
    assert json.loads(failure.read_bytes())["error"]["code"] == "deadline_exceeded"


def test_each_job_has_one_result_whoever_is_killed_while_others_are_answered(works: Works) -> None:
    jobs, killed = dict[Path, int](), set[int]()
    with steady_load(works.front.url, b"sleep=0.01", clients=1) as statuses:
        for part in range(4):
            jobs |= {
                works.send(b"score=%d sleep=0.02 number=%d" % (n % 90, n)): n
                for n in range(40 * part, 40 + 40 * part)
            }
            if part:
                killed.add(works.kill_worker())
        wait_until(lambda: all(place.exists() for place in jobs), "all results", 90)
    assert len(killed) == 3
    assert statuses
    assert set(statuses) == {200}
    assert {place: json.loads(place.read_bytes())["score"] for place in jobs} == {
        place: n % 90 for place, n in jobs.items()
    }
    queue = LocalQueue(works.folder / "queue")
    wait_until(lambda: queue.backlog().waiting + queue.backlog().leased == 0, "the queue to be empty")
    assert queue.backlog().dead == 0
    queue.close()
    left = {path.name for path in (works.folder / "scores").iterdir() if path.suffix != ".out"}
    assert left <= {".jobs", "failures"}


def test_jobs_handed_in_before_a_front_is_killed_are_done_by_the_next(stage: Stage, tmp_path: Path) -> None:
    settings = {"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/queue", "lease_seconds": 1.0}
    endpoint = write_endpoint(tmp_path / "endpoint.yml", [("stable", stage.stable, 1)], **{"async": settings})
    environment = {"STATE_DIRECTORY": str(tmp_path)}
    (hold := tmp_path / "hold").touch()
    with FrontProcess("--endpoint-file", endpoint, environment=environment) as front:
        works = Works(front.wait_ready(), tmp_path)
        places = [works.send(f"hold={hold} score={n}".encode()) for n in range(20)]
        os.kill(front.process.pid, signal.SIGKILL)
        front.process.wait()
    assert not any(place.exists() for place in places)
    hold.unlink()
    with FrontProcess("--endpoint-file", endpoint, environment=environment) as front:
        wait_until(lambda: all(place.exists() for place in places), "all results")
        assert [json.loads(place.read_bytes())["score"] for place in places] == list(range(20))


def test_async_is_switched_on_and_off_while_the_front_runs(stage: Stage, tmp_path: Path) -> None:
    variants = [("stable", stage.stable, 1)]
    endpoint = write_endpoint(tmp_path / "endpoint.yml", variants)
    environment = {"STATE_DIRECTORY": str(tmp_path)}
    with FrontProcess("--endpoint-file", endpoint, environment=environment) as front:
        works = Works(front.wait_ready(), tmp_path)
        assert works.worker() is None
        assert httpx.post(f"{front.url}{PATH}", content=b"score=1").status_code == 400
        write_endpoint(endpoint, variants, **{"async": {"output": f"{tmp_path}/scores"}})
        wait_until(lambda: httpx.post(f"{front.url}{PATH}", content=b"score=1").status_code == 202, "async")
        wait_until(lambda: any((tmp_path / "scores").glob("*.out")), "a result")
        assert (tmp_path / "jobs" / "dive-scoring").is_dir()
        write_endpoint(endpoint, variants)
        wait_until(
            lambda: httpx.post(f"{front.url}{PATH}", content=b"score=1").status_code == 400, "no async"
        )
