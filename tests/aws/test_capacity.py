"""The module that says where an instance type is offered and which vCPUs are free."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from springboard.system.checkout import ROOT
from tests.aws.harness import Aws

pytestmark = pytest.mark.xdist_group("aws")
REGION = "us-east-1"


def found(aws: Aws, instance_type: str) -> dict[str, object]:
    """Run the module as a play does; imported here, Ansible would replace this process' sys.intern."""
    ansible = str(Path(sys.executable).with_name("ansible"))
    command = [
        ansible,
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
    ]
    arguments = {"region": REGION, "instance_type": instance_type, "deployment": "pool"}
    command += ["-M", str(ROOT / "playbooks/roles/aws_host/library"), "-m", "ec2_gpu_capacity_info"]
    command += ["-a", json.dumps(arguments), "localhost"]
    done = subprocess.run(
        command, cwd=aws.home, env=aws.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, object] = json.loads(done.stdout.partition("=> ")[2])
    return answer


def launch(aws: Aws, instance_type: str, deployment: str, **options: object) -> str:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "springboard:deployment", "Value": deployment}]}]
    (instance,) = aws.client("ec2", REGION).run_instances(
        ImageId=aws.publish_ami(REGION, "20260301"),
        InstanceType=instance_type,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=tags,
        **options,
    )["Instances"]
    return str(instance["InstanceId"])


def test_counts_what_others_run_on_demand(aws: Aws) -> None:
    launch(aws, "g4dn.2xlarge", "other")
    launch(aws, "g4dn.xlarge", "pool")
    launch(aws, "m5.large", "other")
    launch(aws, "g5.xlarge", "other", InstanceMarketOptions={"MarketType": "spot"})
    stopped = launch(aws, "g4dn.xlarge", "other")
    aws.client("ec2", REGION).stop_instances(InstanceIds=[stopped])
    aws.grant(REGION, 12)
    answer = found(aws, "g5.xlarge")
    assert (answer["vcpus"], answer["vcpus_in_use"], answer["quota"]) == (4, 8, 12)


def test_unknown_type_is_offered_nowhere_and_its_family_is_named(aws: Aws) -> None:
    answer = found(aws, "g5.tiny")
    assert (answer["zones"], answer["vcpus"]) == ([], 0)
    family = answer["family"]
    assert isinstance(family, list)
    assert "g5.xlarge" in family
    assert all(name.startswith("g5.") for name in family)


def test_zones_are_the_regions_own(aws: Aws) -> None:
    zones = found(aws, "g4dn.xlarge")["zones"]
    assert isinstance(zones, list)
    assert zones
    assert all(zone.removeprefix(REGION) in "abcdef" for zone in zones)
