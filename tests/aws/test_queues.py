"""The modules of the role job_queue: what they refuse before anything is changed, what of others stays."""

import json
from typing import Any

import pytest

from tests.aws.harness import Aws, module

pytestmark = pytest.mark.xdist_group("aws")
REGION, ACCOUNT = "us-east-1", "123456789012"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:pier-jobs"
CREATED = "s3:ObjectCreated:*"


def policy(bucket: str) -> dict[str, Any]:
    return {
        "Sid": "NewVideos",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
    }


def made(aws: Aws, **more: Any) -> dict[str, Any]:
    given = {"region": REGION, "name": "pier-jobs", "deployment": "pier"}
    return module(aws, "sqs_job_queue", **(given | more))


def tell(aws: Aws, bucket: str, user: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    given = {
        "region": REGION,
        "bucket": bucket,
        "account": ACCOUNT,
        "id": "springboard-pier",
        "queue_arn": QUEUE,
    }
    return module(aws, "s3_tells_queue", user, **(given | more))


def told(aws: Aws, bucket: str) -> dict[str, Any]:
    found: dict[str, Any] = aws.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    del found["ResponseMetadata"]
    return found


@pytest.fixture(scope="module")
def queue(aws: Aws) -> str:
    """A queue that S3 of the bucket pier-dives may send to."""
    aws.client("s3").create_bucket(Bucket="pier-dives")
    answer = made(aws, statements=[policy("pier-dives")])
    assert answer["changed"], answer
    return str(answer["url"])


def theirs(aws: Aws, prefix: str, events: str = CREATED, suffix: str = "") -> None:
    """Have the bucket tell others of this, and nobody else."""
    rules = [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]
    topic = aws.client("sns").create_topic(Name="theirs")["TopicArn"]
    one = {"Id": "theirs", "TopicArn": topic, "Events": [events]}
    one["Filter"] = {"Key": {"FilterRules": [rule for rule in rules if rule["Value"]]}}
    aws.client("s3").put_bucket_notification_configuration(
        Bucket="pier-dives",
        NotificationConfiguration={"TopicConfigurations": [one], "EventBridgeConfiguration": {}},
    )


@pytest.mark.parametrize("state", ["possible", "present"])
@pytest.mark.parametrize("prefix", ["in/", "in/2026/", "i", ""])
def test_a_prefix_that_others_are_told_of_is_refused_with_its_owner(
    aws: Aws, queue: str, prefix: str, state: str
) -> None:
    theirs(aws, prefix, suffix=".mp4")
    before = told(aws, "pier-dives")
    answer = tell(aws, "pier-dives", prefix="in/", state=state)
    assert f"arn:aws:sns:{REGION}:{ACCOUNT}:theirs of new objects below '{prefix}' already" in answer["msg"]
    assert "Set job_queue_input to a prefix beside it" in answer["msg"]
    assert told(aws, "pier-dives") == before


@pytest.mark.parametrize(
    ("prefix", "events"), [("in2/", CREATED), ("in/", "s3:ObjectRemoved:*"), ("x", CREATED)]
)
def test_a_prefix_beside_others_is_told_and_theirs_stay(
    aws: Aws, queue: str, prefix: str, events: str
) -> None:
    theirs(aws, prefix, events)
    before = told(aws, "pier-dives")
    assert tell(aws, "pier-dives", prefix="in/", _ansible_check_mode=True)["changed"]
    assert told(aws, "pier-dives") == before
    first, again = (tell(aws, "pier-dives", prefix="in/") for _ in range(2))
    assert (first["changed"], again["changed"], again["others"]) == (True, False, ["theirs"]), first
    elsewhere = tell(aws, "pier-dives", prefix="out/")
    assert elsewhere["changed"]
    (ours,) = told(aws, "pier-dives")["QueueConfigurations"]
    assert ours["Filter"]["Key"]["FilterRules"] == [{"Name": "Prefix", "Value": "out/"}]
    gone, none = (tell(aws, "pier-dives", state="absent") for _ in range(2))
    assert (gone["changed"], none["changed"]) == (True, False)
    assert told(aws, "pier-dives") == before


def test_a_notification_of_others_that_cannot_be_sent_is_named(aws: Aws, queue: str) -> None:
    aws.client("s3").create_bucket(Bucket="pier-stale")
    made(aws, statements=[policy("pier-stale")])
    gone = {
        "Id": "gone",
        "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:gone",
        "Events": ["s3:ObjectRemoved:*"],
    }
    aws.client("s3").put_bucket_notification_configuration(
        Bucket="pier-stale",
        NotificationConfiguration={"QueueConfigurations": [gone]},
        SkipDestinationValidation=True,
    )
    answer = tell(aws, "pier-stale", prefix="in/")
    assert f"of others' there it refuses arn:aws:sqs:{REGION}:{ACCOUNT}:gone" in answer["msg"]
    assert "Have who made them mend or remove those" in answer["msg"]
    assert told(aws, "pier-stale")["QueueConfigurations"] == [gone]
    made(aws, statements=[policy("pier-dives")])


def test_buckets_that_cannot_tell_are_refused_with_the_way(aws: Aws, queue: str) -> None:
    s3 = aws.client("s3", "eu-west-1")
    s3.create_bucket(Bucket="pier-eu", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    nothing = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}],
    }
    stranger = aws.user("pier-stranger", json.dumps(nothing))
    said = {
        "There is no bucket pier-none: make it in us-east-1": tell(aws, "pier-none"),
        "The bucket pier-eu is in eu-west-1, and S3 sends to queues of a bucket's own region": tell(
            aws, "pier-eu"
        ),
        "is not your account's (123456789012), or your AWS user may not look": tell(
            aws, "pier-dives", stranger
        ),
        "There is no bucket pier-out: make it, or correct": tell(aws, "pier-dives", needs=["pier-out"]),
    }
    for wanted, answer in said.items():
        assert wanted in answer["msg"], answer
    assert not tell(aws, "pier-none", state="absent")["changed"]


def test_queues_and_topics_of_others_are_neither_changed_nor_deleted(aws: Aws) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    url = sqs.create_queue(QueueName="quay-jobs", tags={"springboard:deployment": "other"})["QueueUrl"]
    arn = sns.create_topic(Name="quay-scored")["TopicArn"]
    topic = {"region": REGION, "arn": arn, "deployment": "quay"}
    queue = made(aws, name="quay-jobs", deployment="quay")
    assert "has a queue quay-jobs that is not of the deployment quay" in queue["msg"]
    assert f"aws sqs delete-queue --queue-url {url}" in queue["msg"]
    assert f"a topic {arn} that is not of the deployment quay" in module(aws, "sns_job_topic", **topic)["msg"]
    assert not made(aws, name="quay-jobs", deployment="quay", state="absent")["changed"]
    assert not module(aws, "sns_job_topic", **topic, state="absent")["changed"]
    assert sqs.get_queue_url(QueueName="quay-jobs")["QueueUrl"] == url
    assert arn in [one["TopicArn"] for one in sns.list_topics()["Topics"]]


def test_attributes_that_are_asked_for_are_set_and_others_stay(aws: Aws) -> None:
    sqs, named = aws.client("sqs"), {"name": "quay-other", "deployment": "quay"}
    url = made(aws, **named, attributes={"VisibilityTimeout": 30}, statements=[policy("quay")])["url"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "7", "VisibilityTimeout": "40"})
    asked = {"attributes": {"VisibilityTimeout": 30}, "statements": [policy("quay")]}
    checked = made(aws, **named, **asked, _ansible_check_mode=True)
    answers = [checked, *(made(aws, **named, **asked) for _ in range(2))]
    assert [one["changed"] for one in answers] == [True, True, False], answers
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (found["VisibilityTimeout"], found["DelaySeconds"]) == ("30", "7")
    assert json.loads(found["Policy"])["Statement"] == [policy("quay")]


def test_a_queue_that_was_just_deleted_is_not_made_again_before_its_time(aws: Aws) -> None:
    named = {"name": "quay-again", "deployment": "quay"}
    assert made(aws, **named)["changed"]
    assert made(aws, **named, state="absent")["changed"]
    assert (
        "SQS makes none of that name before a minute is over: run this again then"
        in made(aws, **named)["msg"]
    )
