#!/usr/bin/python
"""Ansible module: an Auto Scaling group with its policies and scheduled actions."""

import time
from typing import Any

import boto3
from ansible.module_utils.aws_words import holds, under_way, version
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: autoscaling_fleet
short_description: An Auto Scaling group, what scales it and when
description:
  - C(amazon.aws.autoscaling_group) knows no capacity rebalancing and no warm-up, and in check mode tells of a
    change always; C(community.aws.autoscaling_policy) knows no metric math.
  - How many hosts there are is the group's own business once it is made. Where C(schedule) sets a minimum or
    maximum, one that it has set is not undone.
  - Policies and scheduled actions whose names begin with C(springboard-) are ours, those of others stay.
options:
  region:
    description: The region.
    type: str
    required: true
  name:
    description: The group's name.
    type: str
    required: true
  state:
    description: C(absent) ends its hosts too, and waits for that.
    type: str
    choices: [present, absent]
    default: present
  group:
    description: What CreateAutoScalingGroup and UpdateAutoScalingGroup are told, in their own words.
    type: dict
    default: {}
  target_group:
    description: ARN of the target group that hosts are registered with.
    type: str
    default: ""
  refreshed:
    description: The MixedInstancesPolicy of a group that is there is left to an instance refresh.
    type: bool
    default: false
  policies:
    description: What PutScalingPolicy is told, by the policy's name, without C(springboard-).
    type: dict
    default: {}
  schedule:
    description: What PutScheduledUpdateGroupAction is told, by the action's name, without C(springboard-).
    type: dict
    default: {}
  metrics:
    description: The group's metrics that CloudWatch collects.
    type: list
    elements: str
    default: []
  tags:
    description: Tags of the group. Those that others set stay.
    type: dict
    default: {}
author: Springboard
"""

EXAMPLES = r"""
- name: Make the group
  autoscaling_fleet:
    region: us-east-1
    name: springboard-fleet
    group: {MinSize: 1, MaxSize: 4, VPCZoneIdentifier: "subnet-1,subnet-2"}
    target_group: arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/springboard-fleet/0123456789
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  type: list
  elements: str
  returned: always
outdated:
  description: Hosts that came up by another version of the launch template.
  type: list
  elements: str
  returned: where the group is to be present
policies:
  description: ARNs of policies by their names, without C(springboard-).
  type: dict
  returned: where the group is to be present
"""

MARK = "springboard-"
END_TRIES, END_SECONDS = 120, 10


def find(client: Any, name: str) -> dict[str, Any]:
    """Return the group as it is described, its subnets in order; empty where there is none."""
    groups = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    found: dict[str, Any] = groups[0] if groups else {}
    return found | {"VPCZoneIdentifier": ordered(found["VPCZoneIdentifier"])} if found else found


def ordered(subnets: str) -> str:
    """Write subnets in order."""
    return ",".join(sorted(subnets.split(",")))


def settings(asked: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Return what UpdateAutoScalingGroup is to change."""
    differ = {key: value for key, value in asked["group"].items() if not holds(value, found.get(key))}
    for size in ("MinSize", "MaxSize"):
        set_by_schedule = {action[size] for action in asked["schedule"].values() if size in action}
        if found[size] in set_by_schedule:
            differ.pop(size, None)
    return differ


def tags_of(name: str, tags: dict[str, str]) -> list[dict[str, Any]]:
    """Write tags as Auto Scaling takes them; hosts have theirs from the launch template."""
    whose = {"ResourceId": name, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    return [{"Key": key, "Value": value, **whose} for key, value in sorted(tags.items())]


class StillThere(Exception):
    """The group has not ended in time; the message says what to do."""


class Fleet:
    """The group, as asked; each method brings a part of it there and returns what it changed."""

    def __init__(self, client: Any, asked: dict[str, Any], check: bool) -> None:
        self.client, self.asked, self.check, self.name = client, asked, check, asked["name"]
        self.of = {"AutoScalingGroupName": self.name}

    def present(self) -> list[str]:
        """Make the group, or bring all of it to what is asked."""
        self.asked["group"]["VPCZoneIdentifier"] = ordered(self.asked["group"]["VPCZoneIdentifier"])
        made, found = self.group(find(self.client, self.name))
        if not found:  # in check mode, where it would be made
            return made
        return made + self.attached(found) + self.policies() + self.schedule()

    def group(self, found: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """Make or change the group itself; return it, too."""
        if not found:
            if not self.check:
                self.client.create_auto_scaling_group(
                    **self.of,
                    **self.asked["group"],
                    TargetGroupARNs=[self.asked["target_group"]],
                    Tags=tags_of(self.name, self.asked["tags"]),
                )
                found = find(self.client, self.name)
            return ["group"], found
        differ = settings(self.asked, found)
        if "MixedInstancesPolicy" in differ and (
            # The end of one that is under way brings the group to where it goes.
            self.asked["refreshed"] or under_way(self.client, self.name)
        ):
            del differ["MixedInstancesPolicy"]
        if differ and not self.check:
            self.client.update_auto_scaling_group(**self.of, **differ)
        return sorted(differ), found

    def told(self) -> dict[str, Any]:
        """Return the ARNs of our policies, and which hosts came up by another launch template."""
        found = find(self.client, self.name)
        if not found:  # in check mode, where it would be made
            return {"policies": {}, "outdated": []}
        wanted = version(self.asked["group"]["MixedInstancesPolicy"])
        arns = {name.removeprefix(MARK): one["PolicyARN"] for name, one in self._policies().items()}
        outdated = [
            one["InstanceId"]
            for one in found.get("Instances", [])
            if str(one.get("LaunchTemplate", {}).get("Version")) != wanted
        ]
        return {"policies": arns, "outdated": outdated}

    def attached(self, found: dict[str, Any]) -> list[str]:
        """Attach the target group, metrics and tags."""
        target, tags = self.asked["target_group"], {one["Key"]: one["Value"] for one in found["Tags"]}
        collected = {one["Metric"] for one in found.get("EnabledMetrics", [])}
        steps = {
            "target group": (
                target not in found["TargetGroupARNs"],
                lambda: self.client.attach_load_balancer_target_groups(**self.of, TargetGroupARNs=[target]),
            ),
            "metrics": (
                not set(self.asked["metrics"]) <= collected,
                lambda: self.client.enable_metrics_collection(
                    **self.of, Metrics=self.asked["metrics"], Granularity="1Minute"
                ),
            ),
            "tags": (
                not holds(self.asked["tags"], tags),
                lambda: self.client.create_or_update_tags(Tags=tags_of(self.name, self.asked["tags"])),
            ),
        }
        missing = [name for name, (differs, _) in steps.items() if differs]
        for name in () if self.check else missing:
            steps[name][1]()
        return missing

    def policies(self) -> list[str]:
        """Bring our policies to what is asked."""
        should = {MARK + name: one for name, one in self.asked["policies"].items()}
        return self._bring(
            "policy",
            self._policies(),
            should,
            lambda name, one: self.client.put_scaling_policy(**self.of, PolicyName=name, **one),
            lambda name: self.client.delete_policy(**self.of, PolicyName=name),
        )

    def _policies(self) -> dict[str, Any]:
        pages = self.client.get_paginator("describe_policies").paginate(**self.of)
        return {one["PolicyName"]: one for page in pages for one in page["ScalingPolicies"]}

    def schedule(self) -> list[str]:
        """Bring our scheduled actions to what is asked."""
        pages = self.client.get_paginator("describe_scheduled_actions").paginate(**self.of)
        there = {
            one["ScheduledActionName"]: one for page in pages for one in page["ScheduledUpdateGroupActions"]
        }
        should = {MARK + name: one for name, one in self.asked["schedule"].items()}
        return self._bring(
            "scheduled",
            there,
            should,
            lambda name, one: self.client.put_scheduled_update_group_action(
                **self.of, ScheduledActionName=name, **one
            ),
            lambda name: self.client.delete_scheduled_action(**self.of, ScheduledActionName=name),
        )

    def _bring(
        self,
        kind: str,
        there: dict[str, Any],
        should: dict[str, Any],
        put: Any,
        delete: Any,
    ) -> list[str]:
        # Put anew where it lost a word, which to put over it would keep.
        lost = {
            name for name, one in should.items() if any(key not in one for key in sizes(there.get(name, {})))
        }
        puts = [name for name, one in should.items() if name in lost or not holds(one, there.get(name))]
        stale = [name for name in there if name.startswith(MARK) and name not in should]
        if not self.check:
            for name in stale + sorted(lost):
                delete(name)
            for name in puts:
                put(name, should[name])
        return [f"{kind} {name}" for name in puts + stale]

    def absent(self) -> list[str]:
        """Delete the group with its hosts, and wait until they are gone."""
        if not (found := find(self.client, self.name)):
            return []
        if not self.check:
            if "Status" not in found:  # which it has once it is being deleted
                self.client.delete_auto_scaling_group(**self.of, ForceDelete=True)
            self._wait_until_gone()
        return ["group"]

    def _wait_until_gone(self) -> None:
        for _ in range(END_TRIES):
            if not find(self.client, self.name):
                return
            time.sleep(END_SECONDS)
        minutes = END_TRIES * END_SECONDS // 60
        raise StillThere(
            f"The Auto Scaling group {self.name} is still there after {minutes} minutes. "
            "What its hosts wait for is in its history: aws autoscaling describe-scaling-activities "
            f"--auto-scaling-group-name {self.name}. Run this again then"
        )


def sizes(action: dict[str, Any]) -> set[str]:
    """Return which sizes a scheduled action sets."""
    return {"MinSize", "MaxSize", "DesiredCapacity"} & action.keys()


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "group": {"type": "dict", "default": {}},
            "target_group": {"type": "str", "default": ""},
            "refreshed": {"type": "bool", "default": False},
            "policies": {"type": "dict", "default": {}},
            "schedule": {"type": "dict", "default": {}},
            "metrics": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        client = boto3.client("autoscaling", region_name=module.params["region"])
        fleet = Fleet(client, module.params, module.check_mode)
        there = module.params["state"] == "present"
        changes = fleet.present() if there else fleet.absent()
        told = fleet.told() if there else {}
    except (BotoCoreError, ClientError, StillThere) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changes), changes=changes, **told)


if __name__ == "__main__":
    main()
