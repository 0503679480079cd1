#!/usr/bin/python
"""Ansible module: CloudWatch alarms whose names begin alike."""

from typing import Any

import boto3
from ansible.module_utils.aws_words import holds
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: cloudwatch_alarms
short_description: Alarms whose names begin alike, and no others of such names
description:
  - C(amazon.aws.cloudwatch_metric_alarm) does not see that an alarm's metric math has changed.
options:
  region:
    description: The region.
    type: str
    required: true
  prefix:
    description: What the names of all these alarms begin with.
    type: str
    required: true
  alarms:
    description: What PutMetricAlarm is told, by the name's rest; else any value over 0 is an alarm.
    type: dict
    default: {}
  tags:
    description: Tags of an alarm that is made.
    type: dict
    default: {}
author: Springboard
"""

EXAMPLES = r"""
- name: Have no alarms
  cloudwatch_alarms:
    region: us-east-1
    prefix: springboard-fleet-
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  type: list
  elements: str
  returned: always
"""

DEFAULTS = {
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 0.0,
    "EvaluationPeriods": 1,
    "TreatMissingData": "notBreaching",
    "AlarmActions": [],
}


def bring(client: Any, asked: dict[str, Any], check: bool) -> list[str]:
    """Bring the alarms to what is asked; return what that changed."""
    pages = client.get_paginator("describe_alarms").paginate(AlarmNamePrefix=asked["prefix"])
    there = {one["AlarmName"]: one for page in pages for one in page["MetricAlarms"]}
    should = {asked["prefix"] + name: DEFAULTS | words for name, words in asked["alarms"].items()}
    tags = [{"Key": key, "Value": value} for key, value in sorted(asked["tags"].items())]
    stale = sorted(there.keys() - should.keys())
    puts = [name for name, words in should.items() if not holds(words, there.get(name))]
    if not check:
        if stale:
            client.delete_alarms(AlarmNames=stale)
        for name in puts:
            client.put_metric_alarm(AlarmName=name, Tags=tags, **should[name])
    return puts + stale


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "prefix": {"type": "str", "required": True},
            "alarms": {"type": "dict", "default": {}},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        client = boto3.client("cloudwatch", region_name=module.params["region"])
        changes = bring(client, module.params, module.check_mode)
    except (BotoCoreError, ClientError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
