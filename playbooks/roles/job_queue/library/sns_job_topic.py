#!/usr/bin/python
"""Ansible module: a topic of SNS, beside who subscribed to it and what others set of it."""

from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: sns_job_topic
short_description: Makes a standard topic, or deletes it
description:
  - Subscriptions, the policy, and tags of others stay. The module of community.aws lists all topics and
    subscriptions of the account for what is asked by name here.
  - A topic without the deployment's tag is neither changed nor deleted.
options:
  region:
    description: The region.
    type: str
    required: true
  arn:
    description: The topic's ARN.
    type: str
    required: true
  deployment:
    description: Whose it is, as the tag C(springboard:deployment).
    type: str
    required: true
  state:
    description: C(absent) has it deleted, with its subscriptions.
    type: str
    choices: [present, absent]
    default: present
  tags:
    description: Tags beside that of the deployment.
    type: dict
    default: {}
author: Springboard
"""

EXAMPLES = r"""
- name: Make the topic that is told of results
  sns_job_topic:
    region: us-east-1
    arn: arn:aws:sns:us-east-1:111122223333:springboard-scored
    deployment: springboard
"""

RETURN = r"""
there:
  description: Whether it was there before.
  type: bool
  returned: always
"""

TAG = "springboard:deployment"


class NotOursError(Exception):
    """The topic is somebody else's; the text says what to do."""


def find(sns: Any, arn: str) -> dict[str, str] | None:
    """Return the topic's tags; None where there is none."""
    try:
        listed = sns.list_tags_for_resource(ResourceArn=arn)["Tags"]
    except sns.exceptions.ResourceNotFoundException:
        return None
    return {one["Key"]: one["Value"] for one in listed}


def present(sns: Any, asked: dict[str, Any], found: dict[str, str] | None, check: bool) -> bool:
    """Make the topic, or bring its tags to what is asked; return whether anything had to be changed."""
    arn, tags = asked["arn"], asked["tags"] | {TAG: asked["deployment"]}
    if found is not None and found.get(TAG) != asked["deployment"]:
        raise NotOursError(
            f"Your account has a topic {arn} that is not of the deployment {asked['deployment']}. Set "
            "springboard_deployment in inventory/group_vars/all/aws.yml to another name, or delete it if "
            f"nobody needs it: aws sns delete-topic --topic-arn {arn}"
        )
    missing = {key: value for key, value in tags.items() if (found or {}).get(key) != value}
    listed = [{"Key": key, "Value": missing[key]} for key in sorted(missing)]
    if found is None and not check:
        sns.create_topic(Name=arn.rpartition(":")[2], Tags=listed)
    elif missing and not check:
        sns.tag_resource(ResourceArn=arn, Tags=listed)
    return bool(missing)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "arn": {"type": "str", "required": True},
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    asked, check = module.params, module.check_mode
    try:
        sns = boto3.client("sns", region_name=asked["region"])
        found = find(sns, asked["arn"])
        if asked["state"] == "present":
            there, changed = found is not None, present(sns, asked, found, check)
        else:
            there = changed = found is not None and found.get(TAG) == asked["deployment"]
            if changed and not check:
                sns.delete_topic(TopicArn=asked["arn"])
    except (BotoCoreError, ClientError, NotOursError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, there=there)


if __name__ == "__main__":
    main()
