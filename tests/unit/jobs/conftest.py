"""What the jobs' tests share: AWS's services, and each kind of queue and of store."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from springboard.jobs.job import Job
from springboard.jobs.local import LocalQueue
from springboard.jobs.queue import JobQueue
from springboard.jobs.sqs import SqsQueue
from tests.stands.cloud import Cloud, cloud, environment

Open = Callable[[float], JobQueue]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def aws() -> Iterator[Cloud]:
    with cloud() as one:
        yield one


@pytest.fixture(params=["local", "sqs", "fifo"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens one and the same queue, with leases of so many seconds, as often as it is called."""
    made: list[LocalQueue | SqsQueue] = []

    def keep(queue: LocalQueue | SqsQueue) -> JobQueue:
        made.append(queue)
        return queue

    if request.param == "local":
        yield lambda lease: keep(LocalQueue(tmp_path / "queue", lease))
    else:
        aws: Cloud = request.getfixturevalue("aws")
        url, _ = aws.queue(fifo=request.param == "fifo")
        with environment(**aws.environment):
            yield lambda lease: keep(SqsQueue(url, lease))
    for queue in made:
        queue.close()


@pytest.fixture
def queue(opened: Open) -> JobQueue:
    """One with leases that outlast a test."""
    return opened(60)


def job(**more: Any) -> Job:
    """A job of its own."""
    number = next(_numbers)
    said = {
        "id": f"dive {number}/ä",
        "endpoint": "dive-scoring",
        "input": f"s3://dives/{number}.mp4",
        "received": time.time(),
        "expires": time.time() + 600,
        "timeout": 60,
        "output": f"s3://scores/{number}.out",
        "failure": f"s3://scores/failures/{number}-error.out",
    }
    return Job.model_validate(said | more)
