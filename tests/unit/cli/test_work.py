"""`springboard work` beside a front: jobs are scored, reported and told; an edit counts; SIGTERM ends it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from springboard.jobs.local import LocalQueue
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
