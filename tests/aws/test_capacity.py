"""The module that says where an instance type is offered and which vCPUs are free."""

import pytest

from tests.aws.harness import Aws, module
from tests.stands.aws import VPC_QUOTA

pytestmark = pytest.mark.xdist_group("aws")
REGION = "us-east-1"


def found(aws: Aws, instance_type: str) -> dict[str, object]:
    types = [instance_type, "g4dn.metal"]
    answer = module(aws, "ec2_gpu_capacity_info", region=REGION, instance_types=types, deployment="pool")
    return answer | {"zones": answer["zones"][instance_type], "vcpus": answer["vcpus"][instance_type]}


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
    assert all(name.startswith(("g5.", "g4dn.")) for name in family)


def test_zones_are_the_regions_own(aws: Aws) -> None:
    zones = found(aws, "g4dn.xlarge")["zones"]
    assert isinstance(zones, list)
    assert zones
    assert all(zone.removeprefix(REGION) in "abcdef" for zone in zones)


def test_counts_addresses_and_networks_of_others(aws: Aws) -> None:
    ec2 = aws.client("ec2", REGION)
    before = found(aws, "g4dn.xlarge")
    tags = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "springboard:deployment", "Value": "pool"}]}]
    ours = ec2.allocate_address(Domain="vpc", TagSpecifications=tags)
    theirs = ec2.allocate_address(Domain="vpc")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    aws.grant(REGION, 9, "vpc", VPC_QUOTA)
    after = found(aws, "g4dn.xlarge")
    for address in (ours, theirs):
        ec2.release_address(AllocationId=address["AllocationId"])
    ec2.delete_vpc(VpcId=vpc)
    assert before["addresses"] == {"quota": 5, "in_use": 0}
    assert after["addresses"] == {"quota": 5, "in_use": 1}
    assert isinstance(before["vpcs"], dict)
    assert before["vpcs"]["quota"] == 5, "AWS's own, where the account has none"
    assert after["vpcs"] == {"quota": 9, "in_use": before["vpcs"]["in_use"] + 1}


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet"])
def test_other_zones_are_tried_and_then_other_types(aws: Aws, code: str) -> None:
    ec2 = aws.client("ec2", REGION)
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    zones = {one["SubnetId"]: one["AvailabilityZone"] for one in ec2.describe_subnets()["Subnets"]}
    sold_out = {"g5.xlarge": ",".join(zones.values()), "g6.xlarge": zones[subnets[0]]}
    aws.tell("sold-out", code=code, **sold_out)
    image = aws.publish_ami(REGION, "20260302")
    types = ["g5.xlarge", "g6.xlarge"]
    answer = module(aws, "ec2_launch", region=REGION, types=types, subnets=subnets, spec={"ImageId": image})
    aws.tell("sold-out")
    (instance,) = ec2.describe_instances(InstanceIds=[answer["instance_id"]])["Reservations"][0]["Instances"]
    assert (instance["InstanceType"], instance["SubnetId"]) == ("g6.xlarge", subnets[1])
    assert answer["tried"] == [
        f"{kind} in {zones[subnet]}: {code}"
        for kind, subnet in (("g5.xlarge", subnets[0]), ("g5.xlarge", subnets[1]), ("g6.xlarge", subnets[0]))
    ]
    ec2.terminate_instances(InstanceIds=[answer["instance_id"]])


def test_what_more_zones_do_not_mend_ends_it_at_once(aws: Aws) -> None:
    ec2 = aws.client("ec2", REGION)
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
    aws.tell("refuse", RunInstances="PendingVerification")
    answer = module(aws, "ec2_launch", region=REGION, types=["g5.xlarge"], subnets=subnets, spec={})
    aws.tell("refuse")
    assert "PendingVerification" in answer["msg"]
    assert answer["tried"] == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("Server.InsufficientInstanceCapacity", "EC2 has none now. Tried g5.xlarge in"),
        ("Client.InvalidKMSKey.InvalidState", "as it began: Client.InvalidKMSKey.InvalidState: as the tests"),
    ],
)
def test_what_ends_as_it_begins_was_not_launched(aws: Aws, code: str, said: str) -> None:
    subnets = [one["SubnetId"] for one in aws.client("ec2", REGION).describe_subnets()["Subnets"]]
    spec = {"ImageId": aws.publish_ami(REGION, "20260303")}
    aws.tell("end", **{"g5.xlarge": code})
    answer = module(aws, "ec2_launch", region=REGION, types=["g5.xlarge"], subnets=subnets, spec=spec)
    aws.tell("end")
    assert said in answer["msg"]
