"""Videos dropped into a bucket: S3's own messages are jobs, each video is scored once."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from springboard.endpoint.asynchronous import Async
from springboard.jobs import drops
from springboard.jobs.desk import Desk
from springboard.jobs.drops import Dropped
from springboard.jobs.job import NoJob
from springboard.jobs.sqs import SqsQueue
from springboard.jobs.store import Store
from springboard.jobs.worker import Worker
from tests.stands.cloud import Cloud, environment
from tests.stands.scoring import scoring
from tests.stands.waiting import wait_until
from tests.unit.jobs.shop import Flaky, Said, Shop, scored

TIME = "2026-11-28T19:00:00.000Z"


def record(key: str = "in/heat+3/054%C3%A4.mp4", etag: str = "d41d8cd9", **more: Any) -> dict[str, Any]:
    """One record as S3 writes it; keys are encoded as in a form."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": TIME,
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "dives", "arn": "arn:aws:s3:::dives"},
            "object": {"key": key, "size": 1024, "eTag": etag, "sequencer": "0A1B2C3D4E5F678901"},
        },
        **more,
    }


def message(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records or [record()])}


EVENT_BRIDGE = {
    "version": "0",
    "source": "aws.s3",
    "detail-type": "Object Created",
    "time": TIME,
    "detail": {
        "bucket": {"name": "dives"},
        "object": {"key": "in/heat 3/054ä.mp4", "size": 1024, "etag": "d41d8cd9", "sequencer": "00"},
        "reason": "PutObject",
    },
}
SNS = {"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-central-1:1:t", "Subject": "x"}
WANTED = ("s3://dives/in/heat 3/054ä.mp4", "in/heat 3/054ä.mp4", "d41d8cd9")


@pytest.mark.parametrize(
    "told",
    [message(), {**SNS, "Message": json.dumps(message())}, EVENT_BRIDGE],
    ids=["s3", "sns", "eventbridge"],
)
def test_each_way_that_an_event_comes_names_the_same_object(told: dict[str, Any]) -> None:
    (one,) = drops.read(json.dumps(told).encode())
    assert (one.place, one.key, one.version) == WANTED


TEST = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "dives"}


@pytest.mark.parametrize(
    "told",
    [
        TEST,
        {**SNS, "Message": json.dumps(TEST)},
        message(record(eventName="ObjectRemoved:Delete")),
        {**EVENT_BRIDGE, "detail-type": "Object Deleted"},
    ],
)
def test_test_messages_and_other_events_are_no_jobs(told: dict[str, Any]) -> None:
    assert drops.read(json.dumps(told).encode()) == []


@pytest.mark.parametrize(
    "told", [b"", b"[]", b"null", b"{}", b'{"Records": [{}]}', b'{"Records": null}', b"\xff"]
)
def test_what_is_neither_goes_on_as_no_job(told: bytes) -> None:
    with pytest.raises(NoJob, match="neither a job nor an event"):
        drops.read(told)


def _desk(tmp_path: Path, **more: Any) -> Desk:
    settings = {"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/queue", **more}
    return Desk(Async.model_validate(settings), "dive-scoring")


def test_a_result_lies_at_its_videos_path_and_another_video_there_has_another(tmp_path: Path) -> None:
    desk = _desk(tmp_path)
    one, same, other = (Dropped("s3://dives/in/1.mp4", "in/1.mp4", v, 0.0).job(desk) for v in ("a", "a", "b"))
    assert one.output.startswith(f"{tmp_path}/scores/in/1.mp4.")
    assert one.output.endswith(".out")
    assert one.failure.startswith(f"{tmp_path}/scores/failures/in/1.mp4.")
    assert (one.id, one.output) == (same.id, same.output)
    assert len({one.id, other.id}) == len({one.output, other.output}) == 2


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/passwd",
        "a/../../../b",
        "/etc/passwd",
        "..",
        "a//b",
        "x" * 1000,
        "x" * 250,
        "a\n/\0b",
    ],
)
def test_no_key_leads_out_of_the_output(tmp_path: Path, key: str) -> None:
    desk = _desk(tmp_path)
    made = Dropped(f"s3://dives/{key}", key, "v", 0.0).job(desk)
    for place, root in ((made.output, "scores"), (made.failure, "scores/failures")):
        assert Path(place).resolve() == Path(place)
        assert Path(place).is_relative_to(tmp_path / root)
        Store().put_new(place, b"{}")


def _work_off(shop: Shop, *told: dict[str, Any]) -> Said:
    said = Said(scored)
    for one in told:
        shop.queue._queue.put(json.dumps(one).encode())
    with shop.working(lambda _: said):
        shop.wait_empty()
    return said


def test_a_burst_with_duplicates_and_test_messages_scores_each_video_once(shop: Shop) -> None:
    many = [message(*(record(f"in/{n}.mp4"), record(f"in/{n + 1}.mp4"))) for n in range(0, 20, 2)]
    said = _work_off(shop, TEST, *many, *many[:5], {**SNS, "Message": json.dumps(many[0])})
    assert len(said.asked) == len(set(said.asked)) == 20
    results = sorted((shop.folder / "scores" / "in").glob("*.out"))
    assert len(results) == 20
    assert {path.read_bytes() for path in results} == {b'{"score": 50}'}
    assert shop.queue.backlog().dead == 0


def test_a_put_into_a_bucket_that_tells_the_queue_comes_to_its_answer(aws: Cloud) -> None:
    """S3's own messages, its test message too, as moto sends them: from the put to the answer's object."""
    s3, sqs = aws.client("s3"), aws.client("sqs")
    s3.create_bucket(Bucket="drops")
    url, dead = aws.queue()
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}
    told = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": rule}
    s3.put_bucket_notification_configuration(
        Bucket="drops", NotificationConfiguration={"QueueConfigurations": [told]}
    )
    settings = Async.model_validate({"output": "s3://drops/scores", "queue": url})
    said = Said(scored)
    with environment(**aws.environment):
        worker = Worker(settings, "dive-scoring", SqsQueue(url), lambda _: said, Store(s3))
        worker.start()
        try:
            for key in ("in/heat 3/054ä.mp4", "in/heat 3/055.mp4", "elsewhere/1.mp4"):
                s3.put_object(Bucket="drops", Key=key, Body=b"a dive")

            def results() -> list[str]:
                found = s3.list_objects_v2(Bucket="drops", Prefix="scores/in/").get("Contents", [])
                return [one["Key"] for one in found]

            wait_until(lambda: len(results()) == 2, "both answers", 60)
        finally:
            worker.stop(10)
        first, second = results()
    assert first.startswith("scores/in/heat 3/054ä.mp4.")
    assert second.startswith("scores/in/heat 3/055.mp4.")
    assert s3.get_object(Bucket="drops", Key=second)["Body"].read() == b'{"score": 50}'
    assert len(said.asked) == 2
    letters = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"])
    assert letters["Attributes"]["ApproximateNumberOfMessages"] == "0"


def test_an_event_whose_job_is_another_is_given_up_and_one_that_meets_no_store_is_not(shop: Shop) -> None:
    desk = Desk(shop.settings, "dive-scoring", queue=shop.queue)
    (one,) = drops.read(json.dumps(message(record("in/1.mp4"))).encode())
    made = one.job(desk)
    other = made.model_copy(update={"input": "s3://dives/other"})
    Store().put_new(f"{shop.folder}/scores/.jobs/{made.id}.json", other.written())
    said = Said(scored)
    shop.queue._queue.put(json.dumps(message(record("in/1.mp4"))).encode())
    shop.queue._queue.put(json.dumps(message(record("in/2.mp4"))).encode())
    with shop.working(lambda _: said, Flaky(1)):
        shop.wait_empty()
    assert len(said.asked) == 1
    assert shop.queue.backlog().dead == 1


def test_results_in_the_same_bucket_are_not_taken_for_videos(tmp_path: Path, aws: Cloud) -> None:
    with environment(**aws.environment):
        desk = _desk(tmp_path, output="s3://dives/scores", failure="s3://dives/failures")
        for place in ("scores/in/1.mp4.out", "failures/x-error.out", "scores/.jobs/1.json"):
            assert drops.take_in(desk, Dropped(f"s3://dives/{place}", place, "v", 0.0)) is None


def test_an_upload_is_promised_put_and_becomes_the_job_that_was_promised(tmp_path: Path, aws: Cloud) -> None:
    aws.client("s3").create_bucket(Bucket="dives")
    jobs = {
        "output": f"{tmp_path}/scores",
        "queue": f"{tmp_path}/queue",
        "uploads": "s3://dives/uploads/",
    }
    state = {"STATE_DIRECTORY": str(tmp_path)}
    named = {"X-Amzn-SageMaker-Inference-Id": "heat 3", "X-Amzn-SageMaker-Filename": "third.json"}
    with environment(**aws.environment, **state), scoring(jobs=jobs) as model:
        answer = model.post("/endpoints/dive-scoring/uploads", headers=named)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert answer.headers["X-Amzn-SageMaker-OutputLocation"] == f"file://{tmp_path}/scores/third.json"
        assert (told["InferenceId"], told["InputLocation"]) == ("heat 3", "s3://dives/uploads/heat%203")
        again = model.post("/endpoints/dive-scoring/uploads", headers=named).json()
        assert again["InputLocation"] == told["InputLocation"]
        assert httpx.put(told["UploadUrl"], content=b"a dive", timeout=30).status_code == 200
        state_now = model.client.get("/endpoints/dive-scoring/jobs/heat%203").json()["state"]
        assert state_now == "unfinished"
        desk = model.front.desk
        assert desk
        assert desk.backlog().waiting == 0  # until S3 tells of it
        key = told["InputLocation"].removeprefix("s3://dives/")
        job = drops.take_in(desk, Dropped(told["InputLocation"], key, "v", 0.0))
        assert job
        assert (job.id, job.output) == ("heat 3", f"{tmp_path}/scores/third.json")
        assert desk.backlog().waiting == 1
        # What somebody else puts below is a job of its own.
        other = drops.take_in(desk, Dropped("s3://dives/uploads/own", "uploads/own", "v", 0.0))
        assert other
        assert other.id.startswith("drop-")
    stored = aws.client("s3").get_object(Bucket="dives", Key="uploads/heat%203")["Body"].read()
    assert stored == b"a dive"


@pytest.mark.parametrize(
    ("uploads", "more", "why"),
    [
        (None, {}, "takes no uploads"),
        ("s3://dives/up", {"content": b"a dive"}, "Send no video here"),
        (
            "s3://dives/up",
            {"headers": {"X-Amzn-SageMaker-InputLocation": "s3://dives/1"}},
            "Send no video here",
        ),
    ],
)
def test_uploads_that_cannot_be_are_refused(
    tmp_path: Path, uploads: str, more: dict[str, Any], why: str
) -> None:
    jobs = {"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/queue", "uploads": uploads}
    with environment(STATE_DIRECTORY=str(tmp_path)), scoring(jobs=jobs) as model:
        answer = model.client.post("/endpoints/dive-scoring/uploads", **more)
    assert (answer.status_code, why in answer.json()["Message"]) == (400, True), answer.text
