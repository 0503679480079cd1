#!/usr/bin/python
"""Ansible module: an instance refresh of an Auto Scaling group to a new launch template."""

from typing import Any

import boto3
from ansible.module_utils.aws_words import under_way, version
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


class Elsewhere(Exception):
    """Another refresh is under way; the message says what to do."""


def refresh(client: Any, asked: dict[str, Any], check: bool) -> tuple[bool, str]:
    """Start it, unless it is under way; return whether that was done, and how it stands."""
    if one := under_way(client, asked["name"]):
        # One that a person began may name no configuration: it goes by the group's, and cannot go back.
        policy = one.get("DesiredConfiguration", {}).get("MixedInstancesPolicy")
        if not policy or version(policy) != version(asked["policy"]):
            towards = f"version {version(policy)} of the launch template" if policy else "the group as it was"
            end = "have it go back" if policy else "end it"
            verb = "rollback" if policy else "cancel"
            raise Elsewhere(
                f"Another instance refresh of {asked['name']} is under way ({one['Status']}), to {towards}. "
                f"Wait for its end, or {end}: aws autoscaling {verb}-instance-refresh "
                f"--auto-scaling-group-name {asked['name']}"
            )
        return False, f"{one['Status']}, {one.get('PercentageComplete', 0)} %"
    if not check:
        client.start_instance_refresh(
            AutoScalingGroupName=asked["name"],
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
