"""What operators do to jobs, the same with each kind of queue, results in S3 and in folders."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from springboard.cli.app import app
from springboard.endpoint.asynchronous import Async
from springboard.jobs.handling import Handling, Refused
from springboard.jobs.job import Job
from springboard.jobs.queue import JobQueue, QueueAway
from springboard.jobs.sqs import SqsQueue
from springboard.jobs.store import Store
from tests.stands.cloud import Cloud, environment
from tests.unit.jobs.shop import job


@pytest.fixture(params=["local", "fifo"])
def handling(request: pytest.FixtureRequest, tmp_path: Path, aws: Cloud) -> Iterator[Handling]:
    """Jobs of a queue on this machine with a folder; of SQS with a bucket."""
    settings = {"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/queue"}
    if request.param != "local":
        url, _ = aws.queue(fifo=True)
        bucket = f"scores-of-{url.rpartition('/')[2].replace('.', '-')}"
        aws.client("s3").create_bucket(Bucket=bucket)
        settings = {"output": f"s3://{bucket}/dives", "queue": url}
    with environment(**aws.environment):
        yield Handling(Async.model_validate(settings), "dive-scoring", Store(aws.client("s3")))


def _accept(handling: Handling, name: str) -> Job:
    output, failure = handling.place(name)
    return handling.accept(job(id=name, output=output, failure=failure))


def _kill(handling: Handling, reason: str = "gave_up: It was begun 3 times.") -> None:
    """Have the next job on the queue end as the worker ends one that is given up."""
    queue: JobQueue = handling._queue
    claim = queue.claim(5)
    assert claim
    one = Job.read(claim.message)
    code, _, message = reason.partition(": ")
    handling._store.put_new(one.failure, json.dumps({"error": {"code": code, "message": message}}).encode())
    queue.dead(claim, reason)


def test_jobs_are_listed_as_they_stand(handling: Handling) -> None:
    for name in ("a/ä", "b", "c"):
        _accept(handling, name)
    handling._store.put_new(handling.place("b")[0], b"{}")
    handling._store.put_new(handling.place("c")[1], b'{"error": {"code": "x", "message": "Why."}}')
    found = {one.job.id: (one.state, one.reason) for one in handling.jobs()}
    assert found == {"a/ä": ("unfinished", ""), "b": ("completed", ""), "c": ("failed", "x: Why.")}
    assert [one.job.id for one in handling.jobs("unfinished")] == ["a/ä"]


def test_a_dead_job_is_listed_with_its_reason_and_begun_anew(handling: Handling) -> None:
    old = _accept(handling, "mine")
    _kill(handling)
    for _ in range(2):  # who looks takes nothing away
        assert [(job_id, why) for _, job_id, why in handling.dead()] == [
            ("mine", "gave_up: It was begun 3 times.")
        ]
    again = handling.retry("mine")
    assert (again.run, round(again.expires - again.received)) == (1, round(old.expires - old.received))
    assert again.received > old.received
    assert handling.dead() == []
    found = handling.find("mine")
    assert found
    assert (found.state, found.job) == ("unfinished", again)
    claim = handling._queue.claim(5)
    assert claim
    assert (Job.read(claim.message), claim.attempt) == (again, 1)


def test_a_dead_letter_is_dropped_by_its_job_or_by_its_name(handling: Handling) -> None:
    for name in ("one", "two", "three"):
        _accept(handling, name)
        _kill(handling)
    assert handling.drop("two") == 1
    names = {job_id: name for name, job_id, _ in handling.dead()}
    assert set(names) == {"one", "three"}
    handling.drop(names["one"])
    assert [job_id for _, job_id, _ in handling.dead()] == ["three"]
    with pytest.raises(Refused, match="one"):
        handling.drop("one")
    found = handling.find("one")
    assert found
    assert found.state == "failed"


def test_a_cancelled_job_has_failed_and_what_has_ended_is_not_cancelled(handling: Handling) -> None:
    _accept(handling, "mine")
    handling.cancel("mine")
    found = handling.find("mine")
    assert found
    assert (found.state, found.reason) == ("failed", "cancelled: The job was cancelled by an operator.")
    with pytest.raises(Refused, match="failed"):
        handling.cancel("mine")
    handling._store.put_new(handling.place("done")[0], b"{}")
    _accept(handling, "done")
    for act in (handling.cancel, handling.retry):
        with pytest.raises(Refused, match=r"completed|its result"):
            act("done")
        with pytest.raises(Refused, match="There is no job absent"):
            act("absent")


def test_a_queue_without_dead_letters_has_none_to_show(aws: Cloud, tmp_path: Path) -> None:
    url = aws.client("sqs").create_queue(QueueName="jobs-alone")["QueueUrl"]
    with environment(**aws.environment):
        alone = Handling(Async.model_validate({"output": f"{tmp_path}", "queue": url}), "dive-scoring")
        assert alone.dead() == []


def test_dead_letters_of_a_queue_that_is_away_are_told_as_such() -> None:
    with (
        environment(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_EC2_METADATA_DISABLED="true"),
        pytest.raises(QueueAway, match="cannot be reached"),
        SqsQueue("http://127.0.0.1:1/123456789012/jobs").dead_letters(10),
    ):
        pass


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Result]:
    path = tmp_path / "endpoint.yml"
    path.write_text(f"variants: []\nasync: {{output: {tmp_path}/scores, queue: {tmp_path}/queue}}\n")
    return lambda *words: CliRunner().invoke(app, ["jobs", *words, "--endpoint-file", str(path)])


def test_the_command_does_all_of_it(command: Callable[..., Result], tmp_path: Path) -> None:
    settings = Async.model_validate({"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/queue"})
    handling = Handling(settings, "dive-scoring")
    _accept(handling, "first")
    _kill(handling, "died: It ended 3 workers.")
    _accept(handling, "second")
    listed = command("list")
    assert listed.exit_code == 0, listed.output
    assert "first\tfailed\t" in listed.stdout
    assert "died: It ended 3 workers." in listed.stdout
    assert "second\tunfinished\t" in listed.stdout
    assert re.search(r"1 wait \(the oldest for \d+ s\), 0 at work, 1 dead letters", listed.stdout)
    lines = command("list", "--json", "--limit", "1", "--state", "unfinished").stdout.splitlines()
    assert [json.loads(line)["inference_id"] for line in lines] == ["second"]
    assert command("list", "--dead").stdout.startswith("first\t1\tdied")
    assert json.loads(command("list", "--dead", "--json").stdout)["reason"] == "died: It ended 3 workers."
    shown = json.loads(command("show", "first").stdout)
    assert (shown["state"], shown["output_location"]) == ("failed", f"file://{tmp_path}/scores/first.out")
    assert command("retry", "--dead").stdout == "first is on the queue again\n"
    assert command("cancel", "second").exit_code == 0
    _kill(handling)
    assert command("drop", "second").stdout == "1 dead letter dropped\n"
    assert command("list", "--dead").stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "absent"), "there is no job absent"),
        (("retry", "absent"), "There is no job absent"),
        (("retry",), "say which jobs"),
        (("drop", "absent"), "None of the"),
    ],
)
def test_what_cannot_be_done_is_said(
    command: Callable[..., Result], words: tuple[str, ...], said: str
) -> None:
    done = command(*words)
    assert (done.exit_code, said in done.stderr) == (2, True), done.output


def test_an_endpoint_without_async_has_no_jobs(tmp_path: Path) -> None:
    (tmp_path / "endpoint.yml").write_text("variants: []\n")
    done = CliRunner().invoke(app, ["jobs", "list", "--endpoint-file", str(tmp_path / "endpoint.yml")])
    assert (done.exit_code, "has no `async`" in done.stderr) == (2, True)


def test_a_listing_reads_no_more_records_than_it_shows(tmp_path: Path) -> None:
    class Counting(Store):
        reads = 0

        def get(self, place: str) -> bytes | None:
            self.reads += "/.jobs/" in place
            return super().get(place)

    store = Counting()
    handling = Handling(Async.model_validate({"output": f"{tmp_path}/scores"}), "dive-scoring", store)
    for number in range(5):
        output, failure = handling.place(str(number))
        one = job(id=str(number), output=output, failure=failure)
        store.put_new(f"{tmp_path}/scores/.jobs/{number}.json", one.written())
    next(handling.jobs())
    assert store.reads == 1
