"""The small host that watches: what may reach it, and what it may reach."""

import json
from typing import Any

import pytest

from tests.aws.conftest import REGION
from tests.aws.harness import Aws, Checkout, Run
from tests.aws.inspect import running

pytestmark = pytest.mark.xdist_group("aws")


def rules(aws: Aws, host: Any) -> set[tuple[int, str]]:
    """(port, source) that the host's one security group admits."""
    (group,) = host["SecurityGroups"]
    found = aws.client("ec2", REGION).describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group["GroupId"]]}]
    )["SecurityGroupRules"]
    return {
        (rule["FromPort"], rule.get("CidrIpv4") or rule["ReferencedGroupInfo"]["GroupId"])
        for rule in found
        if not rule["IsEgress"]
    }


def test_it_is_small_and_reached_by_administrators_alone(grown: Run, aws: Aws) -> None:
    monitor = running(aws, REGION, "pool-monitor")
    assert monitor["InstanceType"] == "t3.small"
    assert monitor["VpcId"] == running(aws, REGION, "pool-1")["VpcId"]
    assert monitor["MetadataOptions"]["HttpTokens"] == "required"
    assert "IamInstanceProfile" not in monitor, "it reads no models and no videos"
    assert rules(aws, monitor) == {(22, "203.0.113.7/32")}


def test_hosts_admit_it_and_no_address(grown: Run, aws: Aws) -> None:
    (group,) = running(aws, REGION, "pool-monitor")["SecurityGroups"]
    admitted = rules(aws, running(aws, REGION, "pool-1"))
    assert {(port, source) for port, source in admitted if source.startswith("sg-")} == {
        (443, group["GroupId"]),
        (9100, group["GroupId"]),
        (9113, group["GroupId"]),
    }


def test_both_know_each_other_by_their_private_addresses(grown: Run, pool: Checkout, aws: Aws) -> None:
    told = pool.ansible(
        *("ansible", "pool-1", "-c", "local", "-m", "debug", "-a"),
        "msg={{ [groups, prometheus_address, edge_monitoring_cidrs, exporters_monitoring_addresses,"
        " exporters_listen_address, prometheus_hosts] | to_json }}",
        ANSIBLE_CALLBACK_RESULT_FORMAT="json",
    )
    groups, address, edge, exporters, listen, watched = json.loads(
        json.loads(told[told.index("{") : told.rindex("}") + 1])["msg"]
    )
    monitor = running(aws, REGION, "pool-monitor")["PrivateIpAddress"]
    # In EC2's order, which is none.
    assert sorted(groups["springboard"]) == sorted(watched) == ["pool-1", "pool-2"]
    assert groups["monitoring"] == ["pool-monitor"]
    assert address == running(aws, REGION, "pool-1")["PrivateIpAddress"]
    assert edge == exporters == [monitor]
    assert listen == "0.0.0.0"
