#!/usr/bin/python
"""Ansible module: what there is of a fleet, and whether it is this deployment's."""

from contextlib import suppress
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: fleet_found_info
short_description: What of a fleet's name is there, and a certificate's state
description:
  - Changes nothing. Of other owners' things only the names are told.
options:
  region:
    description: The region.
    type: str
    required: true
  name:
    description: The name of all that a fleet is made of.
    type: str
    required: true
  deployment:
    description: The value that the tag C(springboard:deployment) has where it is ours.
    type: str
    required: true
  certificate_arn:
    description: A certificate of ACM's to ask for.
    type: str
    default: ""
author: Springboard
"""

EXAMPLES = r"""
- name: Look for the fleet
  fleet_found_info:
    region: us-east-1
    name: springboard-fleet
    deployment: springboard
"""

RETURN = r"""
ours:
  description: What is ours, as C(kind name).
  type: list
  elements: str
  returned: always
others:
  description: What has the name and is not ours.
  type: list
  elements: str
  returned: always
arns:
  description: ARNs of what has the name and has one, by kind, such as C(load balancer).
  type: dict
  returned: always
certificate:
  description: The certificate's status, such as C(ISSUED); C(absent) where there is none, else empty.
  type: str
  returned: always
"""


def balancing(elb: Any, name: str) -> dict[str, str]:
    """Return the ARNs of the load balancer and the target group of that name, by kind."""
    found = {}
    with suppress(elb.exceptions.LoadBalancerNotFoundException):
        (balancer,) = elb.describe_load_balancers(Names=[name])["LoadBalancers"]
        found["load balancer"] = balancer["LoadBalancerArn"]
    with suppress(elb.exceptions.TargetGroupNotFoundException):
        (targets,) = elb.describe_target_groups(Names=[name])["TargetGroups"]
        found["target group"] = targets["TargetGroupArn"]
    return found


def tags_by_kind(clients: dict[str, Any], name: str, arns: dict[str, str]) -> dict[str, list[Any]]:
    """Return the tags of everything of that name, by kind."""
    kinds = {
        kind: clients["elbv2"].describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
        for kind, arn in arns.items()
    }
    for group in clients["autoscaling"].describe_auto_scaling_groups(AutoScalingGroupNames=[name])[
        "AutoScalingGroups"
    ]:
        kinds["Auto Scaling group"] = group["Tags"]
    named = [{"Name": "launch-template-name", "Values": [name]}]
    for template in clients["ec2"].describe_launch_templates(Filters=named)["LaunchTemplates"]:
        kinds["launch template"] = template.get("Tags", [])
    return kinds


def status(acm: Any, arn: str) -> str:
    """Return a certificate's status."""
    if not arn:
        return ""
    try:
        return str(acm.describe_certificate(CertificateArn=arn)["Certificate"]["Status"])
    except acm.exceptions.ResourceNotFoundException:
        return "absent"


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "deployment": {"type": "str", "required": True},
            "certificate_arn": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    asked = module.params
    try:
        clients: dict[str, Any] = {
            service: boto3.client(service, region_name=asked["region"])
            for service in ("elbv2", "autoscaling", "ec2", "acm")
        }
        arns = balancing(clients["elbv2"], asked["name"])
        tags = tags_by_kind(clients, asked["name"], arns)
        certificate = status(clients["acm"], asked["certificate_arn"])
    except (BotoCoreError, ClientError) as error:
        module.fail_json(msg=str(error))
    mark = ("springboard:deployment", asked["deployment"])
    ours = {kind for kind, given in tags.items() if mark in [(one["Key"], one["Value"]) for one in given]}
    module.exit_json(
        changed=False,
        ours=sorted(f"{kind} {asked['name']}" for kind in ours),
        others=sorted(f"{kind} {asked['name']}" for kind in tags.keys() - ours),
        arns=arns,
        certificate=certificate,
    )


if __name__ == "__main__":
    main()
