"""A folder with a queue and results, and workers before fronts that say what a test wants."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from springboard.endpoint.asynchronous import Async
from springboard.jobs.asking import Answer, Asking
from springboard.jobs.job import Job
from springboard.jobs.local import LocalQueue
from springboard.jobs.store import Store, StoreAway
from springboard.jobs.worker import Worker
from tests.stands.scoring import Scoring
from tests.stands.waiting import wait_until

Pause = Callable[[float], bool]
_numbers = itertools.count()


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


class Ready(Asking):
    """Asks a front that is ready whatever /ping says: the stand's has no workers."""

    def ready(self) -> bool:
        return True


class Said(Ready):
    """Answers as told, without any front."""

    def __init__(self, answers: Callable[[Job], Answer]) -> None:
        super().__init__("http://127.0.0.1:1", "", (), lambda _: False)
        self._answers = answers
        self.asked: list[str] = []

    def score(self, job: Job) -> Answer:
        self.asked.append(job.id)
        return self._answers(job)


class Flaky(Store):
    """Refuses the first writes."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def put_new(self, place: str, content: bytes, media_type: str = "application/json") -> bool:
        self.times -= 1
        if self.times >= 0:
            raise StoreAway(f"{place} is away")
        return super().put_new(place, content, media_type)


@dataclass
class Shop:
    """A folder with a queue and results."""

    folder: Path
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queue = LocalQueue(self.folder / "queue", self.more.get("lease_seconds", 30.0))

    @property
    def settings(self) -> Async:
        return Async.model_validate({"output": f"{self.folder}/scores", **self.more})

    def job(self, **more: Any) -> Job:
        name = more.get("id", "one")
        places = {
            "output": f"{self.folder}/scores/{name}.out",
            "failure": f"{self.folder}/failures/{name}-error.out",
        }
        return job(**{"id": name, "input": "", "body": b"score=1", **places, **more})

    def put(self, **more: Any) -> Job:
        made = self.job(**more)
        self.queue.put(made)
        return made

    @contextmanager
    def working(self, asking: Callable[[Pause], Asking], store: Store | None = None) -> Iterator[Worker]:
        worker = Worker(self.settings, "dive-scoring", self.queue, asking, store)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(10)

    def wait_empty(self) -> None:
        wait_until(lambda: (b := self.queue.backlog()).waiting + b.leased == 0, "the queue to be empty")


def asking(model: Scoring, *inputs: Path) -> Callable[[Pause], Asking]:
    return lambda pause: Ready(model.url, "", tuple(map(str, inputs)), pause)


def scored(_: Job) -> Answer:
    return Answer(b'{"score": 50}')


def error_in(path: str) -> dict[str, str]:
    error: dict[str, str] = json.loads(Path(path).read_bytes())["error"]
    return error


def dive_or_not(job: Job) -> Answer:
    """Score what is not called bad."""
    if "bad" in job.input:
        return Answer.failure("not_a_dive", "This is no dive.")
    return Answer(json.dumps({"score": 50, "of": job.input}).encode())


def lines(store: Store, root: str, kind: str) -> list[dict[str, Any]]:
    """What a batch wrote of a kind: `part` or `failures`."""
    names = sorted(name for name in store.names(root, ".jsonl") if name.startswith(kind))
    return [json.loads(line) for name in names for line in (store.get(f"{root}/{name}") or b"").splitlines()]
