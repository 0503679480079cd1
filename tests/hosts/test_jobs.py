"""Jobs on a host: its own queue, the worker's unit, a reboot while they are at work; and truth."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.hosts.harness import Hosts, Node
from tests.hosts.jobs import ENDPOINT, hand_in, nothing_left, results, scores
from tests.hosts.served import CLIP, Caller, Models, settings
from tests.stands.waiting import wait_until

UNIT = "springboard-jobs.service"
JOBS = 30
SWITCHED_ON: dict[str, Any] = {
    "springboard_deploy_settings": {"async": {"output": "s3://scores/out"}, "truth": {}}
}


def more_than(count: int, models: Models) -> bool:
    return len(results(models.client, "out")) > count


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
        hand_in(caller.client, f"heat-{number}")
    wait_until(partial(more_than, 2, models), "jobs to be at work", 120)
    before = results(models.client, "out")
    assert len(before) < JOBS, "the reboot comes too late to be met"
    node.reboot()
    caller.wait_serving()
    wait_until(partial(more_than, JOBS - 1, models), "every job's result", 300)

    after = results(models.client, "out")
    assert after.items() >= before.items(), "a result was written twice"
    assert scores(models.client, after) == [scored] * JOBS
    wait_until(partial(nothing_left, caller.client), "the queue to be empty")
    truth = caller.client.post(f"{ENDPOINT}/truth", json={"inference_id": "asked", "score": scored - 2})
    assert truth.status_code == 200, truth.text
    assert truth.json()["matched"] == 1, truth.text

    play = hosts.play("configure.yml", **given)
    assert play.ok, play.output
    assert not node.succeeds("systemctl", "cat", UNIT)
