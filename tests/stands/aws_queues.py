"""What SQS, SNS and S3's notifications refuse and moto takes, and whom S3 sends to.

The bounds are prose of the API references, which botocore's models repeat; each has its source. Also added:
- S3 sends to queues whose policy lets it, and to no others; and looks at that when a notification is made;
- it tells whether EventBridge is told, and gives a filter's `prefix` back as `Prefix`;
- attributes of a queue that are not named by SetQueueAttributes stay, the policy among them.
"""

import json
import re
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any
from urllib.parse import parse_qsl

import xmltodict  # type: ignore[import-untyped]
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3 import notifications
from moto.s3.models import s3_backends
from moto.s3.responses import S3Response
from moto.sqs.models import Queue, sqs_backends

from tests.stands.aws_rules import Fault

_SQS = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_"
_SNS = "https://docs.aws.amazon.com/sns/latest/api/API_"
_QUOTAS = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html"
_FILTERS = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html"

# Attributes of a queue: the least and the most.
BOUNDS = {
    "DelaySeconds": (0, 900),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
    "MaximumMessageSize": (1024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
# Parameters of calls: their bounds and where these stand.
PARAMETERS = {
    "DelaySeconds": (0, 900, _SQS + "SendMessage.html"),
    "MaxNumberOfMessages": (1, 10, _SQS + "ReceiveMessage.html"),
    "VisibilityTimeout": (0, 43_200, _SQS + "ChangeMessageVisibility.html"),
    "WaitTimeSeconds": (0, 20, _SQS + "ReceiveMessage.html"),
}
_QUEUE_NAME = r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo"
# Unicode letters, digits, spaces and _ . : / = + - @
_TAG = r"(?!(?i:aws:))[\w\s.:/=+@-]"
_DELETED: dict[tuple[str, str], float] = {}
AGAIN_SECONDS = 60.0

_KINDS = {
    "QueueConfiguration": "Queue",
    "TopicConfiguration": "Topic",
    "CloudFunctionConfiguration": "CloudFunction",
}


def find(service: str, region: str, target: str, body: bytes) -> Fault | None:
    """Return what SQS or SNS would refuse of a request; None where nothing is known against it."""
    if service == "sqs":
        return _of_sqs(region, target.rpartition(".")[2], json.loads(body or b"{}"))
    if service == "sns":
        return _of_sns(dict(parse_qsl(body.decode(), keep_blank_values=True)))
    return None


def _of_sqs(region: str, action: str, given: dict[str, Any]) -> Fault | None:
    name = given.get("QueueName") or given.get("QueueUrl", "").rpartition("/")[2]
    if name and not re.fullmatch(_QUEUE_NAME, name):
        says = (
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length. QueueName"
        )
        return Fault("sqs", "QueueName", f"{says}: {_SQS}CreateQueue.html", "InvalidParameterValue")
    if action == "DeleteQueue" and name in sqs_backends[DEFAULT_ACCOUNT_ID][region].queues:
        _DELETED[region, name] = time.monotonic()
    gone = _DELETED.get((region, name))
    if action == "CreateQueue" and gone is not None and time.monotonic() < gone + AGAIN_SECONDS:
        says = "You must wait 60 seconds after deleting a queue before you can create another of its name."
        return Fault("sqs", "QueueName", says, "QueueDeletedRecently")
    for parameter, (least, most, source) in PARAMETERS.items():
        if parameter in given and not least <= given[parameter] <= most:
            says = (
                f"Value {given[parameter]} for parameter {parameter} is invalid: {least} to {most}. {source}"
            )
            return Fault("sqs", parameter, says, "InvalidParameterValue")
    return _of_attributes(given.get("Attributes") or {}) or _of_tags(
        "sqs", given.get("tags") or given.get("Tags") or {}
    )


def _of_attributes(attributes: dict[str, str]) -> Fault | None:
    if attributes.get("SqsManagedSseEnabled") == "true" and attributes.get("KmsMasterKeyId"):
        says = f"You can use one type of server-side encryption (SSE) at one time. {_SQS}CreateQueue.html"
        return Fault("sqs", "KmsMasterKeyId", says, "InvalidAttributeValue")
    return next((fault for name, value in attributes.items() if (fault := _of_attribute(name, value))), None)


def _of_attribute(name: str, value: str) -> Fault | None:
    known = {
        *BOUNDS,
        "Policy",
        "RedrivePolicy",
        "RedriveAllowPolicy",
        "SqsManagedSseEnabled",
        "KmsMasterKeyId",
    }
    known |= {"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}
    if name not in known:
        return Fault("sqs", name, f"Unknown Attribute {name}.", "InvalidAttributeName")
    least, most = BOUNDS.get(name, (0, 0))
    if name in BOUNDS:
        right = bool(re.fullmatch(r"\d+", value)) and least <= int(value) <= most
    elif name == "SqsManagedSseEnabled":
        right = value in ("true", "false")
    elif name == "RedrivePolicy":
        right = _is_redrive(value)
    elif name == "Policy":
        right = value == "" or _is_policy(value)
    else:
        right = True
    says = f"Invalid value for the parameter {name}. See {_SQS}SetQueueAttributes.html"
    return None if right else Fault("sqs", name, says, "InvalidAttributeValue")


def _is_redrive(value: str) -> bool:
    """From 1 to 1,000 receives: .../SQSDeveloperGuide/sqs-configure-dead-letter-queue.html ."""
    told = _json(value)
    right = {"deadLetterTargetArn", "maxReceiveCount"}
    return told == {} or (
        isinstance(told, dict)
        and told.keys() == right
        and bool(
            re.fullmatch(
                r"arn:[a-z-]+:sqs:[a-z0-9-]+:\d{12}:[\w-]+(\.fifo)?", str(told["deadLetterTargetArn"])
            )
        )
        and 1 <= int(told["maxReceiveCount"]) <= 1000
    )


def _is_policy(value: str) -> bool:
    told = _json(value)
    return isinstance(told, dict) and all(
        one.keys() >= {"Effect", "Principal", "Action", "Resource"} for one in told.get("Statement", [{}])
    )


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return None


def _of_tags(service: str, tags: dict[str, str] | list[Any]) -> Fault | None:
    """Sources: `_QUOTAS`, docs.aws.amazon.com/sns/latest/dg/sns-tags.html ."""
    pairs = tags.items() if isinstance(tags, dict) else [(one["Key"], one["Value"]) for one in tags]
    for key, value in pairs:
        if not re.fullmatch(_TAG + "{1,128}", key) or not re.fullmatch(r"[\w\s.:/=+@-]{0,256}", value):
            return Fault(
                service,
                "Tags",
                f"Tag keys or values are invalid: {key}={value}. {_QUOTAS}",
                _invalid(service),
            )
    return None


def _invalid(service: str) -> str:
    return "InvalidParameterValue" if service == "sqs" else "InvalidParameter"


def _of_sns(form: dict[str, str]) -> Fault | None:
    tags = [
        {"Key": value, "Value": form.get(name.removesuffix("Key") + "Value", "")}
        for name, value in form.items()
        if re.fullmatch(r"Tags\.member\.\d+\.Key", name)
    ]
    if len(form.get("Message", "").encode()) > 262_144:
        return Fault(
            "sns", "Message", f"Invalid parameter: Message too long. {_SNS}Publish.html", "InvalidParameter"
        )
    if "Name" in form and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}(\.fifo)?", form["Name"]):
        says = f"Invalid parameter: Topic Name. See {_SNS}CreateTopic.html"
        return Fault("sns", "Name", says, "InvalidParameter")
    return _of_tags("sns", tags)


def notification(bucket: str, body: bytes, skip: bool) -> Fault | None:
    """Return what S3 would refuse of a bucket's notifications; `skip`: it looks not whether it may send."""
    told = xmltodict.parse(body)["NotificationConfiguration"] or {}
    found = [(one[name], one) for kind, name in _KINDS.items() for one in _list(told.get(kind))]
    names = [one["Id"] for _, one in found if one.get("Id")]
    if len(set(names)) < len(names) or any(len(name) > 255 for name in names):
        return _argument(
            "Same ID used for multiple configurations. IDs must be unique, of up to 255 characters"
        )
    for (_, one), (_, other) in combinations(found, 2):
        if _overlap(one, other):
            return _argument(
                "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the "
                f"prefixes are overlapping for the same event type. {_FILTERS}"
            )
    for arn, _ in found:
        if ":sqs:" in arn and arn.endswith(".fifo"):
            return _argument("FIFO SQS queues are not supported.")
        if ":sqs:" in arn and not skip and (why := _cannot_send(arn, bucket)):
            says = "Unable to validate the following destination configurations"
            return _argument(says, ArgumentName=arn, ArgumentValue=why)
    return None


def lowered(body: bytes) -> bytes:
    """Return notifications with filters' names as moto takes them; S3 takes those that it gives, too."""
    return re.sub(
        rb"<Name>(Prefix|Suffix)<", lambda found: found[0].lower().replace(b"<name>", b"<Name>"), body
    )


def _argument(says: str, **more: str) -> Fault:
    return Fault("s3", "NotificationConfiguration", says, "InvalidArgument", tuple(more.items()))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    (prefix, suffix), (others_prefix, others_suffix) = _filter(one), _filter(other)
    return (
        any(
            fnmatchcase(a, b) or fnmatchcase(b, a) for a in _list(one["Event"]) for b in _list(other["Event"])
        )
        and (prefix.startswith(others_prefix) or others_prefix.startswith(prefix))
        and (suffix.endswith(others_suffix) or others_suffix.endswith(suffix))
    )


def _filter(one: dict[str, Any]) -> tuple[str, str]:
    rules = _list(((one.get("Filter") or {}).get("S3Key") or {}).get("FilterRule"))
    named = {rule["Name"].lower(): rule["Value"] or "" for rule in rules}
    return named.get("prefix", ""), named.get("suffix", "")


def _cannot_send(arn: str, bucket: str) -> str:
    """Return why S3 may not send for a bucket to a queue; empty where it may."""
    queue = sqs_backends[DEFAULT_ACCOUNT_ID][arn.split(":")[3]].queues.get(arn.split(":")[5])
    if queue is None:
        return "The destination queue does not exist"
    if not admits(json.loads(queue.policy or "{}"), arn, bucket):
        return (
            "Permissions on the destination queue do not allow S3 to publish notifications from this bucket"
        )
    if queue.kms_master_key_id:  # type: ignore[attr-defined]
        return "The key of the destination queue does not let S3 encrypt"
    return ""


def admits(policy: dict[str, Any], queue: str, bucket: str) -> bool:
    """Whether a queue's policy lets S3 send for a bucket of this account, over TLS."""
    context = {
        "aws:SourceArn": f"arn:aws:s3:::{bucket}",
        "aws:SourceAccount": DEFAULT_ACCOUNT_ID,
        "aws:SecureTransport": "true",
    }
    effects = {
        one["Effect"]
        for one in policy.get("Statement", [])
        if one["Principal"] in ("*", {"Service": "s3.amazonaws.com"})
        and any(fnmatchcase("sqs:sendmessage", action.lower()) for action in _list(one["Action"]))
        and any(fnmatchcase(queue, resource) for resource in _list(one["Resource"]))
        and all(_holds(operator, asked, context) for operator, asked in one.get("Condition", {}).items())
    }
    return effects == {"Allow"}


def _holds(operator: str, asked: dict[str, Any], context: dict[str, str]) -> bool:
    known = {"ArnEquals", "ArnLike", "StringEquals", "StringLike", "Bool"}
    assert operator in known, f"this stand-in does not know the operator {operator}"
    return all(
        any(fnmatchcase(context.get(name, ""), one) for one in _list(value)) for name, value in asked.items()
    )


def _sending(send: Callable[..., None]) -> Callable[..., None]:
    def send_sqs_message(account: str, event: Any, queue_name: str, region: str) -> None:
        bucket = event["Bucket"] if "Bucket" in event else event["Records"][0]["s3"]["bucket"]["name"]
        if not _cannot_send(f"arn:aws:sqs:{region}:{account}:{queue_name}", bucket):
            send(account, event, queue_name, region)

    return send_sqs_message


def _telling(get: Callable[[S3Response], Any]) -> Callable[[S3Response], Any]:
    def get_bucket_notification(response: S3Response) -> Any:
        status, headers, body = get(response)
        told = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[response.bucket_name].notification_configuration
        text = body.decode() if isinstance(body, bytes) else body
        text = text.replace("<Name>prefix<", "<Name>Prefix<").replace("<Name>suffix<", "<Name>Suffix<")
        if told and told.event_bridge is not None:
            end = "</NotificationConfiguration>"
            text = text.replace(end, "<EventBridgeConfiguration></EventBridgeConfiguration>" + end)
        return status, headers, text

    return get_bucket_notification


def _keeping(change: Callable[..., None]) -> Callable[..., None]:
    def set_attributes(queue: Queue, attributes: dict[str, Any], now: float | None = None) -> None:
        kept = (
            {} if "Policy" in attributes or not hasattr(queue, "_policy_json") else {"Policy": queue.policy}
        )
        change(queue, {**kept, **attributes}, now)

    return set_attributes


def install() -> None:
    """Change moto's models so."""
    setattr(notifications, "_send_sqs_message", _sending(notifications._send_sqs_message))  # noqa: B010
    setattr(S3Response, "get_bucket_notification", _telling(S3Response.get_bucket_notification))  # noqa: B010
    setattr(Queue, "_set_attributes", _keeping(Queue._set_attributes))  # noqa: B010
