#!/usr/bin/python
"""Ansible module: an instance refresh of an Auto Scaling group to a new launch template."""

from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: autoscaling_refresh
short_description: Starts an instance refresh that goes back by itself
description:
  - C(amazon.aws.autoscaling_instance_refresh) gives no desired configuration, without which none goes back.
  - One that is under way to the same launch template is left alone. It is not waited for.
options:
  region:
    description: The region.
    type: str
    required: true
  name:
    description: The group's name.
    type: str
    required: true
  policy:
    description: The MixedInstancesPolicy that its hosts are to come up by, with a numbered version.
    type: dict
    required: true
  preferences:
    description: Preferences of StartInstanceRefresh.
    type: dict
    default: {}
author: Springboard
"""

EXAMPLES = r"""
- name: Replace the hosts, some at a time
  autoscaling_refresh:
    region: us-east-1
    name: springboard-fleet
    policy:
      LaunchTemplate: {LaunchTemplateSpecification: {LaunchTemplateName: springboard-fleet, Version: "2"}}
    preferences: {MinHealthyPercentage: 100, AutoRollback: true}
"""

RETURN = r"""
says:
  description: How it stands.
  type: str
  returned: always
"""

OVER = {"Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful"}


class Elsewhere(Exception):
    """Another refresh is under way; the message says what to do."""


def version(policy: dict[str, Any]) -> str:
    """Return which version of its launch template a policy names."""
    return str(policy["LaunchTemplate"]["LaunchTemplateSpecification"]["Version"])


def refresh(client: Any, asked: dict[str, Any], check: bool) -> tuple[bool, str]:
    """Start it, unless it is under way; return whether that was done, and how it stands."""
    of = {"AutoScalingGroupName": asked["name"]}
    there = client.describe_instance_refreshes(**of, MaxRecords=1)["InstanceRefreshes"]
    if there and there[0]["Status"] not in OVER:
        status, towards = there[0]["Status"], there[0].get("DesiredConfiguration", {})
        if version(towards["MixedInstancesPolicy"]) != version(asked["policy"]):
            raise Elsewhere(
                f"Another instance refresh of {asked['name']} is under way ({status}), to version "
                f"{version(towards['MixedInstancesPolicy'])} of the launch template. Wait for its end, or "
                "have it go back: aws autoscaling rollback-instance-refresh --auto-scaling-group-name "
                f"{asked['name']}"
            )
        return False, f"{status}, {there[0].get('PercentageComplete', 0)} %"
    if not check:
        client.start_instance_refresh(
            **of,
            Strategy="Rolling",
            DesiredConfiguration={"MixedInstancesPolicy": asked["policy"]},
            Preferences=asked["preferences"],
        )
    return True, "started"


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "policy": {"type": "dict", "required": True},
            "preferences": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        client = boto3.client("autoscaling", region_name=module.params["region"])
        changed, says = refresh(client, module.params, module.check_mode)
    except (BotoCoreError, ClientError, Elsewhere) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, says=says)


if __name__ == "__main__":
    main()
