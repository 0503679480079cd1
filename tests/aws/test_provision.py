"""`provision`, from an empty account to a host in the inventory, on a stand-in AWS."""

import json
from typing import Any

import pytest

from tests.aws.conftest import REGION
from tests.aws.harness import Aws, Checkout, Run
from tests.aws.inspect import tagged
from tests.aws.others import POLICY, Others

pytestmark = pytest.mark.xdist_group("aws")


@pytest.fixture
def host(aws: Aws, made: Run) -> Any:
    """The one instance, as EC2 describes it."""
    reservations = aws.client("ec2", REGION).describe_instances()["Reservations"]
    (instance,) = (instance for reservation in reservations for instance in reservation["Instances"])
    return instance


def test_zero_quota_is_refused_before_anything_is_made(without_quota: Run) -> None:
    assert without_quota.code == 2
    assert without_quota.changed == 0
    assert "may run 0 vCPUs of G and VT instances in us-west-1; 4 are needed" in without_quota.text
    assert "aws service-quotas request-service-quota-increase" in without_quota.text
    assert "console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-DB2E81BA" in without_quota.text


def test_check_mode_on_an_empty_account_says_what_would_be_made_and_makes_nothing(
    checked: Run, found_after_check: set[tuple[str, str]]
) -> None:
    assert checked.code == 0, checked.text
    assert "Would make the bucket pool-models" in checked.text
    assert "Would launch pool-1 as g4dn.xlarge from ami-" in checked.text
    assert checked.changed >= 10
    assert found_after_check == set()


def test_a_run_completes_what_others_left_half_made(
    leftovers: dict[str, str], made: Run, aws: Aws, host: Any
) -> None:
    assert host["VpcId"] == leftovers["vpc"]
    assert host["PublicIpAddress"] == leftovers["address"]
    assert len(aws.client("ec2", REGION).describe_addresses()["Addresses"]) == 1


def test_where_no_zone_has_a_host_it_says_what_was_tried_and_what_to_do(sold_out: Run) -> None:
    assert sold_out.code == 2
    for kind in ("g4dn.xlarge", "g4dn.2xlarge"):
        assert f"{kind} in {REGION}a: InsufficientInstanceCapacity" in sold_out.text
    assert sold_out.text.count(": InsufficientInstanceCapacity, g4dn.2xlarge in") >= 1
    assert "add types to aws_host_more_instance_types" in sold_out.text


def test_another_zone_is_taken_where_the_first_has_none(made: Run, host: Any) -> None:
    assert host["Placement"]["AvailabilityZone"] != f"{REGION}a"
    assert f"EC2 had no g4dn.xlarge in {REGION}a: InsufficientInstanceCapacity" in made.text


def test_second_run_changes_nothing_though_there_is_a_newer_ami(again: Run, aws: Aws, host: Any) -> None:
    assert again.code == 0, again.text
    assert again.changed == 0, again.text


def test_rules_policies_and_tags_of_others_stay(again: Run, others: Others) -> None:
    tags = others.tags()
    assert len(tags) == len(others.things)
    assert [name for name, found in tags.items() if found.get("Backup") != "daily"] == []
    assert [name for name, found in tags.items() if found.get("CostCenter") != "aquatics"] == []
    assert others.policies() == [POLICY]
    assert others.admitted() == {
        (443, "203.0.113.0/24"),
        (443, "198.51.100.0/24"),
        (22, "203.0.113.7/32"),
        (9100, "10.0.0.5/32"),
    }


def test_check_mode_afterwards_changes_nothing(again: Run, pool: Checkout) -> None:
    run = pool.play("provision", "--check")
    assert (run.code, run.changed) == (0, 0), run.text


def test_inventory_finds_the_host_by_its_elastic_ip(made: Run, pool: Checkout, aws: Aws, host: Any) -> None:
    listed = pool.ansible("ansible-inventory", "--list")
    inventory = json.loads(listed[listed.index("{") : listed.rindex("}") + 1])
    assert inventory["springboard"]["hosts"] == ["pool-1"]
    variables = inventory["_meta"]["hostvars"]["pool-1"]
    (address,) = aws.client("ec2", REGION).describe_addresses()["Addresses"]
    assert address["InstanceId"] == host["InstanceId"]
    assert variables["ansible_host"]["__ansible_unsafe"] == address["PublicIp"]
    assert variables["ansible_user"]["__ansible_unsafe"] == "ubuntu"


def test_host_asks_for_metadata_tokens_and_cannot_be_terminated_by_accident(aws: Aws, host: Any) -> None:
    assert host["MetadataOptions"]["HttpTokens"] == "required"
    assert host["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    attribute = aws.client("ec2", REGION).describe_instance_attribute(
        InstanceId=host["InstanceId"], Attribute="disableApiTermination"
    )
    assert attribute["DisableApiTermination"] == {"Value": True}
    assert host["KeyName"] == "pool"


def test_root_volume_is_encrypted_gp3(aws: Aws, host: Any) -> None:
    (mapping,) = host["BlockDeviceMappings"]
    assert mapping["Ebs"]["DeleteOnTermination"]
    (volume,) = aws.client("ec2", REGION).describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"]
    assert (volume["Encrypted"], volume["VolumeType"], volume["Size"]) == (True, "gp3", 150)


def test_security_group_admits_callers_and_administrators_alone(aws: Aws, host: Any, others: Others) -> None:
    (group,) = host["SecurityGroups"]
    (rules,) = aws.client("ec2", REGION).describe_security_groups(GroupIds=[group["GroupId"]])[
        "SecurityGroups"
    ]
    admitted = {
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], network["CidrIp"])
        for rule in rules["IpPermissions"]
        for network in rule["IpRanges"]
    }
    assert admitted == {
        ("tcp", 443, 443, "203.0.113.0/24"),
        ("tcp", 443, 443, "198.51.100.0/24"),
        ("tcp", 22, 22, "203.0.113.7/32"),
        ("tcp", 9100, 9100, "10.0.0.5/32"),  # by others
    }
    assert not any(rule["Ipv6Ranges"] or rule["UserIdGroupPairs"] for rule in rules["IpPermissions"])


def test_subnets_route_to_the_internet(aws: Aws, host: Any) -> None:
    ec2 = aws.client("ec2", REGION)
    (table,) = ec2.describe_route_tables(
        Filters=[{"Name": "association.subnet-id", "Values": [host["SubnetId"]]}]
    )["RouteTables"]
    gateways = {route.get("DestinationCidrBlock"): route.get("GatewayId") for route in table["Routes"]}
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    assert gateways["0.0.0.0/0"] == gateway["InternetGatewayId"]
    assert gateway["Attachments"][0]["VpcId"] == host["VpcId"]


def test_role_reads_releases_and_videos_and_nothing_else(aws: Aws, host: Any) -> None:
    iam = aws.client("iam")
    profile = iam.get_instance_profile(InstanceProfileName=host["IamInstanceProfile"]["Arn"].split("/")[1])
    (role,) = profile["InstanceProfile"]["Roles"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "ec2.amazonaws.com"}
    (name,) = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    document = iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
    assert document == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadReleases",
                "Effect": "Allow",
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws:s3:::pool-models/releases/*"],
            },
            {
                "Sid": "ListReleases",
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": ["arn:aws:s3:::pool-models"],
                "Condition": {"StringLike": {"s3:prefix": ["releases/*"]}},
            },
            {
                "Sid": "ReadVideos",
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "Resource": ["arn:aws:s3:::pool-videos/*", "arn:aws:s3:::more-videos/*"],
            },
            {
                "Sid": "TellMissingVideos",
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": ["arn:aws:s3:::pool-videos", "arn:aws:s3:::more-videos"],
            },
        ],
    }


def test_bucket_is_versioned_private_encrypted_and_tls_only(aws: Aws, made: Run) -> None:
    s3 = aws.client("s3", REGION)
    name = "pool-models"
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    block = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert len(block) == 4
    assert all(block.values())
    (encryption,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    ownership = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"] == [
        {
            "Sid": "OnlyOverTLS",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["arn:aws:s3:::pool-models", "arn:aws:s3:::pool-models/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
        {
            "Sid": "ReleasesAreWrittenOnce",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::pool-models/releases/*",
            "Condition": {
                "Null": {"s3:if-none-match": "true"},
                "Bool": {"s3:ObjectCreationOperation": "true"},
            },
        },
        {
            "Sid": "ReleasesStay",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            "Resource": "arn:aws:s3:::pool-models/releases/*",
        },
    ]
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert rule["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_everything_is_tagged(aws: Aws, made: Run) -> None:
    kinds = {kind for kind, _ in tagged(aws, REGION, "pool")}
    assert kinds == {
        "elastic-ip",
        "instance",
        "internet-gateway",
        "key-pair",
        "route-table",
        "security-group",
        "subnet",
        "volume",
        "vpc",
        "role",
        "instance-profile",
        "bucket",
        "alarm",
    }
