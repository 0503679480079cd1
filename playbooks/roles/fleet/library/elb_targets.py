#!/usr/bin/python
"""Ansible module: the target group that a load balancer sends requests to."""

from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: elb_targets
short_description: A target group with its health check, its attributes and its tags
description:
  - C(community.aws.elb_target_group) knows neither check mode nor a slow start, and tags what it has made a
    moment later, which a policy that asks for the tag does not let it make.
  - What registers targets is an Auto Scaling group, so targets are left alone.
options:
  region:
    description: The region.
    type: str
    required: true
  name:
    description: The target group's name.
    type: str
    required: true
  made_with:
    description: What CreateTargetGroup is told that cannot be changed afterwards, in its own words.
    type: dict
    required: true
  health:
    description: What CreateTargetGroup and ModifyTargetGroup are told of health checks, in their own words.
    type: dict
    required: true
  attributes:
    description: Attributes by their keys.
    type: dict
    required: true
  tags:
    description: Tags. Those that others set stay.
    type: dict
    required: true
author: Springboard
"""

EXAMPLES = r"""
- name: Make the target group
  elb_targets:
    region: us-east-1
    name: springboard-fleet
    made_with: {Protocol: HTTP, Port: 8080, VpcId: vpc-0123456789abcdef0, TargetType: instance}
    health: {HealthCheckPath: /ping, HealthCheckIntervalSeconds: 10}
    attributes: {slow_start.duration_seconds: 60}
    tags: {springboard:deployment: springboard}
"""

RETURN = r"""
arn:
  description: The target group's ARN; empty in check mode, where it would be made.
  type: str
  returned: always
"""


class FixedError(Exception):
    """The target group is made in a way that cannot be changed; the text says what to do."""


def listed(tags: dict[str, str]) -> list[dict[str, str]]:
    """Write tags as ELB takes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def find(elb: Any, name: str) -> dict[str, Any]:
    """Return the target group as ELB describes it; empty where there is none."""
    try:
        found: dict[str, Any] = elb.describe_target_groups(Names=[name])["TargetGroups"][0]
    except elb.exceptions.TargetGroupNotFoundException:
        return {}
    return found


def fixed(found: dict[str, Any], made_with: dict[str, Any]) -> None:
    """Raise `FixedError` where it would have to be made anew."""
    if differ := sorted(key for key, value in made_with.items() if found.get(key) != value):
        raise FixedError(
            f"The target group {found['TargetGroupName']} has "
            + ", ".join(f"{key} {found.get(key)} in place of {made_with[key]}" for key in differ)
            + ", which ELB does not change. Set it back, or tear the fleet down first (docs/fleet.md)."
        )


def changes(
    elb: Any, arn: str, found: dict[str, Any], asked: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """Return what of the health check, the attributes and the tags is not as asked."""
    has = {
        one["Key"]: one["Value"]
        for one in elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    }
    tags = {
        one["Key"]: one["Value"]
        for one in elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
    }
    return (
        {key: value for key, value in asked["health"].items() if found.get(key) != value},
        {key: str(value) for key, value in asked["attributes"].items() if has.get(key) != str(value)},
        {key: value for key, value in asked["tags"].items() if tags.get(key) != value},
    )


def present(elb: Any, asked: dict[str, Any], check: bool) -> dict[str, Any]:
    """Make the target group, or bring it to what is asked."""
    found, made = find(elb, asked["name"]), False
    if not found:
        if check:
            return {"changed": True, "arn": ""}
        told = {"Name": asked["name"], "Tags": listed(asked["tags"])}
        found = elb.create_target_group(**told, **asked["made_with"], **asked["health"])["TargetGroups"][0]
        made = True
    fixed(found, asked["made_with"])
    arn = found["TargetGroupArn"]
    health, attributes, tags = changes(elb, arn, found, asked)
    if health and not check:
        elb.modify_target_group(TargetGroupArn=arn, **health)
    if attributes and not check:
        elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=listed(attributes))
    if tags and not check:
        elb.add_tags(ResourceArns=[arn], Tags=listed(tags))
    return {"changed": bool(made or health or attributes or tags), "arn": arn}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "made_with": {"type": "dict", "required": True},
            "health": {"type": "dict", "required": True},
            "attributes": {"type": "dict", "required": True},
            "tags": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        answer = present(
            boto3.client("elbv2", region_name=module.params["region"]), module.params, module.check_mode
        )
    except (BotoCoreError, ClientError, FixedError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
