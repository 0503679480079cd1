#!/usr/bin/python
"""Ansible module: the rules of a security group that are ours, beside those that others added."""

import ipaddress
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: ec2_own_rules
short_description: What a security group admits, without touching what others let in
description:
  - Rules whose description begins with C(mark) are ours, and are made what C(rules) says. All others stay.
  - A rule of others that admits what is wanted counts as there, since EC2 takes no second one.
options:
  region:
    description: The group's region.
    type: str
    required: true
  group_id:
    description: The security group.
    type: str
    required: true
  mark:
    description: What our descriptions begin with.
    type: str
    required: true
  rules:
    description: What to admit by TCP.
    type: list
    elements: dict
    required: true
    suboptions:
      ports:
        description: The ports.
        type: list
        elements: int
        required: true
      sources:
        description: Networks, addresses and security groups.
        type: list
        elements: str
        required: true
      description:
        description: What the rule is for; C(mark) goes before it.
        type: str
        required: true
author: Springboard
"""

EXAMPLES = r"""
- name: Admit callers
  ec2_own_rules:
    region: us-east-1
    group_id: sg-0123456789abcdef0
    mark: "Springboard: "
    rules:
      - {ports: [443], sources: [203.0.113.0/24], description: callers}
"""

RETURN = r"""
admitted:
  description: What was let in that was not before, as C(port from source).
  type: list
  elements: str
  returned: always
revoked:
  description: What is let in no longer.
  type: list
  elements: str
  returned: always
"""

Key = tuple[int, str]


def source(written: str) -> str:
    """Write a source as EC2 keeps it: a group's id, or a network with nothing beyond its prefix."""
    return written if written.startswith("sg-") else str(ipaddress.ip_network(written, strict=False))


def wanted(rules: list[dict[str, Any]], mark: str) -> dict[Key, str]:
    """Give each port and source once, with its description."""
    found: dict[Key, str] = {}
    for rule in rules:
        for port in rule["ports"]:
            for one in rule["sources"]:
                found.setdefault((int(port), source(one)), mark + rule["description"])
    return found


def present(ec2: Any, group_id: str) -> list[dict[str, Any]]:
    """List what the group admits, as EC2 describes it."""
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group_id]}]
    )
    return [rule for page in pages for rule in page["SecurityGroupRules"] if not rule["IsEgress"]]


def key(rule: dict[str, Any]) -> Key | None:
    """Tell what a rule of EC2's admits, where it is of the kind that we make."""
    if rule["IpProtocol"] != "tcp" or rule["FromPort"] != rule["ToPort"]:
        return None
    group = rule.get("ReferencedGroupInfo", {}).get("GroupId")
    admits = rule.get("CidrIpv4") or rule.get("CidrIpv6") or group
    return (rule["FromPort"], admits) if admits else None


def permission(port: int, admits: str, description: str) -> dict[str, Any]:
    """Write a rule as AuthorizeSecurityGroupIngress takes it."""
    kind, name = ("IpRanges", "CidrIp")
    if admits.startswith("sg-"):
        kind, name = ("UserIdGroupPairs", "GroupId")
    elif ":" in admits:
        kind, name = ("Ipv6Ranges", "CidrIpv6")
    named = [{name: admits, "Description": description}]
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, kind: named}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "group_id": {"type": "str", "required": True},
            "mark": {"type": "str", "required": True},
            "rules": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "ports": {"type": "list", "elements": "int", "required": True},
                    "sources": {"type": "list", "elements": "str", "required": True},
                    "description": {"type": "str", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    group, mark = module.params["group_id"], module.params["mark"]
    try:
        should = wanted(module.params["rules"], mark)
        ec2 = boto3.client("ec2", region_name=module.params["region"])
        rules = present(ec2, group)
        there = {key(rule) for rule in rules}
        missing = {one: text for one, text in should.items() if one not in there}
        ours = [rule for rule in rules if rule.get("Description", "").startswith(mark)]
        stale = [rule for rule in ours if key(rule) not in should]
        if missing and not module.check_mode:
            ec2.authorize_security_group_ingress(
                GroupId=group, IpPermissions=[permission(*one, text) for one, text in missing.items()]
            )
        if stale and not module.check_mode:
            ec2.revoke_security_group_ingress(
                GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"] for rule in stale]
            )
    except ValueError as error:
        module.fail_json(msg=f"{error}: give addresses such as 203.0.113.7, 203.0.113.0/24 or sg-0123")
    except (BotoCoreError, ClientError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(missing or stale),
        admitted=[f"{port} from {admits}" for port, admits in missing],
        revoked=[f"{rule['FromPort']}: {rule['Description']}" for rule in stale],
    )


if __name__ == "__main__":
    main()
