#!/usr/bin/python
"""Ansible module: a bucket's notification of new objects to a queue, beside the notifications of others."""

import time
from collections.abc import Iterator
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: s3_tells_queue
short_description: Has a bucket tell a queue of new objects below a prefix
description:
  - S3 takes all notifications of a bucket at once. Those with another C(id), and whether EventBridge is told,
    stay; the module of community.aws switches EventBridge off.
  - What S3 would refuse is refused before anything is changed, in check mode too.
options:
  region:
    description: The queue's region, which the bucket has to be in.
    type: str
    required: true
  bucket:
    description: The bucket.
    type: str
    required: true
  account:
    description: The account that has to own it.
    type: str
    required: true
  id:
    description: The notification's own name in the bucket.
    type: str
    required: true
  state:
    description: C(absent) takes it away, C(possible) only looks whether it can be had.
    type: str
    choices: [present, absent, possible]
    default: present
  queue_arn:
    description: The queue.
    type: str
    default: ""
  prefix:
    description: What keys begin with; empty for all.
    type: str
    default: ""
  needs:
    description: Other buckets that have to be there, whosever they are.
    type: list
    elements: str
    default: []
author: Springboard
"""

EXAMPLES = r"""
- name: Have the bucket tell of new videos
  s3_tells_queue:
    region: us-east-1
    bucket: my-dives
    account: "111122223333"
    id: springboard
    queue_arn: arn:aws:sqs:us-east-1:111122223333:springboard-jobs
    prefix: in/
"""

RETURN = r"""
there:
  description: Whether the notification was there before.
  type: bool
  returned: always
others:
  description: Names of notifications of others, which stay.
  type: list
  elements: str
  returned: always
"""

CREATED = "s3:ObjectCreated:"
KINDS = {
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}
# What SetQueueAttributes changes takes up to a minute to be known everywhere (botocore's model of SQS), and
# S3 looks whether it may send.
ATTEMPTS, PAUSE_SECONDS = 14, 5.0
UNVALIDATED = "Unable to validate"


class RefusedError(Exception):
    """The notification cannot be had; the text says what to do."""


def look(s3: Any, asked: dict[str, Any]) -> None:
    """Refuse buckets that are not there, another's, or in another region."""
    bucket, region = asked["bucket"], asked["region"]
    status, found = head(s3, bucket, ExpectedBucketOwner=asked["account"])
    if status == 404:
        raise RefusedError(
            f"There is no bucket {bucket}: make it in {region}, or correct job_queue_input. Yours: aws s3 ls"
        )
    if status == 403:
        raise RefusedError(
            f"The bucket {bucket} is not your account's ({asked['account']}), or your AWS user may not look "
            "at it (s3:ListBucket). Name a bucket of this account in job_queue_input: of another's its own "
            "people say whom it tells."
        )
    if status == 301 or found != region:
        raise RefusedError(
            f"The bucket {bucket} is in {found or 'another region'}, and S3 sends to queues of a bucket's "
            f"own region only; springboard_region is {region}. Name a bucket in {region} in job_queue_input."
        )
    for other in asked["needs"]:
        if head(s3, other)[0] == 404:
            raise RefusedError(
                f"There is no bucket {other}: make it, or correct job_queue_output or _failure."
            )


def head(s3: Any, bucket: str, **owner: str) -> tuple[int, str]:
    """Return what S3 answers about a bucket, and its region where it tells."""
    try:
        found = s3.head_bucket(Bucket=bucket, **owner)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status not in (301, 403, 404):
            raise
        return status, error.response["ResponseMetadata"].get("HTTPHeaders", {}).get(
            "x-amz-bucket-region", ""
        )
    headers = found["ResponseMetadata"]["HTTPHeaders"]
    return 200, found.get("BucketRegion") or headers.get("x-amz-bucket-region", "")


def named(told: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each notification of a bucket, with the ARN of whom it tells."""
    for kind, arn in KINDS.items():
        for one in told.get(kind, []):
            yield one[arn], one


def filters(one: dict[str, Any]) -> dict[str, str]:
    """Return a notification's prefix and suffix; S3 gives their names back as Prefix and Suffix."""
    rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return {rule["Name"].lower(): rule["Value"] for rule in rules if rule["Value"]}


def refuse_overlap(told: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse a prefix that another notification has, or one that begins with it, or it with.

    docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    """
    ours = asked["prefix"]
    for arn, one in named(told):
        theirs = filters(one).get("prefix", "")
        created = any(event.startswith(CREATED) for event in one["Events"])
        if one.get("Id") == asked["id"] or not created:
            continue
        if ours.startswith(theirs) or theirs.startswith(ours):
            raise RefusedError(
                f"The bucket {asked['bucket']} tells {arn} of new objects below '{theirs}' already (the "
                f"notification {one.get('Id')}), and S3 tells nobody else of what is below '{ours}' too. Set "
                "job_queue_input to a prefix beside it; or have that notification go to an SNS topic that "
                "both queues subscribe to (docs/drop.md)."
            )


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two notifications to queues tell the same queue of the same."""
    parts = (one["QueueArn"], sorted(one["Events"]), filters(one))
    return parts == (other["QueueArn"], sorted(other["Events"]), filters(other))


def blamed(error: ClientError) -> str:
    """Return which destinations S3 names as those that it cannot send to, and why."""
    found = error.response["Error"].items()
    return ", ".join(str(value) for key, value in found if key.startswith("Argument"))


def put(s3: Any, asked: dict[str, Any], told: dict[str, Any], skip: bool) -> None:
    """Write all of a bucket's notifications; wait where S3 does not know yet that it may send."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            s3.put_bucket_notification_configuration(
                Bucket=asked["bucket"],
                ExpectedBucketOwner=asked["account"],
                NotificationConfiguration=told,
                SkipDestinationValidation=skip,
            )
        except ClientError as error:
            if UNVALIDATED not in str(error):
                raise
            told_of = blamed(error)
            if asked["queue_arn"] not in told_of:
                raise RefusedError(
                    f"S3 takes the notifications of {asked['bucket']} all at once, and of others' there it "
                    f"refuses {told_of}. Have who made them mend or remove those, and run this again."
                ) from error
            if attempt == ATTEMPTS:
                raise RefusedError(f"S3 says that it may not send to {told_of}") from error
            time.sleep(PAUSE_SECONDS)
        else:
            return


def change(s3: Any, asked: dict[str, Any], check: bool) -> dict[str, Any]:
    """Do what is asked; return the module's answer."""
    told = s3.get_bucket_notification_configuration(
        Bucket=asked["bucket"], ExpectedBucketOwner=asked["account"]
    )
    del told["ResponseMetadata"]
    queues = told.get("QueueConfigurations", [])
    before = [one for one in queues if one.get("Id") == asked["id"]]
    others = [one.get("Id", "") for _, one in named(told) if one.get("Id") != asked["id"]]
    kept = [one for one in queues if one.get("Id") != asked["id"]]
    if asked["state"] == "absent":
        changed, after = bool(before), kept
    else:
        refuse_overlap(told, asked)
        ours = {"Id": asked["id"], "QueueArn": asked["queue_arn"], "Events": [CREATED + "*"]}
        if asked["prefix"]:
            rules = [{"Name": "prefix", "Value": asked["prefix"]}]
            ours["Filter"] = {"Key": {"FilterRules": rules}}
        changed, after = not (before and same(before[0], ours)), [*kept, ours]
    told["QueueConfigurations"] = after
    if changed and not check and asked["state"] != "possible":
        put(s3, asked, told, skip=asked["state"] == "absent")  # whether others may still be told is theirs
    return {"changed": changed and asked["state"] != "possible", "there": bool(before), "others": others}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "bucket": {"type": "str", "required": True},
            "account": {"type": "str", "required": True},
            "id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent", "possible"], "default": "present"},
            "queue_arn": {"type": "str", "default": ""},
            "prefix": {"type": "str", "default": ""},
            "needs": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    asked = module.params
    try:
        s3 = boto3.client("s3", region_name=asked["region"])
        if (
            asked["state"] == "absent"
            and head(s3, asked["bucket"], ExpectedBucketOwner=asked["account"])[0] != 200
        ):
            module.exit_json(changed=False, there=False, others=[])
        if asked["state"] != "absent":
            look(s3, asked)
        answer = change(s3, asked, module.check_mode)
    except (BotoCoreError, ClientError, RefusedError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
