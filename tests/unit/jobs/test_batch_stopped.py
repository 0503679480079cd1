"""`springboard batch` as a process that is stopped however one stops a process, and started again."""

import json
import os
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest

from springboard.jobs.asking import Answer
from springboard.jobs.job import Job
from tests.stands.front import SPRINGBOARD
from tests.stands.waiting import wait_until
from tests.unit.jobs.shop import Said, Shop

COUNT = 60


class Paced(Said):
    """Scores no more than it was let; knows what it scored."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.scored: Counter[str] = Counter()
        self._turns = threading.Semaphore(0)

    def let(self, more: int) -> None:
        for _ in range(more):
            self._turns.release()

    def _answer(self, job: Job) -> Answer:
        self._turns.acquire()
        self.scored[job.input] += 1
        return Answer(json.dumps({"of": job.input}).encode())


@pytest.fixture
def videos(tmp_path: Path) -> list[str]:
    """So many in a folder, which an endpoint's worker may read."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:02}.mp4").write_bytes(b"a dive")
    (tmp_path / "endpoint.yml").write_text(
        f"variants: []\nasync: {{output: {tmp_path}/scores, queue: {tmp_path}/queue, inputs: [{folder}]}}\n"
    )
    return [f"file://{folder}/{number:02}.mp4" for number in range(COUNT)]


def _start(folder: Path) -> subprocess.Popen[str]:
    command = [SPRINGBOARD, "batch", folder / "in", folder / "out", "--at-once", "20"]
    return subprocess.Popen(
        [*map(str, command), "--endpoint-file", f"{folder}/endpoint.yml"],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_batch_that_is_stopped_and_killed_goes_on_and_has_each_result_once(
    shop: Shop, videos: list[str]
) -> None:
    paced, codes = Paced(), list[int]()
    with shop.working(lambda _: paced):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            before = paced.scored.total()
            paced.let(15)
            with _start(shop.folder) as command:
                wait_until(lambda seen=before: paced.scored.total() == seen + 15, "15 more")  # type: ignore[misc]
                command.send_signal(number)
                codes.append(command.wait(60))
        paced.let(COUNT)
        with _start(shop.folder) as command:
            said, complaint = command.communicate(timeout=60)
        shop.wait_empty()
    assert codes == [130, -signal.SIGKILL, 130]
    assert (command.returncode, json.loads(said)["scored"]) == (0, COUNT), complaint
    lines = [
        json.loads(line) for line in (shop.folder / "out" / "part-000000.jsonl").read_text().splitlines()
    ]
    assert sorted((line["input"], line["of"]) for line in lines) == [(one, one) for one in videos]
    # Whoever is killed knows not what is on the queue, and puts it again: one look, no second score.
    assert paced.scored == Counter(videos)
