"""Changes of variables after a host is there: each is done, or refused with the way."""

from pathlib import Path
from typing import Any

import pytest

from tests.aws.conftest import REGION
from tests.aws.harness import ANOTHER_KEY, Aws, Run, module
from tests.aws.inspect import running

pytestmark = pytest.mark.xdist_group("aws")


def test_a_second_network_is_refused(refused: list[str]) -> None:
    assert "aws_host_vpc_cidr is 10.88.0.0/16, but pool has a VPC with 10.77.0.0/16" in refused[0]
    assert "make a second deployment (springboard_deployment)" in refused[0]


@pytest.mark.parametrize(
    "said",
    [
        "It was launched with the key pair pool, and EC2 gives it no other than that: set aws_host_key_name "
        "back, or name in springboard_admin_keys who may log in.",
        f"It is in {REGION}",
        "which aws_host_zones does not name: add it, or replace the host",
        "which aws_host_subnet_ids does not name: add it, or replace the host",
        "Its disk is larger than aws_host_root_gb, 100 GB, and EBS shrinks none",
        "aws_host_ami_parameter is another: set it back, or replace the host",
        "Callers reach it at its elastic IP, and aws_host_elastic_ip is false",
    ],
)
def test_what_a_host_cannot_become_is_refused_with_the_way(refused: list[str], said: str) -> None:
    assert said in refused[1]


@pytest.fixture
def host(aws: Aws, grown: Run) -> Any:
    assert grown.code == 0, grown.text
    return running(aws, REGION, "pool-1")


def test_a_disk_grows_in_place(aws: Aws, host: Any) -> None:
    (disk,) = host["BlockDeviceMappings"]
    (volume,) = aws.client("ec2", REGION).describe_volumes(VolumeIds=[disk["Ebs"]["VolumeId"]])["Volumes"]
    assert (volume["Size"], volume["VolumeType"]) == (200, "gp3")


def test_what_people_turned_off_is_on_again(host: Any) -> None:
    assert host["State"]["Name"] == "running"
    assert host["MetadataOptions"]["HttpTokens"] == "required"


def test_addresses_of_hosts_that_are_no_more_are_released(aws: Aws, host: Any) -> None:
    addresses = aws.client("ec2", REGION).describe_addresses()["Addresses"]
    assert host["InstanceId"] in [address["InstanceId"] for address in addresses]
    assert len(addresses) == 3, "of pool-1, pool-2 and pool-monitor"


def test_another_key_is_for_hosts_to_come(aws: Aws, host: Any) -> None:
    """The host keeps the name of its pair; who logs in is the list's business."""
    (pair,) = aws.client("ec2", REGION).describe_key_pairs(KeyNames=["pool"], IncludePublicKey=True)[
        "KeyPairs"
    ]
    assert pair["PublicKey"].split()[1] == ANOTHER_KEY.split()[1]


# What the programs of a host say, as growpart 0.33 and e2fsprogs 1.47 do.
PROGRAMS = {
    "findmnt": "echo /dev/nvme0n1p1 ext4",
    "lsblk": "echo nvme0n1",
    "growpart": """case "$FULL $*" in
"yes "*) echo "NOCHANGE: partition 1 is size 314570719. it cannot be grown"; exit 1;;
" --dry-run /dev/nvme0n1 1") echo "CHANGE: partition=1 start=227328 old: size=1 end=2 new: size=3 end=4";;
" /dev/nvme0n1 1") echo "CHANGED: partition=1 start=227328 old: size=1 end=2 new: size=3 end=4";;
*) echo "FAILED: $*"; exit 2;;
esac""",
    "resize2fs": """case "$FULL" in
yes) echo "The filesystem is already 39321339 (4k) blocks long.  Nothing to do!";;
*) echo "The filesystem on $1 is now 52428539 (4k) blocks long.";;
esac""",
}


@pytest.mark.parametrize(
    ("full", "check", "changed"), [("", False, True), ("", True, True), ("yes", False, False)]
)
def test_the_root_file_system_follows_its_disk(
    aws: Aws, tmp_path: Path, full: str, check: bool, changed: bool
) -> None:
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = {"PATH": f"{tmp_path}:{aws.environment['PATH']}", "FULL": full}
    answer = module(aws, "root_grown", path, _ansible_check_mode=check)
    assert answer["changed"] is changed, answer
    assert ("now 52428539" in answer["said"]) is (not full and not check)
