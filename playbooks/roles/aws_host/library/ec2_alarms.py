#!/usr/bin/python
"""Ansible module: CloudWatch alarms on hosts that no longer answer EC2's status checks."""

import re
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: ec2_alarms
short_description: Has CloudWatch reboot or recover dead hosts, and tell of them
description:
  - C(NAME-instance) reboots a host whose own system does not answer for five minutes. A reboot as patch.yml
    does it takes less.
  - C(NAME-system) is of the machine below it, two minutes. It moves the host to another one where EC2 can
    do that with its type, which it cannot with types that have disks of their own, as those with GPUs have.
    Without that and without a topic there is nothing for it to do, and it is not made.
  - Alarms of this deployment's hosts that are not asked for are deleted.
options:
  region:
    description: The region.
    type: str
    required: true
  partition:
    description: The first word of ARNs.
    type: str
    required: true
  deployment:
    description: The hosts' deployment; their names begin with it.
    type: str
    required: true
  hosts:
    description: Ids of instances by the hosts' names; none, and all alarms are deleted.
    type: dict
    required: true
  only:
    description: The host whose alarms this is about; without, those of all.
    type: str
    default: ""
  topic:
    description: ARN of an SNS topic that is told of both.
    type: str
    default: ""
  tags:
    description: Tags of alarms that are made.
    type: dict
    default: {}
author: Springboard
"""

EXAMPLES = r"""
- name: Reboot what is dead
  ec2_alarms:
    region: us-east-1
    partition: aws
    deployment: springboard
    hosts: {springboard-1: i-0123456789abcdef0}
"""

RETURN = r"""
put:
  description: Names of alarms that were made or changed.
  type: list
  elements: str
  returned: always
deleted:
  description: Names of those that were deleted.
  type: list
  elements: str
  returned: always
unrecovered:
  description: Hosts that EC2 cannot move to another machine.
  type: list
  elements: str
  returned: always
"""

# Those of both kinds have to differ, lest one undoes what the other does:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/UsingAlarmActions.html
INSTANCE_MINUTES, SYSTEM_MINUTES = 5, 2


def movable(ec2: Any, hosts: dict[str, str]) -> set[str]:
    """Return the hosts of types that EC2 says it can recover, by AutoRecoverySupported.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceTypeInfo.html
    """
    pages = ec2.get_paginator("describe_instances").paginate(InstanceIds=list(hosts.values()))
    types = {
        instance["InstanceId"]: instance["InstanceType"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }
    found = ec2.get_paginator("describe_instance_types").paginate(InstanceTypes=sorted(set(types.values())))
    able = {
        one["InstanceType"] for page in found for one in page["InstanceTypes"] if one["AutoRecoverySupported"]
    }
    return {name for name, instance in hosts.items() if types[instance] in able}


def alarm(name: str, instance: str, metric: str, minutes: int, actions: list[str]) -> dict[str, Any]:
    """Write an alarm as PutMetricAlarm takes it and DescribeAlarms gives it back."""
    return {
        "AlarmName": name,
        "AlarmDescription": f"Springboard: {metric} for {minutes} minutes",
        "ActionsEnabled": True,
        "AlarmActions": actions,
        "Namespace": "AWS/EC2",
        "MetricName": metric,
        "Dimensions": [{"Name": "InstanceId", "Value": instance}],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": minutes,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    }


def wanted(hosts: dict[str, str], able: set[str], automate: str, topic: str) -> dict[str, dict[str, Any]]:
    """Give the alarms by name; `automate` is what the ARNs of EC2's actions begin with."""
    told = [topic] if topic else []
    found = []
    for name, instance in hosts.items():
        reboot, recover = [automate + "reboot"], [automate + "recover"] if name in able else []
        checks = (
            ("instance", "StatusCheckFailed_Instance", INSTANCE_MINUTES, reboot + told),
            ("system", "StatusCheckFailed_System", SYSTEM_MINUTES, recover + told),
        )
        found += [
            alarm(f"{name}-{kind}", instance, metric, minutes, actions)
            for kind, metric, minutes, actions in checks
            if actions
        ]
    return {one["AlarmName"]: one for one in found}


def present(cloudwatch: Any, deployment: str, only: str) -> dict[str, dict[str, Any]]:
    """Find the alarms of this deployment's hosts, not of one whose name begins with its name."""
    hosts = re.escape(only) if only else re.escape(deployment) + r"-(\d+|monitor)"
    ours = re.compile(hosts + "-(instance|system)")
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{deployment}-")
    return {
        one["AlarmName"]: one
        for page in pages
        for one in page["MetricAlarms"]
        if ours.fullmatch(one["AlarmName"])
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "partition": {"type": "str", "required": True},
            "deployment": {"type": "str", "required": True},
            "hosts": {"type": "dict", "required": True},
            "only": {"type": "str", "default": ""},
            "topic": {"type": "str", "default": ""},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    asked = module.params
    hosts, automate = asked["hosts"], f"arn:{asked['partition']}:automate:{asked['region']}:ec2:"
    try:
        able = movable(boto3.client("ec2", region_name=asked["region"]), hosts) if hosts else set()
        cloudwatch = boto3.client("cloudwatch", region_name=asked["region"])
        should = wanted(hosts, able, automate, asked["topic"])
        there = present(cloudwatch, asked["deployment"], asked["only"])
        put = [one for name, one in should.items() if there.get(name, {}) | one != there.get(name)]
        stale = sorted(there.keys() - should.keys())
        tags = [{"Key": key, "Value": value} for key, value in sorted(asked["tags"].items())]
        for one in () if module.check_mode else put:
            # An alarm that is there keeps the tags it has.
            cloudwatch.put_metric_alarm(**one, **({} if one["AlarmName"] in there else {"Tags": tags}))
        if stale and not module.check_mode:
            cloudwatch.delete_alarms(AlarmNames=stale)
    except (BotoCoreError, ClientError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(put or stale),
        put=[one["AlarmName"] for one in put],
        deleted=stale,
        unrecovered=sorted(hosts.keys() - able),
    )


if __name__ == "__main__":
    main()
