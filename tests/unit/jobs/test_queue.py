"""The queue's five verbs, the same for each kind of queue."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from springboard.jobs.job import Job, NoJob
from springboard.jobs.local import LocalQueue
from springboard.jobs.queue import Claim, JobQueue, LeaseLost, QueueAway
from springboard.jobs.sqs import SqsQueue
from tests.stands.cloud import Cloud, environment
from tests.stands.waiting import wait_until
from tests.unit.jobs.conftest import Open
from tests.unit.jobs.shop import job


def _claim(queue: JobQueue) -> Claim:
    found: list[Claim | None] = [None]

    def come() -> bool:
        found[0] = queue.claim(1)
        return found[0] is not None

    wait_until(come, "a job")
    assert found[0]
    return found[0]


def test_a_job_comes_out_as_it_was_put(queue: JobQueue) -> None:
    put = job(body=bytes(range(256)) * 500)  # 128,000 bytes, the most that SageMaker takes
    queue.put(put)
    claim = _claim(queue)
    assert Job.read(claim.message) == put
    assert claim.attempt == 1


def test_nobody_has_a_job_that_another_has(queue: JobQueue) -> None:
    queue.put(job())
    claim = _claim(queue)
    assert queue.claim(0) is None
    assert (queue.backlog().waiting, queue.backlog().leased) == (0, 1)
    queue.extend(claim, 30)
    assert queue.claim(0) is None


def test_what_is_done_is_gone(queue: JobQueue) -> None:
    queue.put(job())
    queue.done(_claim(queue))
    assert queue.claim(0) is None
    assert queue.backlog().leased == 0


def test_a_job_given_back_is_there_at_once(queue: JobQueue) -> None:
    queue.put(job())
    first = _claim(queue)
    queue.extend(first, 0)
    again = _claim(queue)
    assert (again.message, again.attempt) == (first.message, 2)


def test_a_lease_that_is_over_is_another_workers(opened: Open) -> None:
    queue, other = opened(1), opened(60)
    queue.put(job())
    lost = _claim(queue)
    again = _claim(other)
    assert (again.message, again.attempt) == (lost.message, 2)
    other.done(again)
    with pytest.raises(LeaseLost):
        queue.extend(lost, 30)


def test_dead_letters_are_counted_and_not_claimed(queue: JobQueue) -> None:
    queue.put(job())
    queue.dead(_claim(queue), "model_failed: The model failed on this video.")
    assert queue.claim(0) is None
    assert queue.backlog().dead == 1


def test_many_workers_share_a_queue(opened: Open) -> None:
    queue = opened(60)
    jobs = [job() for _ in range(20)]
    for one in jobs:
        queue.put(one)
    seen: list[str] = []

    def work() -> None:
        mine = opened(60)
        while claim := mine.claim(0):
            seen.append(Job.read(claim.message).id)
            mine.done(claim)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(one.id for one in jobs)


def test_the_same_job_twice_is_one_where_the_queue_can_tell(tmp_path: Path, aws: Cloud) -> None:
    url, _ = aws.queue(fifo=True)
    with environment(**aws.environment):
        for queue in (LocalQueue(tmp_path), SqsQueue(url)):
            one = job()
            queue.put(one)
            queue.put(one)
            assert queue.backlog().waiting == 1
            queue.put(one.model_copy(update={"run": 1}))  # put again by somebody
            assert queue.backlog().waiting == 2
            queue.close()


def test_dead_letters_on_sqs_tell_why(aws: Cloud) -> None:
    url, dead = aws.queue()
    with environment(**aws.environment):
        queue = SqsQueue(url)
        queue.put(job(id="mine"))
        queue.dead(_claim(queue), "died: It ended 3 workers.")
    told = aws.client("sqs").receive_message(QueueUrl=dead, MessageAttributeNames=["All"])["Messages"][0]
    assert Job.read(told["Body"]).id == "mine"
    assert told["MessageAttributes"]["reason"]["StringValue"] == "died: It ended 3 workers."
    queue.close()


def test_a_queue_that_is_away_says_so(tmp_path: Path, aws: Cloud) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QueueAway, match="cannot be used"):
        LocalQueue(tmp_path / "file" / "queue")
    with environment(**aws.environment):
        for url, why in (
            (f"{aws.url}/123456789012/absent", "NonExistentQueue|QueueDoesNotExist"),
            ("http://127.0.0.1:1/123456789012/jobs", "cannot be reached"),
        ):
            with pytest.raises(QueueAway, match=why):
                SqsQueue(url).put(job())


def test_a_message_too_long_for_sqs_is_no_lost_lease(aws: Cloud) -> None:
    url, _ = aws.queue()
    with environment(**aws.environment):
        queue = SqsQueue(url)
        queue.put(job())
        claim = _claim(queue)
        # With its reason beside it a message may be longer than it came; moto counts the message alone.
        longest = replace(claim, message=claim.message.ljust(2 << 20))
        with pytest.raises(QueueAway, match="InvalidParameterValue"):
            queue.dead(longest, "model_failed: The model failed on this video.")
        with pytest.raises(QueueAway, match="InvalidParameterValue"):
            queue.put(job(body=bytes(1 << 20)))
    queue.close()


def test_a_message_that_is_no_job_is_told_from_one(aws: Cloud) -> None:
    with pytest.raises(NoJob, match="id"):
        Job.read(b'{"Service": "Amazon S3", "Event": "s3:TestEvent"}')
    newer = job().written().replace(b"{", b'{"of_a_later_version": 1,', 1)
    assert Job.read(newer).endpoint == "dive-scoring"


def test_jobs_outlive_the_process_that_put_them(tmp_path: Path) -> None:
    one = job()
    if (child := os.fork()) == 0:
        LocalQueue(tmp_path).put(one)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    queue = LocalQueue(tmp_path)
    assert Job.read(_claim(queue).message) == one
    queue.close()
