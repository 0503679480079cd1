"""`replace` and `remove` on the stand-in AWS; what is done on hosts is tested on hosts."""

from typing import Any

import pytest

from tests.aws.conftest import REGION
from tests.aws.harness import Aws, Checkout, Run

pytestmark = pytest.mark.xdist_group("aws")


def hosts(aws: Aws) -> dict[str, Any]:
    """The instances that are up, by name, with their addresses."""
    found = {}
    for reservation in aws.client("ec2", REGION).describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] == "running":
                tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
                found[tags["Name"]] = instance
    return found


def test_a_host_whose_keys_are_on_it_alone_is_not_replaced(again: Run, pool: Checkout, aws: Aws) -> None:
    before = hosts(aws)
    run = pool.play("replace", "-e", "host=pool-1 alone=true release=1.0.0", "--limit", "localhost")
    assert run.code == 2
    assert "keys of pool-1 are on its disk alone" in run.text
    assert "playbooks/keys.yml -e take=pool-1" in run.text
    run = pool.play("replace", "-e", "host=pool-7", "--limit", "localhost")
    assert "Name the host: -e host=NAME, one of pool-1" in run.text
    assert hosts(aws) == before


def test_a_replaced_host_has_its_name_its_address_and_the_type_of_now(
    again: Run, pool: Checkout, aws: Aws
) -> None:
    before = hosts(aws)["pool-1"]
    pool.edit(aws_host_instance_type="g4dn.2xlarge", aws_host_more_instance_types=["g4dn.xlarge"])
    told = "host=pool-1 alone=true release=1.0.0 keys_lost=true"
    # What comes after needs a host that can be logged in to.
    run = pool.play("replace", "-e", told, "--limit", "localhost")
    pool.edit(aws_host_instance_type="g4dn.xlarge", aws_host_more_instance_types=["g4dn.2xlarge"])
    assert run.code == 0, run.text
    (after,) = hosts(aws).values()
    assert after["InstanceId"] != before["InstanceId"]
    assert after["InstanceType"] == "g4dn.2xlarge"
    assert after["PublicIpAddress"] == before["PublicIpAddress"]


def test_a_removed_host_leaves_no_address(again: Run, pool: Checkout, aws: Aws) -> None:
    ec2 = aws.client("ec2", REGION)
    run = pool.play("remove", "-e", "host=pool-1 alone=true", "--limit", "localhost")
    assert run.code == 2
    assert "aws_host_count in inventory/group_vars/all/aws.yml asks for pool-1: lower it first" in run.text
    aws.grant(REGION, 16)
    pool.edit(aws_host_count=2)
    run = pool.play("provision")
    assert run.code == 0, run.text
    assert set(hosts(aws)) == {"pool-1", "pool-2"}
    pool.edit(aws_host_count=1)
    told = pool.play("provision")
    assert "playbooks/remove.yml -e host=pool-2" in told.text
    run = pool.play("remove", "-e", "host=pool-2 alone=true", "--limit", "localhost")
    assert run.code == 0, run.text
    assert set(hosts(aws)) == {"pool-1"}
    assert len(ec2.describe_addresses()["Addresses"]) == 1
