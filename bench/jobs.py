"""Asynchronous requests under `kill -9` of their worker: each job has one result, none is left behind.

`python -m bench.jobs [local|sqs] [JOBS]` puts jobs on a queue, has `springboard work` do them and kills
that every few seconds. The front is ours, the model a function: this is of the queue, the worker and
the results alone. SQS is moto's. Fails where a job has no result, or is still on the queue.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import yaml

from springboard.endpoint.asynchronous import Async
from springboard.jobs.desk import Desk
from springboard.jobs.job import Job
from springboard.jobs.opening import open_queue
from tests.stands.cloud import cloud, environment
from tests.stands.scoring import scoring

KILL_EVERY_SECONDS, LEASE_SECONDS, MOST_SECONDS = 5.0, 2.0, 240.0


def main(kind: str = "local", count: str = "2000") -> None:
    """Run it and print what came of it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with ExitStack() as run:
        folder = Path(run.enter_context(tempfile.TemporaryDirectory()))
        queue = f"{folder}/queue"
        if kind == "sqs":
            aws = run.enter_context(cloud())
            run.enter_context(environment(**aws.environment))
            queue, _ = aws.queue()
        run.enter_context(environment(STATE_DIRECTORY=str(folder)))
        settings = {
            "output": f"{folder}/scores",
            "queue": queue,
            "lease_seconds": LEASE_SECONDS,
            "max_attempts": 100,
        }
        model = run.enter_context(scoring(jobs=settings))
        model.front.why_not_ready = lambda: ""  # type: ignore[method-assign] # there is no TorchServe
        (folder / "endpoint.yml").write_text(yaml.safe_dump({"variants": [], "async": settings}))
        wanted = _hand_in(Async.model_validate(settings), int(count))
        began, kills = time.monotonic(), 0
        command = [sys.executable, "-m", "springboard", "work", "--endpoint-file", f"{folder}/endpoint.yml"]
        while any(not place.exists() for place in wanted) and time.monotonic() < began + MOST_SECONDS:
            work = subprocess.Popen(
                [*command, "--front", model.url], env=os.environ, stderr=subprocess.DEVNULL
            )
            end = time.monotonic() + KILL_EVERY_SECONDS
            while time.monotonic() < end and any(not place.exists() for place in wanted):
                time.sleep(0.2)
            work.send_signal(signal.SIGKILL)
            work.wait()
            kills += 1
        seconds = time.monotonic() - began
        missing = sum(not place.exists() for place in wanted)
        left = _drain(command, model.url, Async.model_validate(settings))
        results = sum(1 for place in (folder / "scores").glob("*.out"))
        print(
            f"{kind}: {len(wanted)} jobs, {kills} kills, {seconds:.0f} s, {results} results, "
            f"{missing} missing, {len(model.videos) - len(wanted)} scored again, {left} left on the queue"
        )
        if missing or left or results != len(wanted):
            sys.exit(1)


def _hand_in(settings: Async, count: int) -> list[Path]:
    desk, places, now = Desk(settings, "dive-scoring"), list[Path](), time.time()
    for number in range(count):
        output, failure = desk.place(f"job-{number}")
        desk.accept(
            Job(
                id=f"job-{number}",
                endpoint="dive-scoring",
                input="",
                body=b"a dive",
                content_type="",
                accept="",
                received=now,
                expires=now + 3600,
                timeout=60,
                output=output,
                failure=failure,
            )
        )
        places.append(Path(output))
    return places


def _drain(command: list[str], url: str, settings: Async) -> int:
    """Let a worker do what is left, and return what then waits, is leased or is dead."""
    queue, end = open_queue(settings, "dive-scoring"), time.monotonic() + 30
    work = subprocess.Popen([*command, "--front", url], env=os.environ, stderr=subprocess.DEVNULL)
    try:
        while time.monotonic() < end:
            backlog = queue.backlog()
            if not (left := backlog.waiting + backlog.leased + backlog.dead):
                break
            time.sleep(0.5)
    finally:
        work.terminate()
        work.wait()
        queue.close()
    return left


if __name__ == "__main__":
    main(*sys.argv[1:])
