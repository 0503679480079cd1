"""CloudWatch's alarms on hosts that are dead."""

from typing import Any

import pytest

from tests.aws.conftest import REGION, TOPIC
from tests.aws.harness import Aws, Run, module
from tests.aws.inspect import running

pytestmark = pytest.mark.xdist_group("aws")
REBOOT, RECOVER = (f"arn:aws:automate:{REGION}:ec2:{action}" for action in ("reboot", "recover"))


def alarms(aws: Aws) -> dict[str, Any]:
    found = aws.client("cloudwatch", REGION).describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm for alarm in found}


def test_a_dead_host_is_rebooted_and_somebody_told(made: Run, aws: Aws) -> None:
    found = alarms(aws)
    assert {name: alarm["AlarmActions"] for name, alarm in found.items()} == {
        "pool-1-instance": [REBOOT, TOPIC],
        # EC2 recovers no type with disks of its own, as all with GPUs have: a person has to.
        "pool-1-system": [TOPIC],
    }
    instance = running(aws, REGION, "pool-1")["InstanceId"]
    for alarm in found.values():
        assert alarm["Dimensions"] == [{"Name": "InstanceId", "Value": instance}]
    minutes = {alarm["EvaluationPeriods"] for alarm in found.values()}
    assert len(minutes) == 2, "else one undoes what the other does"


def test_what_has_nothing_to_do_is_not_there(grown: Run, aws: Aws) -> None:
    assert {name: alarm["AlarmActions"] for name, alarm in alarms(aws).items()} == {
        "pool-1-instance": [REBOOT],
        "pool-2-instance": [REBOOT],
        "pool-monitor-instance": [REBOOT],
        "pool-monitor-system": [RECOVER],
    }


def test_they_follow_a_host_that_is_replaced_and_go_with_one_that_is_removed(
    removed: dict[str, Run], aws: Aws
) -> None:
    found = alarms(aws)
    assert set(found) == {"pool-1-instance", "pool-monitor-instance", "pool-monitor-system"}
    (watched,) = found["pool-1-instance"]["Dimensions"]
    assert watched["Value"] == running(aws, REGION, "pool-1")["InstanceId"]


def test_those_of_others_stay(aws: Aws) -> None:
    region = "us-east-1"
    cloudwatch = aws.client("cloudwatch", region)
    metric = {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Statistic": "Maximum", "Period": 60}
    limit = {"EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}
    for name in ("lido-1-instance", "lido-2-system", "lido-1-cpu", "lido-eu-1-instance"):
        cloudwatch.put_metric_alarm(AlarmName=name, **metric, **limit)
    of_lido = {"region": region, "partition": "aws", "deployment": "lido", "hosts": {}}
    told = module(aws, "ec2_alarms", **of_lido, _ansible_check_mode=True)
    assert told["deleted"] == ["lido-1-instance", "lido-2-system"]
    assert module(aws, "ec2_alarms", **of_lido, only="lido-2")["deleted"] == ["lido-2-system"]
    assert module(aws, "ec2_alarms", **of_lido)["deleted"] == ["lido-1-instance"]
    assert module(aws, "ec2_alarms", **of_lido)["changed"] is False
    left = {alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
    assert left >= {"lido-1-cpu", "lido-eu-1-instance"}
