"""The stand-in refuses the words that AWS refuses."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.harness import Aws

pytestmark = pytest.mark.xdist_group("aws")
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
QUEUE = "http://sqs/123456789012/rules"
DEAD = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dead", "maxReceiveCount": 1001}


def queue(**attributes: str) -> dict[str, Any]:
    return {"QueueName": "rules", "Attributes": attributes}


REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("ec2", "create_security_group", {"GroupName": "g", "Description": "Springboard's hosts"}, "description"),
    ("ec2", "create_security_group", {"GroupName": "g", "Description": "ü"}, "description"),
    ("ec2", "create_security_group", {"GroupName": "sg-1", "Description": "g"}, "GroupName"),
    ("ec2", "create_security_group", {"GroupName": "g", "Description": "x" * 256}, "description"),
    (
        "ec2",
        "authorize_security_group_ingress",
        {
            "GroupId": "sg-1",
            "IpPermissions": [
                {
                    "IpProtocol": "tcp",
                    "FromPort": 443,
                    "ToPort": 443,
                    "IpRanges": [{"CidrIp": "203.0.113.0/24", "Description": "the team's"}],
                }
            ],
        },
        "IpRanges.1.Description",
    ),
    ("ec2", "create_tags", {"Resources": ["vpc-1"], "Tags": [{"Key": "aws:x", "Value": ""}]}, "Tag.1.Key"),
    (
        "ec2",
        "create_tags",
        {"Resources": ["vpc-1"], "Tags": [{"Key": "x", "Value": "y" * 257}]},
        "Tag.1.Value",
    ),
    ("ec2", "create_vpc", {"CidrBlock": "10.0.0.0/8"}, "CidrBlock"),
    ("ec2", "import_key_pair", {"KeyName": "schlüssel", "PublicKeyMaterial": b"ssh-ed25519 A"}, "KeyName"),
    ("iam", "create_role", {"RoleName": "a b", "AssumeRolePolicyDocument": TRUST}, "roleName"),
    ("iam", "create_role", {"RoleName": "r" * 65, "AssumeRolePolicyDocument": TRUST}, "roleName"),
    (
        "iam",
        "create_role",
        {"RoleName": "r", "AssumeRolePolicyDocument": TRUST, "Description": "scores \u2013 dives"},
        "description",
    ),
    (
        "iam",
        "create_role",
        {"RoleName": "r", "AssumeRolePolicyDocument": TRUST, "Tags": [{"Key": "team", "Value": "a*b"}]},
        "tags",
    ),
    ("iam", "create_instance_profile", {"InstanceProfileName": "a/b"}, "instanceProfileName"),
    ("service-quotas", "get_service_quota", {"ServiceCode": "1", "QuotaCode": "L-DB2E81BA"}, "serviceCode"),
    ("s3", "create_bucket", {"Bucket": "192.168.1.1"}, "bucket"),
    ("s3", "create_bucket", {"Bucket": "models-s3alias"}, "bucket"),
    ("sqs", "create_queue", {"QueueName": "a b"}, "QueueName"),
    ("sqs", "create_queue", {"QueueName": "q" * 81}, "QueueName"),
    ("sqs", "create_queue", {"QueueName": "rules", "tags": {"aws:x": "y"}}, "Tag keys"),
    ("sqs", "create_queue", {"QueueName": "rules", "tags": {"x": "a*b"}}, "Tag keys"),
    ("sqs", "create_queue", queue(MessageRetentionPeriod="1209601"), "MessageRetentionPeriod"),
    ("sqs", "create_queue", queue(ReceiveMessageWaitTimeSeconds="21"), "ReceiveMessageWaitTimeSeconds"),
    ("sqs", "create_queue", queue(VisibilityTimeout="43201"), "VisibilityTimeout"),
    ("sqs", "create_queue", queue(VisibilityTimeout="30.0"), "VisibilityTimeout"),
    ("sqs", "create_queue", queue(RedrivePolicy=json.dumps(DEAD)), "RedrivePolicy"),
    ("sqs", "create_queue", queue(RedrivePolicy='{"maxReceiveCount": 5}'), "RedrivePolicy"),
    ("sqs", "create_queue", queue(Policy="{"), "Policy"),
    ("sqs", "create_queue", queue(SqsManagedSseEnabled="True"), "SqsManagedSseEnabled"),
    ("sqs", "create_queue", queue(SqsManagedSseEnabled="true", KmsMasterKeyId="alias/aws/sqs"), "one type"),
    ("sqs", "create_queue", queue(Encrypted="true"), "Encrypted"),
    ("sqs", "receive_message", {"QueueUrl": QUEUE, "WaitTimeSeconds": 21}, "WaitTimeSeconds"),
    ("sqs", "receive_message", {"QueueUrl": QUEUE, "MaxNumberOfMessages": 11}, "MaxNumberOfMessages"),
    ("sns", "create_topic", {"Name": "a b"}, "Topic Name"),
    ("sns", "create_topic", {"Name": "a", "Tags": [{"Key": "x", "Value": "a*b"}]}, "Tag keys"),
    (
        "sns",
        "publish",
        {"TopicArn": "arn:aws:sns:us-east-1:123456789012:a", "Message": "ü" * 131_073},
        "too long",
    ),
]


@pytest.mark.parametrize(
    ("service", "call", "arguments", "named"), REFUSED, ids=[f"{one[1]}-{n}" for n, one in enumerate(REFUSED)]
)
def test_words_that_aws_refuses_are_refused(
    service: str, call: str, arguments: dict[str, Any], named: str, aws: Aws
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(aws.client(service), call)(**arguments)
    error = caught.value.response["Error"]
    assert error["Code"] in (
        "InvalidParameterValue",
        "ValidationError",
        "ValidationException",
        "InvalidBucketName",
        "InvalidAttributeName",
        "InvalidAttributeValue",
        "InvalidParameter",
    )
    assert named in error["Message"]


def test_words_that_aws_takes_are_taken(aws: Aws) -> None:
    ec2, iam = aws.client("ec2", "eu-west-1"), aws.client("iam")
    group = ec2.create_security_group(GroupName="rules", Description="a-z 0-9 ._-:/()#,@[]+=&;{}!$*")
    ec2.create_tags(Resources=[group["GroupId"]], Tags=[{"Key": "Équipe 1", "Value": "tout *"}])
    ec2.delete_security_group(GroupId=group["GroupId"])
    described = "Springboard's hosts: é"
    iam.create_role(
        RoleName="rules",
        AssumeRolePolicyDocument=TRUST,
        Description=described,
        Tags=[{"Key": "Équipe 1", "Value": "a.b:/=+-@_"}],
    )
    assert iam.get_role(RoleName="rules")["Role"]["Description"] == described
    iam.delete_role(RoleName="rules")


def test_a_bucket_whose_owner_owns_all_takes_no_acl(aws: Aws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="owned-models", ObjectOwnership="BucketOwnerEnforced")
    s3.put_bucket_ownership_controls(
        Bucket="owned-models", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    for acl in ("private", "public-read"):
        with pytest.raises(ClientError, match="AccessControlListNotSupported"):
            s3.put_object(Bucket="owned-models", Key="notes", ACL=acl)
    s3.put_object(Bucket="owned-models", Key="notes", ACL="bucket-owner-full-control")
    s3.put_object(Bucket="owned-models", Key="notes")


def told(
    queue: str, prefix: str = "", suffix: str = "", events: str = "s3:ObjectCreated:*", name: str = ""
) -> Any:
    """A notification to a queue."""
    rules = [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]
    found = {"QueueArn": f"arn:aws:sqs:us-east-1:123456789012:{queue}", "Events": [events]}
    named = {"Id": name} if name else {}
    given = [rule for rule in rules if rule["Value"]]
    return {**found, **named, **({"Filter": {"Key": {"FilterRules": given}}} if given else {})}


@pytest.fixture(scope="module")
def told_queue(aws: Aws) -> Any:
    """A bucket, and queues: one that it may send to, and one that another's may."""
    s3, sqs = aws.client("s3"), aws.client("sqs")
    s3.create_bucket(Bucket="told-dives")
    for name, bucket in (("told", "told-dives"), ("closed", "told-others")):
        lets = {
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": f"arn:aws:sqs:us-east-1:123456789012:{name}",
            "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
        }
        sqs.create_queue(QueueName=name, Attributes={"Policy": json.dumps({"Statement": [lets]})})

    def put(*queues: Any, **more: Any) -> None:
        configuration = {"QueueConfigurations": list(queues)}
        s3.put_bucket_notification_configuration(
            Bucket="told-dives", NotificationConfiguration=configuration, **more
        )

    return put


@pytest.mark.parametrize(
    ("queues", "said"),
    [
        ([told("told", "in/"), told("told", "in/2026/")], "ambiguously defined"),
        ([told("told", "in/"), told("told")], "ambiguously defined"),
        ([told("told", "in/", ".mp4"), told("told", "in/", "4")], "ambiguously defined"),
        ([told("told", "in/"), told("told", "in/", events="s3:ObjectCreated:Put")], "ambiguously defined"),
        ([told("told", "in/", name="x"), told("told", "out/", name="x")], "Same ID"),
        ([told("told.fifo", "in/")], "FIFO SQS queues are not supported"),
        ([told("nobody", "in/")], "Unable to validate the following destination"),
        ([told("closed", "in/")], "Unable to validate the following destination"),
    ],
)
def test_notifications_that_s3_refuses_are_refused(told_queue: Any, queues: list[Any], said: str) -> None:
    with pytest.raises(ClientError, match=said) as caught:
        told_queue(*queues)
    assert caught.value.response["Error"]["Code"] == "InvalidArgument"


def test_s3_sends_where_it_may_and_only_there(aws: Aws, told_queue: Any) -> None:
    s3, sqs = aws.client("s3"), aws.client("sqs")
    told_queue(
        told("told", "in/", ".mp4"),
        told("told", "in/", ".mov"),
        told("told", "out/"),
        told("closed", "x/"),
        SkipDestinationValidation=True,
    )
    for key in ("in/1.mp4", "in/1.jpg", "x/1"):
        s3.put_object(Bucket="told-dives", Key=key)
    counts = {}
    for name in ("told", "closed"):
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])[
            "Attributes"
        ]
        counts[name] = int(found["ApproximateNumberOfMessages"])
    assert counts == {"told": 2, "closed": 0}, "the test's message and a video"


def test_who_may_not_list_a_bucket_is_not_told_what_is_missing(aws: Aws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="listed")
    reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    lists = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
    codes = {}
    for name, statements in (("reads", [reads]), ("lists", [reads, lists])):
        user = aws.user(f"rules-{name}", json.dumps({"Version": "2012-10-17", "Statement": statements}))
        with pytest.raises(ClientError) as caught:
            aws.client("s3", "us-east-1", user).get_object(Bucket="listed", Key="nothing")
        codes[name] = caught.value.response["Error"]["Code"]
    assert codes == {"reads": "AccessDenied", "lists": "NoSuchKey"}
