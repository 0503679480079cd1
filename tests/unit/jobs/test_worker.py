"""The worker: exactly one result of each job, whatever happens on the way."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from springboard.endpoint.asynchronous import Async
from springboard.jobs.asking import Answer, Asking
from springboard.jobs.job import Job
from springboard.jobs.local import LocalQueue
from springboard.jobs.store import Store, StoreAway
from springboard.jobs.worker import Worker
from tests.stands.cloud import Cloud, environment
from tests.stands.scoring import Scoring, scoring
from tests.stands.waiting import wait_until
from tests.unit.jobs.conftest import job

Pause = Callable[[float], bool]


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

    def put_new(self, place: str, content: bytes) -> bool:
        self.times -= 1
        if self.times >= 0:
            raise StoreAway(f"{place} is away")
        return super().put_new(place, content)


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


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    one = Shop(tmp_path)
    yield one
    one.queue.close()


@pytest.fixture(scope="module")
def model() -> Iterator[Scoring]:
    with scoring() as one:
        yield one


def _front(model: Scoring, *inputs: Path) -> Callable[[Pause], Asking]:
    return lambda pause: Ready(model.url, "", tuple(map(str, inputs)), pause)


def _scored(_: Job) -> Answer:
    return Answer(b'{"score": 50}')


def _error(path: str) -> dict[str, str]:
    error: dict[str, str] = json.loads(Path(path).read_bytes())["error"]
    return error


def test_a_job_is_scored_behind_all_others_and_its_result_written(shop: Shop, model: Scoring) -> None:
    (shop.folder / "in").mkdir()
    (shop.folder / "in" / "a b.mp4").write_bytes(b"from a file")
    first = shop.put(id="first", timeout=42)
    second = shop.put(id="second", body=b"", input=f"file://{shop.folder}/in/a%20b.mp4")
    with shop.working(_front(model, shop.folder / "in")):
        shop.wait_empty()
    for one in (first, second):
        assert json.loads(Path(one.output).read_bytes())["score"] == 61.5
    assert {b"score=1", b"from a file"} <= set(model.videos)
    ticket = model.tickets[model.videos.index(b"score=1")]
    assert (ticket.low, ticket.work_seconds) == (True, 42)
    assert not Path(first.failure).exists()


def test_a_video_that_is_none_fails_at_once_in_the_words_of_real_time(shop: Shop, model: Scoring) -> None:
    one = shop.put(body=b"unreadable")
    with shop.working(_front(model)):
        shop.wait_empty()
    real_time = model.post("/invocations", b"unreadable")
    assert Path(one.failure).read_bytes() == real_time.content
    assert not Path(one.output).exists()
    assert shop.queue.backlog().dead == 0
    assert model.videos.count(b"unreadable") == 2


def test_both_topics_are_told_as_sagemaker_tells_them(shop: Shop, aws: Cloud) -> None:
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topics, heard = [], []
    for name in ("success", "error"):
        url, _ = aws.queue()
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topic = sns.create_topic(Name=f"{name}-{shop.folder.name}")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
        topics.append(topic)
        heard.append(url)
    shop.more = {"success_topic": topics[0], "error_topic": topics[1]}
    good = shop.put(
        id="good", accept="application/json", content_type="video/mp4", received=1_643_150_760.455
    )
    shop.put(id="bad")
    answers = {"good": Answer(b"{}"), "bad": Answer.failure("not_a_dive", "This is no dive.")}
    with environment(**aws.environment), shop.working(lambda _: Said(lambda one: answers[one.id])):
        shop.wait_empty()
    told = [json.loads(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"]) for url in heard]
    assert told[0].pop("eventTime").endswith("Z")
    assert told[0] == {
        "awsRegion": "us-east-1",
        "receivedTime": "2022-01-25T22:46:00.455Z",
        "invocationStatus": "Completed",
        "requestParameters": {
            "accept": "application/json",
            "contentType": "video/mp4",
            "endpointName": "dive-scoring",
            "inputLocation": "",
        },
        "responseParameters": {"contentType": "application/json", "outputLocation": f"file://{good.output}"},
        "inferenceId": "good",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    assert told[1]["invocationStatus"] == "Failed"
    assert told[1]["failureReason"] == "not_a_dive: This is no dive."
    assert "responseParameters" not in told[1]


def test_a_topic_that_is_away_keeps_no_result_back(shop: Shop) -> None:
    shop.more = {"success_topic": "arn:aws:sns:us-east-1:123456789012:away"}
    one = shop.put()
    away = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    with environment(**away), shop.working(lambda _: Said(_scored)):
        shop.wait_empty()
    assert Path(one.output).exists()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"expires": 1.0}, "request_expired"),
        ({"endpoint": "another"}, "unknown_endpoint"),
        ({"body": b"", "input": "file:///etc/passwd"}, "input_not_allowed"),
        ({"body": b"", "input": "file:///no/such/file"}, "input_not_allowed"),
    ],
)
def test_what_cannot_be_scored_is_told_why(
    shop: Shop, model: Scoring, more: dict[str, Any], code: str
) -> None:
    one, before = shop.put(**more), len(model.videos)
    with shop.working(_front(model)):
        shop.wait_empty()
    assert _error(one.failure)["code"] == code
    assert len(model.videos) == before
    assert shop.queue.backlog().dead == 0


def test_a_fault_is_tried_again_and_given_up_with_its_reason(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setattr("springboard.jobs.worker._AGAIN_SECONDS", 0.1)
    shop.more = {"max_attempts": 3}
    one = shop.put()
    said = Said(lambda _: Answer.failure("model_failed", "It failed.", try_again=True))
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert said.asked == ["one"] * 3
    assert _error(one.failure) == {"code": "model_failed", "message": "It failed."}
    assert shop.queue.backlog().dead == 1


def test_a_video_that_kills_workers_is_not_tried_again(shop: Shop) -> None:
    one = shop.put()
    said = Said(lambda _: Answer.failure("kills_workers", "It ended 3 workers.", deadly=True))
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert (said.asked, shop.queue.backlog().dead) == (["one"], 1)
    assert _error(one.failure)["code"] == "kills_workers"


def test_a_job_that_nobody_ever_ended_is_given_up(shop: Shop) -> None:
    shop.more = {"max_attempts": 2}
    one = shop.put()
    for _ in range(2):
        claim = shop.queue.claim(0)
        assert claim
        shop.queue.extend(claim, 0)
    said = Said(_scored)
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert said.asked == []
    assert _error(one.failure)["code"] == "gave_up"
    assert shop.queue.backlog().dead == 1


@pytest.mark.parametrize("written", ["output", "failure"])
def test_a_repeat_changes_nothing(shop: Shop, written: str) -> None:
    one = shop.put()
    place = Path(getattr(one, written))
    place.parent.mkdir()
    place.write_text('{"score": 1}')
    said = Said(_scored)
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert said.asked == []
    assert place.read_text() == '{"score": 1}'
    assert [path for path in (Path(one.output), Path(one.failure)) if path.exists()] == [place]


def test_a_result_written_meanwhile_by_another_stays(shop: Shop) -> None:
    one = shop.put()

    def late(_: Job) -> Answer:
        Store().put_new(one.output, b"the first")
        return Answer(b"the second")

    with shop.working(lambda _: Said(late)):
        shop.wait_empty()
    assert Path(one.output).read_bytes() == b"the first"


def test_what_is_at_work_at_the_end_goes_back_at_once(shop: Shop) -> None:
    shop.put()
    before = threading.active_count()
    begun, go = threading.Event(), threading.Event()

    def hang(_: Job) -> Answer:
        begun.set()
        go.wait(30)
        return Answer(b"late")

    worker = Worker(shop.settings, "dive-scoring", shop.queue, lambda _: Said(hang))
    worker.start()
    assert begun.wait(30)
    worker.stop(0)
    claim = shop.queue.claim(0)
    go.set()
    wait_until(lambda: threading.active_count() == before, "the job's thread to end")
    assert claim is not None
    assert claim.attempt == 2


def test_a_long_job_stays_its_workers(shop: Shop, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "short", {"lease_seconds": 1.0})
    shop.put()

    def long(_: Job) -> Answer:
        time.sleep(2.5)  # more than two leases
        return Answer(b"{}")

    said, other = Said(long), Said(_scored)
    with shop.working(lambda _: said), shop.working(lambda _: other):
        shop.wait_empty()
    assert len(said.asked + other.asked) == 1
    shop.queue.close()


def test_a_place_that_is_away_for_a_while_costs_no_second_score(shop: Shop) -> None:
    one, said = shop.put(), Said(_scored)
    with shop.working(lambda _: said, Flaky(2)):
        shop.wait_empty()
    assert said.asked == ["one"]
    assert Path(one.output).read_bytes() == b'{"score": 50}'


def test_a_job_that_was_cancelled_has_no_result_and_is_forgotten(shop: Shop) -> None:
    waiting, at_work = shop.put(id="waiting"), shop.put(id="at work")
    Store().put_new(waiting.failure, b'{"error": {"code": "cancelled", "message": "By an operator."}}')

    def cancelled_meanwhile(one: Job) -> Answer:
        Store().put_new(one.failure, b'{"error": {"code": "cancelled", "message": "By an operator."}}')
        return _scored(one)

    said = Said(cancelled_meanwhile)
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert said.asked == ["at work"]
    assert not Path(waiting.output).exists()
    assert not Path(at_work.output).exists()
    assert shop.queue.backlog().dead == 0


def test_a_message_that_is_no_job_goes_to_the_dead_letters(shop: Shop) -> None:
    shop.queue._queue.put(b'{"hello": "world"}')
    with shop.working(lambda _: Said(_scored)):
        wait_until(lambda: shop.queue.backlog().dead == 1, "the dead letter")


def test_a_front_that_is_busy_is_asked_again(shop: Shop, model: Scoring) -> None:
    one, pauses = shop.job(), []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        model.front.draining = len(pauses) < 3
        return False

    model.front.draining = True
    asking = Ready(model.url, "", (), pause)
    assert json.loads(asking.score(one).content)["score"] == 61.5
    assert pauses == [0.5, 1.0, 2.0]
    asking.close()
    away = Ready("http://127.0.0.1:1", "", (), lambda _: False)
    assert away.score(shop.job(expires=time.time() - 1)).code == "request_expired"
    away.close()
