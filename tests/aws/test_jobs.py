"""playbooks/jobs.yml on a stand-in AWS: a bucket that others use already, and videos that are scored in it.

The worker is `springboard work`, a process that has the hosts' role and nothing else, as the front has.
"""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from model_handler.request import storage
from springboard.endpoint.asynchronous import Async
from springboard.system.checkout import ROOT
from tests.aws.harness import Aws, Checkout, Run
from tests.aws.inspect import tagged
from tests.aws.lane import ACCOUNT, BUCKET, REGION, Host, as_host, heard, listener
from tests.stands.waiting import wait_until

pytestmark = pytest.mark.xdist_group("aws")
SCORES = "lane-scores"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:lane-jobs"
# Who may do all.
OWNER = {"AWS_ACCESS_KEY_ID": "AKIASTANDIN000000000", "AWS_SECRET_ACCESS_KEY": "standin"}
TRUST = (ROOT / "playbooks/roles/aws_host/files/trust.json").read_text()
OURS = {
    ("queue", "lane-jobs"),
    ("queue", "lane-jobs-dead"),
    ("topic", "lane-scored"),
    ("topic", "lane-failed"),
    ("role", "lane-host"),
}


def notifications(aws: Aws) -> dict[str, Any]:
    """What the bucket tells whom: by name, and whether EventBridge."""
    told = aws.client("s3", REGION).get_bucket_notification_configuration(Bucket=BUCKET)
    named = {one["Id"]: one for kind in ("Queue", "Topic") for one in told.get(f"{kind}Configurations", [])}
    return named | {"EventBridge": "EventBridgeConfiguration" in told}


@pytest.fixture(scope="module")
def theirs(aws: Aws) -> dict[str, Any]:
    """What others have the bucket tell: a queue, a topic, EventBridge."""
    s3, sqs, sns = (aws.client(service, REGION) for service in ("s3", "sqs", "sns"))
    for bucket in (BUCKET, SCORES):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    lets = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**lets, "Resource": "*"}]})
    sqs.create_queue(QueueName="thumbnails", Attributes={"Policy": policy})
    topic = sns.create_topic(Name="removals")["TopicArn"]
    rules = [{"Name": "prefix", "Value": "pictures/"}, {"Name": "suffix", "Value": ".jpg"}]
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "Id": "thumbnails",
                    "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:thumbnails",
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": rules}},
                }
            ],
            "TopicConfigurations": [{"Id": "removals", "TopicArn": topic, "Events": ["s3:ObjectRemoved:*"]}],
            "EventBridgeConfiguration": {},
        },
    )
    return notifications(aws)


@pytest.fixture(scope="module")
def lane(aws: Aws, theirs: object, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    checkout = Checkout(
        tmp_path_factory.mktemp("lane"),
        aws,
        springboard_deployment="lane",
        springboard_region=REGION,
        springboard_models_bucket="lane-models",
        springboard_video_buckets=[BUCKET],
        springboard_tags={"Team": "diving"},
        job_queue_input=f"s3://{BUCKET}/in",
        job_queue_output=f"s3://{SCORES}/dives/",
    )
    checkout.restrict("lane")
    return checkout


@pytest.fixture(scope="module")
def without_hosts(lane: Checkout) -> Run:
    return lane.play("jobs")


@pytest.fixture(scope="module")
def lane_checked(aws: Aws, lane: Checkout, without_hosts: object) -> Run:
    """A check, after provision.yml made the hosts' role."""
    tags = [{"Key": "springboard:deployment", "Value": "lane"}]
    aws.client("iam").create_role(RoleName="lane-host", AssumeRolePolicyDocument=TRUST, Tags=tags)
    return lane.play("jobs", "--check")


@pytest.fixture(scope="module")
def found_after_check(aws: Aws, lane_checked: object) -> tuple[set[tuple[str, str]], dict[str, Any]]:
    return tagged(aws, REGION, "lane"), notifications(aws)


@pytest.fixture(scope="module")
def lane_made(aws: Aws, lane: Checkout, found_after_check: object) -> Run:
    """A run after one that broke off when it had made the dead letters."""
    ours = {"springboard:deployment": "lane"}
    aws.client("sqs", REGION).create_queue(QueueName="lane-jobs-dead", tags=ours)
    run = lane.play("jobs")
    assert run.code == 0, run.text
    return run


@pytest.fixture(scope="module")
def settings(lane_made: Run) -> Async:
    """`async` of endpoint.yml, as the playbook says it in the end."""
    told = lane_made.text.rpartition("springboard_deploy_settings:")[2]
    return Async.model_validate(dict(re.findall(r"(\w+): (s3://\S+|http\S+|arn:\S+)", told)))


@pytest.fixture(scope="module")
def lane_again(aws: Aws, lane: Checkout, lane_made: Run) -> list[Run]:
    """Two runs more, a check the second, after others let a scanner read the queue and tagged it."""
    sqs = aws.client("sqs", REGION)
    url = sqs.get_queue_url(QueueName="lane-jobs")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    policy = json.loads(attributes["Policy"])
    reads = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "sqs:GetQueueAttributes",
        "Resource": QUEUE,
    }
    policy["Statement"].append({"Sid": "Scanner", **reads})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    sqs.tag_queue(QueueUrl=url, Tags={"Backup": "daily"})
    return [lane.play("jobs"), lane.play("jobs", "--check")]


def test_without_the_hosts_role_it_says_what_to_run_first(without_hosts: Run) -> None:
    assert (without_hosts.code, without_hosts.changed) == (2, 0), without_hosts.text
    assert "has no role lane-host that Springboard made" in without_hosts.text
    assert "run playbooks/provision.yml first" in without_hosts.text


def test_check_mode_makes_nothing(
    lane_checked: Run, found_after_check: tuple[set[tuple[str, str]], dict[str, Any]], theirs: dict[str, Any]
) -> None:
    assert lane_checked.code == 0, lane_checked.text
    assert lane_checked.changed == 5, "two queues, the topics, the role's policy, the notification"
    assert found_after_check == ({("role", "lane-host")}, theirs)


def test_queue_and_topics_are_made_as_workers_expect(aws: Aws, lane_made: Run, settings: Async) -> None:
    assert tagged(aws, REGION, "lane") == OURS
    sqs = aws.client("sqs", REGION)
    for name in ("lane-jobs", "lane-jobs-dead"):
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert found["MessageRetentionPeriod"] == "1209600"
        assert found["ReceiveMessageWaitTimeSeconds"] == "20"
        assert found["VisibilityTimeout"] == "30"
        assert found["SqsManagedSseEnabled"] == "true"
        assert "OnlyOverTLS" in found["Policy"]
        redrive = json.loads(found.get("RedrivePolicy", "{}"))
        dead = {"deadLetterTargetArn": f"{QUEUE}-dead", "maxReceiveCount": 100}
        assert redrive == (dead if name == "lane-jobs" else {})
        assert sqs.list_queue_tags(QueueUrl=url)["Tags"]["Team"] == "diving"
    assert settings.output == f"s3://{SCORES}/dives"
    assert settings.failures == f"s3://{SCORES}/dives/failures"
    assert settings.queue == sqs.get_queue_url(QueueName="lane-jobs")["QueueUrl"]
    assert settings.success_topic == f"arn:aws:sns:{REGION}:{ACCOUNT}:lane-scored"
    assert settings.error_topic == f"arn:aws:sns:{REGION}:{ACCOUNT}:lane-failed"


def test_the_bucket_tells_the_queue_beside_those_that_it_told_before(
    aws: Aws, lane_made: Run, theirs: dict[str, Any]
) -> None:
    found = notifications(aws)
    ours = found.pop("springboard-lane")
    assert found == theirs
    assert found["EventBridge"]
    assert (ours["QueueArn"], ours["Events"]) == (QUEUE, ["s3:ObjectCreated:*"])
    assert ours["Filter"]["Key"]["FilterRules"] == [{"Name": "Prefix", "Value": "in/"}]


def test_s3_of_this_accounts_bucket_alone_may_send(aws: Aws, lane_made: Run) -> None:
    sqs = aws.client("sqs", REGION)
    url = sqs.get_queue_url(QueueName="lane-jobs")["QueueUrl"]
    policy = json.loads(
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    )
    (allowed,) = (one for one in policy["Statement"] if one["Effect"] == "Allow")
    assert allowed == {
        "Sid": "NewVideos",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{BUCKET}"},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    }


def test_second_run_changes_nothing_and_what_others_set_stays(aws: Aws, lane_again: list[Run]) -> None:
    assert [(run.code, run.changed) for run in lane_again] == [(0, 0)] * 2, (
        lane_again[0].text + lane_again[1].text
    )
    sqs = aws.client("sqs", REGION)
    url = sqs.get_queue_url(QueueName="lane-jobs")["QueueUrl"]
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"]["Backup"] == "daily"
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    assert [one["Sid"] for one in json.loads(policy)["Statement"]] == ["NewVideos", "OnlyOverTLS", "Scanner"]


@pytest.fixture(scope="module")
def role(aws: Aws, lane_again: object) -> dict[str, str]:
    """What makes a process a host."""
    lent = aws.client("sts", REGION).assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/lane-host", RoleSessionName="host"
    )["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": lent["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": lent["SecretAccessKey"],
        "AWS_SESSION_TOKEN": lent["SessionToken"],
    }


@pytest.fixture(scope="module")
def scored(
    aws: Aws, role: dict[str, str], settings: Async, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A day of the bucket: a video, one that is none, one that is gone, a picture, and no message of S3's."""
    s3, sqs = aws.client("s3", REGION), aws.client("sqs", REGION)
    hears = {name: listener(aws, getattr(settings, f"{name}_topic")) for name in ("success", "error")}
    host = Host(aws, role, tmp_path_factory.mktemp("host"), settings)

    def results() -> list[str]:
        found = s3.list_objects_v2(Bucket=SCORES, Prefix="dives/").get("Contents", [])
        return [one["Key"] for one in found if "/.jobs/" not in one["Key"]]

    with pytest.MonkeyPatch.context() as patch, host.working():
        patch.setattr(storage, "default_client", lambda: as_host(aws, role, "s3"))
        for key, video in (
            ("in/heat 3/054ä.mp4", b"a dive"),
            ("in/055.mp4", b"unreadable"),
            ("pictures/1.jpg", b"x"),
        ):
            s3.put_object(Bucket=BUCKET, Key=key, Body=video)
        wait_until(lambda: len(results()) == 2, "a result and a failure", 60)
        gone = {"bucket": {"name": BUCKET}, "object": {"key": "in/gone.mp4", "eTag": "e"}}
        event = {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": "2026-11-29T08:00:00Z",
        }
        sqs.send_message(QueueUrl=settings.queue, MessageBody=json.dumps({"Records": [event | {"s3": gone}]}))
        sqs.send_message(QueueUrl=settings.queue, MessageBody="hello")
        wait_until(lambda: len(results()) == 3, "the failure of what is gone", 60)
        wait_until(lambda: "no_job" in host.ask("jobs", "list", "--dead"), "a dead letter", 60)
    (letter,) = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", host.ask("jobs", "list", "--dead"))
    host.ask("jobs", "drop", letter)
    told = {name: heard(aws, url) for name, url in hears.items()}
    return {
        "objects": {
            key: json.loads(s3.get_object(Bucket=SCORES, Key=key)["Body"].read()) for key in results()
        },
        "told": told,
        "left": host.ask("jobs", "list", "--dead"),
    }


def test_a_video_that_is_put_into_the_bucket_is_scored_by_the_hosts_role_alone(
    scored: dict[str, Any],
) -> None:
    (key,) = (key for key in scored["objects"] if "/failures/" not in key)
    assert re.fullmatch(r"dives/in/heat 3/054ä\.mp4\.[0-9a-f]{8}\.out", key)
    assert scored["objects"][key]["score"] == 61.5
    (message,) = scored["told"]["success"]
    assert message["invocationStatus"] == "Completed"
    assert message["responseParameters"]["outputLocation"] == f"s3://{SCORES}/{key}"


def test_what_cannot_be_scored_has_its_reason_and_tells_of_it(scored: dict[str, Any]) -> None:
    failures = {
        key.split("/")[3].split(".")[0]: one for key, one in scored["objects"].items() if "/failures/" in key
    }
    codes = {name: one["error"]["code"] for name, one in failures.items()}
    assert codes == {"055": "unreadable_video", "gone": "object_not_found"}
    assert {one["invocationStatus"] for one in scored["told"]["error"]} == {"Failed"}
    assert len(scored["told"]["error"]) == 2


def test_dead_letters_are_seen_and_dropped_on_a_host(scored: dict[str, Any]) -> None:
    assert "no_job" not in scored["left"]


def test_the_hosts_role_may_do_what_it_did_and_nothing_more(
    aws: Aws, role: dict[str, str], scored: object, settings: Async
) -> None:
    document = aws.client("iam").get_role_policy(RoleName="lane-host", PolicyName="jobs")["PolicyDocument"]
    assert actions(document) == aws.asked(role)
    s3, sqs, sns = (as_host(aws, role, service) for service in ("s3", "sqs", "sns"))
    calls: list[tuple[Any, str, dict[str, Any]]] = [
        (s3, "put_object", {"Bucket": BUCKET, "Key": "in/1.mp4"}),
        (s3, "get_object", {"Bucket": BUCKET, "Key": "pictures/1.jpg"}),
        (s3, "put_object", {"Bucket": SCORES, "Key": "1.out"}),
        (s3, "delete_object", {"Bucket": SCORES, "Key": "dives/1.out"}),
        (s3, "get_bucket_notification_configuration", {"Bucket": BUCKET}),
        (sqs, "purge_queue", {"QueueUrl": settings.queue}),
        (sqs, "delete_queue", {"QueueUrl": settings.queue}),
        (
            sqs,
            "send_message",
            {"QueueUrl": settings.queue.replace("lane-jobs", "thumbnails"), "MessageBody": "x"},
        ),
        (sns, "publish", {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:removals", "Message": "x"}),
    ]
    for client, call, arguments in calls:
        with pytest.raises(ClientError, match="not authorized to perform"):
            getattr(client, call)(**arguments)


@pytest.fixture(scope="module")
def policies(lane: Checkout) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (lane.folder / "build/policies").iterdir()}


@pytest.fixture(scope="module")
def lane_moved(aws: Aws, lane: Checkout, scored: object) -> Run:
    """Videos are to come into another bucket; who may change both does that."""
    other = {"LocationConstraint": REGION}
    aws.client("s3", REGION).create_bucket(Bucket="lane-more", CreateBucketConfiguration=other)
    before = lane.values("springboard_video_buckets", "job_queue_input")
    lane.edit(springboard_video_buckets=["lane-more"], job_queue_input="s3://lane-more")
    run = lane.play("jobs", **OWNER)
    assert notifications(aws).keys() == {"thumbnails", "removals", "EventBridge"}
    lane.edit(**before)
    assert lane.play("jobs", **OWNER).code == 0
    return run


def test_another_bucket_takes_the_place_of_the_former(lane_moved: Run, aws: Aws) -> None:
    assert lane_moved.code == 0, lane_moved.text
    assert "springboard-lane" in notifications(aws)
    told = aws.client("s3", REGION).get_bucket_notification_configuration(Bucket="lane-more")
    assert "QueueConfigurations" not in told


@pytest.fixture(scope="module")
def lane_torn_down(aws: Aws, lane: Checkout, lane_moved: object, settings: Async) -> Run:
    aws.client("sqs", REGION).send_message(QueueUrl=settings.queue, MessageBody="late")
    return lane.play("teardown", "-e", "teardown_confirm=lane")


def test_teardown_lists_and_deletes_ours_and_leaves_theirs(
    lane_torn_down: Run, aws: Aws, theirs: dict[str, Any]
) -> None:
    assert lane_torn_down.code == 0, lane_torn_down.text
    listed = lane_torn_down.text.split("to delete:")[1].split("TASK")[0]
    assert f"- notification springboard-lane of the bucket {BUCKET}" in listed
    assert re.search(r"- queue lane-jobs \([1-9]\d* messages\)", listed), listed
    assert "- queue lane-jobs-dead (" in listed
    assert f"- topic arn:aws:sns:{REGION}:{ACCOUNT}:lane-failed" in listed
    assert tagged(aws, REGION, "lane") == set()
    assert notifications(aws) == theirs


def test_a_second_teardown_changes_nothing(lane_torn_down: Run, lane: Checkout) -> None:
    run = lane.play("teardown", "-e", "teardown_confirm=lane")
    assert (run.code, run.changed) == (0, 0), run.text


def test_the_policies_allow_what_was_asked_and_nothing_more(
    lane_torn_down: Run, aws: Aws, lane: Checkout, policies: dict[str, dict[str, Any]]
) -> None:
    assert actions(policies["jobs"]) - aws.asked(lane.users["jobs"]) == set()
    about = {one for one in actions(policies["teardown"]) if re.match("sqs:|sns:|s3:.*Notification", one)}
    assert len(about) == 8
    assert about - aws.asked(lane.users["teardown"]) == set()


def actions(policy: dict[str, Any]) -> set[str]:
    listed = [one["Action"] for one in policy["Statement"]]
    return {action for one in listed for action in ([one] if isinstance(one, str) else one)}
