"""Jobs on a host: its own queue, the worker's unit, a reboot while they are at work; and truth."""

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.hosts.harness import Hosts, Node
from tests.hosts.served import CLIP, Caller, Models, settings
from tests.stands.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ENDPOINT = "/endpoints/dive-scoring"
UNIT = "springboard-jobs.service"
JOBS = 30
SWITCHED_ON: dict[str, Any] = {
    "springboard_deploy_settings": {"async": {"output": "s3://scores/out"}, "truth": {}}
}


def results(s3: "S3Client") -> dict[str, str]:
    """When each result was written, and what it is."""
    found = s3.list_objects_v2(Bucket="scores", Prefix="out/heat-").get("Contents", [])
    return {one["Key"]: f"{one['LastModified']} {one['ETag']}" for one in found}


def more_than(count: int, s3: "S3Client") -> bool:
    return len(results(s3)) > count


def nothing_left(caller: Caller) -> bool:
    jobs = caller.client.get(ENDPOINT).json()["jobs"]
    return [jobs[where] for where in ("waiting", "at_work", "dead")] == [0, 0, 0]


def test_jobs_and_answers_outlive_a_reboot(
    serving: Callable[[str], tuple[Node, Caller]], hosts: Hosts, models: Models
) -> None:
    node, caller = serving("jobs")
    given: dict[str, Any] = {"springboard": [node], **settings(models)}
    for playbook in ("configure.yml", "deploy.yml"):
        play = hosts.play(playbook, release="1.0.0", **given, **SWITCHED_ON)
        assert play.ok, play.output
    again = hosts.play("configure.yml", **given, **SWITCHED_ON)
    assert (again.ok, again.count("changed")) == (True, 0), again.output

    named = {"X-Amzn-SageMaker-Inference-Id": "asked"}
    scored = caller.client.post("/invocations", content=CLIP.read_bytes(), headers=named).json()["score"]
    for number in range(JOBS):
        taken = caller.client.post(
            f"{ENDPOINT}/async-invocations",
            headers={
                "X-Amzn-SageMaker-InputLocation": "s3://dives/good.mp4",
                "X-Amzn-SageMaker-Inference-Id": f"heat-{number}",
            },
        )
        assert taken.status_code == 202, taken.text
    wait_until(partial(more_than, 2, models.client), "jobs to be at work", 120)
    node.reboot()
    before = results(models.client)
    assert len(before) < JOBS, "the reboot came too late to be met"
    caller.wait_serving()
    wait_until(partial(more_than, JOBS - 1, models.client), "every job's result", 300)

    after = results(models.client)
    assert after.items() >= before.items(), "a result was written twice"
    bodies = [models.client.get_object(Bucket="scores", Key=key)["Body"].read() for key in after]
    assert [json.loads(body)["score"] for body in bodies] == [scored] * JOBS
    wait_until(partial(nothing_left, caller), "the queue to be empty")
    truth = caller.client.post(f"{ENDPOINT}/truth", json={"inference_id": "asked", "score": scored - 2})
    assert truth.status_code == 200, truth.text
    assert truth.json()["matched"] == 1, truth.text

    play = hosts.play("configure.yml", **given)
    assert play.ok, play.output
    assert not node.succeeds("systemctl", "cat", UNIT)
