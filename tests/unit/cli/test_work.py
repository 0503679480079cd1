"""`springboard work` beside a front: jobs are scored, reported and told; an edit counts; SIGTERM ends it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import yaml

from springboard.front.scheduling.dispatch import Scored
from springboard.front.scheduling.lane import Ticket
from springboard.jobs.local import LocalQueue
from springboard.system.processes import Child
from springboard.torchserve.client import Video
from tests.stands.cloud import environment
from tests.stands.scoring import scoring
from tests.stands.waiting import wait_until
from tests.unit.jobs.shop import job
from tests.unit.jobs.test_webhook import Receiver


def test_the_command_works_reports_tells_and_takes_edits_over(tmp_path: Path) -> None:
    jobs = {"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/queue"}
    endpoint, queue, receiver = tmp_path / "endpoint.yml", LocalQueue(tmp_path / "queue"), Receiver()
    endpoint.write_text(yaml.safe_dump({"variants": [], "async": jobs}))
    (tmp_path / "secret").write_text("not so secret here")

    def put(name: str) -> Path:
        place = tmp_path / "scores" / f"{name}.out"
        failure = f"{tmp_path}/scores/failures/{name}"
        queue.put(job(id=name, input="", body=b"a dive", output=str(place), failure=failure))
        return place

    with (
        environment(STATE_DIRECTORY=str(tmp_path)),
        receiver.running() as port,
        scoring(jobs=jobs) as model,
    ):
        model.front.why_not_ready = lambda: ""  # type: ignore[method-assign]
        command = [sys.executable, "-m", "springboard", "work", "--endpoint-file", str(endpoint)]
        work = subprocess.Popen([*command, "--front", model.url], env=os.environ, stderr=subprocess.PIPE)
        try:
            wait_until((first := put("first")).exists, "the first result", 60)
            hook = {
                "url": f"http://127.0.0.1:{port}/scores",
                "hosts": ["127.0.0.1"],
                "secret_file": f"{tmp_path}/secret",
                "networks": ["127.0.0.0/8"],
            }
            draft = endpoint.with_suffix(".new")
            draft.write_text(yaml.safe_dump({"variants": [], "async": {**jobs, "webhook": hook}}))
            draft.rename(endpoint)
            told = set[str]()

            def is_told() -> bool:  # by the worker that reads the new file; the old one may get some yet
                put(f"next {len(told)}")
                told.add(f"next {len(told)}")
                return bool(receiver.posted)

            wait_until(is_told, "the webhook's message", 60)
        finally:
            work.send_signal(signal.SIGTERM)
            said = work.communicate(timeout=60)[1].decode()
        assert work.returncode == 0, said
        assert json.loads(first.read_bytes())["score"] == 61.5
        assert json.loads(receiver.posted[0][2])["invocationStatus"] == "Completed"
        assert model.front.metrics.jobs.workers >= 1
        page = model.client.get("/metrics").text.splitlines()
        (count,) = (line for line in page if line.startswith('springboard_jobs_total{outcome="completed"}'))
        assert float(count.split()[-1]) >= 2
    queue.close()


def test_what_a_former_settings_worker_still_has_goes_back_at_the_end(tmp_path: Path) -> None:
    jobs = {"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/queue", "max_concurrent": 1}
    endpoint, queue, at_work = tmp_path / "endpoint.yml", LocalQueue(tmp_path / "queue"), threading.Event()
    endpoint.write_text(yaml.safe_dump({"variants": [], "async": jobs}))
    places = {name: tmp_path / "scores" / f"{name}.out" for name in ("held", "next")}

    def put(name: str) -> None:
        failure = f"{tmp_path}/scores/failures/{name}"
        queue.put(job(id=name, input="", body=name.encode(), output=str(places[name]), failure=failure))

    with environment(STATE_DIRECTORY=str(tmp_path)), scoring(jobs=jobs) as model:

        async def score(video: Video, ticket: Ticket) -> Scored:
            if video.body == b"held":
                at_work.set()
                await asyncio.sleep(3600)
            return await model.score(video, ticket)

        model.front.why_not_ready = lambda: ""  # type: ignore[method-assign]
        model.front.dispatcher.score = score  # type: ignore[method-assign]
        command = [sys.executable, "-m", "springboard", "work", "--endpoint-file", str(endpoint)]
        work = Child([*command, "--front", model.url, "--stop-within", "0"], env=os.environ)
        try:
            put("held")
            assert at_work.wait(60)
            draft = endpoint.with_suffix(".new")
            draft.write_text(yaml.safe_dump({"variants": [], "async": {**jobs, "max_attempts": 7}}))
            draft.rename(endpoint)
            put("next")  # the first has no room for it
            wait_until(places["next"].exists, "the other's result", 60)
            work.process.send_signal(signal.SIGTERM)
            assert work.process.wait(60) == 0
        finally:
            work.stop(0)
    assert (queue.backlog().waiting, queue.backlog().leased) == (1, 0)
    queue.close()
