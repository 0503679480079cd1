"""The module that keeps our rules of a security group and leaves those of others."""

from typing import Any

import pytest

from tests.aws.harness import Aws, module

pytestmark = pytest.mark.xdist_group("aws")
REGION = "us-east-1"


@pytest.fixture
def group(aws: Aws) -> str:
    ec2 = aws.client("ec2", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_security_group(GroupName="own-rules", Description="hosts", VpcId=vpc)
    return str(made["GroupId"])


def admitted(aws: Aws, group: str) -> set[tuple[int, str, str]]:
    """(port, source, description) of each rule."""
    rules = aws.client("ec2", REGION).describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group]}]
    )["SecurityGroupRules"]
    return {
        (rule["FromPort"], source(rule), rule.get("Description", ""))
        for rule in rules
        if not rule["IsEgress"]
    }


def source(rule: dict[str, Any]) -> str:
    group = rule.get("ReferencedGroupInfo", {}).get("GroupId")
    return str(rule.get("CidrIpv4") or rule.get("CidrIpv6") or group)


def ask(aws: Aws, group: str, *rules: dict[str, object]) -> dict[str, Any]:
    return module(
        aws, "ec2_own_rules", region=REGION, group_id=group, mark="Springboard: ", rules=list(rules)
    )


def test_ours_are_made_what_is_asked_and_those_of_others_stay(aws: Aws, group: str) -> None:
    ec2 = aws.client("ec2", REGION)
    foreign = {"IpProtocol": "tcp", "FromPort": 9100, "ToPort": 9100}
    world = {"Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            foreign | {"IpRanges": [{"CidrIp": "10.0.0.5/32", "Description": "scanner"}]},
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **world},
            {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 9000, **world},
            {"IpProtocol": "-1", **world},
            {"IpProtocol": "icmpv6", "FromPort": -1, "ToPort": -1, **world},
        ],
    )
    callers = {"ports": [443], "description": "callers"}
    watchers = {
        "ports": [443, 9100],
        "sources": [group, "10.0.0.5", "2001:db8::/64"],
        "description": "monitoring",
    }
    first = ask(aws, group, {**callers, "sources": ["203.0.113.7/24", "198.51.100.0/24"]}, watchers)
    assert first["changed"]
    theirs = {(9100, "10.0.0.5/32", "scanner"), *((port, "::/0", "") for port in (443, 8000, -1))}
    watched = {
        (port, one, "Springboard: monitoring")
        for port in (443, 9100)
        for one in (group, "10.0.0.5/32", "2001:db8::/64")
    } - {(9100, "10.0.0.5/32", "Springboard: monitoring")}  # of two that are alike EC2 takes one
    called = {(443, net, "Springboard: callers") for net in ("203.0.113.0/24", "198.51.100.0/24")}
    assert admitted(aws, group) == theirs | watched | called

    assert not ask(aws, group, {**callers, "sources": ["203.0.113.0/24", "198.51.100.0/24"]}, watchers)[
        "changed"
    ]
    ask(aws, group, {**callers, "sources": ["203.0.113.0/24"]})
    assert admitted(aws, group) == theirs | {(443, "203.0.113.0/24", "Springboard: callers")}


def test_what_is_no_address_is_named(aws: Aws, group: str) -> None:
    answer = ask(aws, group, {"ports": [443], "sources": ["everybody"], "description": "callers"})
    assert "'everybody' does not appear to be an IPv4 or IPv6 network" in answer["msg"]
    assert admitted(aws, group) == set()
