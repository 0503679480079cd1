"""Asynchronous requests under faults: each object has exactly one result, none is lost or left on the queue.

`python -m bench.jobs [local|sqs] [JOBS] [FAULT...]` hands videos in by HTTP while things go wrong, by default
all: `worker`, killed every five seconds; beside it, in turns, `front` and `torchserve`, killed, `queue_away`,
out of reach for 20 s, and `store`, which refuses each write for 20 s. S3 is SeaweedFS, SQS moto's, TorchServe
the real one with a model that answers at once. Fails where a video has no result, another's or one that
changed, or is still on the queue.
"""

import itertools
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from bench.jobs_stage import ENDPOINT, Stage, stage

FAULTS = ("worker", "front", "queue_away", "torchserve", "store")
KILL_EVERY_SECONDS, REST_SECONDS, MOST_SECONDS = 5.0, 8.0, 1500.0
# No more are handed in and not done: moto looks at every message for each claim.
_AHEAD = 100
_CALLERS = 4


def main(kind: str = "local", count: str = "2000", *faults: str) -> None:
    """Run it and print what came of it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name, stage(kind, Path(name), max_attempts=100) as one:
        run = Run(one, int(count))
        seconds = run.through(faults or FAULTS)
        wrong, left = run.wrong(), run.left()
    happened = ", ".join(f"{fault} {times}" for fault, times in one.happened.items())
    print(
        f"{kind}: {count} jobs, {happened or 'no faults'}, {seconds:.0f} s, {len(run.results)} results, "
        f"{len(wrong)} wrong {wrong[:3]}, {run.refused} times handed in again, {left} left on the queue"
    )
    if wrong or left or len(run.results) != int(count):
        sys.exit(1)


class Run:
    """Videos from the bucket to their results."""

    def __init__(self, one: Stage, count: int) -> None:
        """Put `count` videos, no two of the same score, into the bucket."""
        self._stage = one
        self._count = count
        self._handed = itertools.count()
        self.results: dict[str, str] = {}
        self.changed: list[str] = []
        self.refused = 0
        self._over = threading.Event()
        for number in range(count):
            one.s3.put_object(Bucket="dives", Key=f"{number}.mp4", Body=b"score=%d" % number)

    def through(self, faults: Sequence[str]) -> float:
        """Have them scored while faults happen; return how long that took, in seconds."""
        began = time.monotonic()
        threads = [threading.Thread(target=self._hand_in) for _ in range(_CALLERS)]
        if "worker" in faults:
            threads.append(threading.Thread(target=self._kill_workers))
        if others := [fault for fault in faults if fault != "worker"]:
            threads.append(threading.Thread(target=self._happen, args=(others,)))
        for thread in threads:
            thread.start()
        try:
            while len(self.results) < self._count and time.monotonic() < began + MOST_SECONDS:
                self._look()
                time.sleep(1)
            return time.monotonic() - began
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def wrong(self) -> list[str]:
        """Return results that are missing, another's, or changed after they were written; and failures."""
        self._look()
        names = {f"job-{number}.out" for number in range(self._count)}
        found = [*(names ^ self.results.keys()), *self.changed]
        for name in names & self.results.keys():
            told = self._stage.s3.get_object(Bucket="scores", Key=f"out/{name}")["Body"].read()
            if json.loads(told).get("score") != float(name[4:-4]):
                found.append(name)
        return found

    def left(self) -> int:
        """Return what waits, is leased or is dead once the worker had time to forget what is done."""
        end = time.monotonic() + 60
        while True:
            backlog = self._stage.queue.backlog()
            left = backlog.waiting + backlog.leased + backlog.dead
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.5)

    def _hand_in(self) -> None:
        path = f"{self._stage.url}/endpoints/{ENDPOINT}/async-invocations"
        with httpx.Client(timeout=30, trust_env=False) as client:
            while (number := next(self._handed)) < self._count:
                said = {
                    "X-Amzn-SageMaker-InputLocation": f"s3://dives/{number}.mp4",
                    "X-Amzn-SageMaker-Inference-Id": f"job-{number}",
                }
                while not self._over.is_set():
                    if number - len(self.results) < _AHEAD and self._taken(client, path, said):
                        break
                    self._over.wait(0.5)

    def _taken(self, client: httpx.Client, path: str, said: dict[str, str]) -> bool:
        try:
            answer = client.post(path, headers=said)
        except httpx.HTTPError:
            self.refused += 1
            return False
        assert answer.status_code in (202, 503), answer.text
        self.refused += answer.status_code == 503
        return answer.status_code == 202

    def _kill_workers(self) -> None:
        while not self._over.wait(KILL_EVERY_SECONDS):
            self._stage.happen("worker")

    def _happen(self, faults: Sequence[str]) -> None:
        for fault in itertools.cycle(faults):
            if self._over.wait(REST_SECONDS):
                return
            self._stage.happen(fault)

    def _look(self) -> None:
        pages = self._stage.s3.get_paginator("list_objects_v2").paginate(Bucket="scores", Prefix="out/job-")
        for one in (one for page in pages for one in page.get("Contents", [])):
            name, mark = one["Key"].removeprefix("out/"), f"{one['ETag']} {one['LastModified']}"
            if self.results.setdefault(name, mark) != mark:
                self.changed.append(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
