#!/usr/bin/python
"""Ansible module: a queue of SQS, beside what others set of it."""

import json
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: sqs_job_queue
short_description: Makes a standard queue, or deletes it
description:
  - Attributes that are not named, statements of the policy with other Sids, and tags of others stay. The
    module of community.aws writes the whole policy, and knows no C(SqsManagedSseEnabled).
  - A queue without the deployment's tag is neither changed nor deleted.
options:
  region:
    description: The region.
    type: str
    required: true
  name:
    description: The queue's name.
    type: str
    required: true
  deployment:
    description: Whose it is, as the tag C(springboard:deployment).
    type: str
    required: true
  state:
    description: C(absent) has it deleted, with all that waits in it.
    type: str
    choices: [present, absent]
    default: present
  attributes:
    description: Attributes as SetQueueAttributes takes them, but C(Policy); C(RedrivePolicy) as a dict.
    type: dict
    default: {}
  statements:
    description: Statements of its policy, each with a Sid.
    type: list
    elements: dict
    default: []
  tags:
    description: Tags beside that of the deployment.
    type: dict
    default: {}
author: Springboard
"""

EXAMPLES = r"""
- name: Make the dead letters
  sqs_job_queue:
    region: us-east-1
    name: springboard-jobs-dead
    deployment: springboard
    attributes: {MessageRetentionPeriod: "1209600"}
"""

RETURN = r"""
there:
  description: Whether it was there before.
  type: bool
  returned: always
url:
  description: Its URL; empty where it would only be made.
  type: str
  returned: always
told:
  description: Its name, and about how many messages it held before, those at work too.
  type: str
  returned: always
policy:
  description: Its policy, as it was before.
  type: dict
  returned: always
"""

TAG = "springboard:deployment"
COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


class NotOursError(Exception):
    """The queue is somebody else's; the text says what to do."""


def find(sqs: Any, name: str, deployment: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """Return the queue's URL (empty where there is none), its attributes and its tags."""
    try:
        url: str = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        tags = sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]).get("Attributes", {})
    except sqs.exceptions.QueueDoesNotExist:
        return "", {}, {}
    if tags.get(TAG) != deployment:
        raise NotOursError(
            f"Your account has a queue {name} that is not of the deployment {deployment}. Set "
            "springboard_deployment in inventory/group_vars/all/aws.yml to another name, or delete it if "
            f"nobody needs it: aws sqs delete-queue --queue-url {url}"
        )
    return url, attributes, tags


def merged(policy: dict[str, Any], statements: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a policy in which these statements stand for those with their Sids, and all others stay."""
    ours = {one["Sid"]: one for one in statements}
    kept = [ours.pop(one.get("Sid"), one) for one in policy.get("Statement", [])]
    return {"Version": "2012-10-17", **policy, "Statement": [*kept, *ours.values()]}


def wanted(asked: dict[str, Any], now: dict[str, str]) -> dict[str, str]:
    """Return the attributes that are not yet as asked, as SQS takes them."""
    changes = {}
    for name, value in asked["attributes"].items():
        if name == "RedrivePolicy":
            found = {key: str(one) for key, one in json.loads(now.get(name) or "{}").items()}
            if found != {key: str(one) for key, one in value.items()}:
                changes[name] = json.dumps(value)
        elif now.get(name) != str(value):
            changes[name] = str(value)
    policy = json.loads(now.get("Policy") or "{}")
    if asked["statements"] and merged(policy, asked["statements"]) != policy:
        changes["Policy"] = json.dumps(merged(policy, asked["statements"]))
    return changes


def make(sqs: Any, name: str, attributes: dict[str, str], tags: dict[str, str]) -> str:
    """Make the queue; return its URL."""
    try:
        url: str = sqs.create_queue(QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"]
    except sqs.exceptions.QueueDeletedRecently as error:
        raise NotOursError(
            f"A queue {name} was deleted less than a minute ago, and SQS makes none of that name before a "
            "minute is over: run this again then."
        ) from error
    return url


def present(sqs: Any, asked: dict[str, Any], check: bool) -> dict[str, Any]:
    """Make the queue, or bring it to what is asked."""
    name, tags = asked["name"], asked["tags"] | {TAG: asked["deployment"]}
    url, now, found = find(sqs, name, asked["deployment"])
    changes = wanted(asked, now)
    missing = {key: value for key, value in tags.items() if found.get(key) != value}
    there = bool(url)
    if not there and not check:
        url = make(sqs, name, changes, tags)
    elif not check:
        if changes:
            sqs.set_queue_attributes(QueueUrl=url, Attributes=changes)
        if missing:
            sqs.tag_queue(QueueUrl=url, Tags=missing)
    return {"changed": bool(not there or changes or missing), "there": there, "url": url, **told(name, now)}


def absent(sqs: Any, asked: dict[str, Any], check: bool) -> dict[str, Any]:
    """Delete the queue, unless it is another's."""
    try:
        url, now, _ = find(sqs, asked["name"], asked["deployment"])
    except NotOursError:
        url, now = "", {}
    if url and not check:
        sqs.delete_queue(QueueUrl=url)
    return {"changed": bool(url), "there": bool(url), "url": url, **told(asked["name"], now)}


def told(name: str, now: dict[str, str]) -> dict[str, Any]:
    """Return what of a queue's attributes is told."""
    messages = sum(int(now.get(one, 0)) for one in COUNTS)
    return {"told": f"{name} ({messages} messages)", "policy": json.loads(now.get("Policy") or "{}")}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "attributes": {"type": "dict", "default": {}},
            "statements": {"type": "list", "elements": "dict", "default": []},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    act = present if module.params["state"] == "present" else absent
    try:
        sqs = boto3.client("sqs", region_name=module.params["region"])
        answer = act(sqs, module.params, module.check_mode)
    except (BotoCoreError, ClientError, NotOursError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
