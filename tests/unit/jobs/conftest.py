"""What the jobs' tests share: AWS's services, and each kind of queue and of store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from springboard.jobs import batch
from springboard.jobs.local import LocalQueue
from springboard.jobs.queue import JobQueue
from springboard.jobs.sqs import SqsQueue
from tests.stands.cloud import Cloud, cloud, environment
from tests.unit.jobs.shop import Shop

Open = Callable[[float], JobQueue]


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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches look often."""
    monkeypatch.setattr(batch, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(batch, "_AWAY_SECONDS", 0.02)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    one = Shop(tmp_path)
    yield one
    one.queue.close()
