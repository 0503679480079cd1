"""The stand-in refuses the words that AWS refuses."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.harness import Aws

pytestmark = pytest.mark.xdist_group("aws")
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("ec2", "create_security_group", {"GroupName": "g", "Description": "Springboard's hosts"}, "description"),
    ("ec2", "create_security_group", {"GroupName": "g", "Description": "ü"}, "description"),
    ("ec2", "create_security_group", {"GroupName": "sg-1", "Description": "g"}, "GroupName"),
    ("ec2", "create_security_group", {"GroupName": "g", "Description": "x" * 256}, "description"),
    (
        "ec2",
        "authorize_security_group_ingress",
        {
            "GroupId": "sg-1",
            "IpPermissions": [
                {
                    "IpProtocol": "tcp",
                    "FromPort": 443,
                    "ToPort": 443,
                    "IpRanges": [{"CidrIp": "203.0.113.0/24", "Description": "the team's"}],
                }
            ],
        },
        "IpRanges.1.Description",
    ),
    ("ec2", "create_tags", {"Resources": ["vpc-1"], "Tags": [{"Key": "aws:x", "Value": ""}]}, "Tag.1.Key"),
    (
        "ec2",
        "create_tags",
        {"Resources": ["vpc-1"], "Tags": [{"Key": "x", "Value": "y" * 257}]},
        "Tag.1.Value",
    ),
    ("ec2", "create_vpc", {"CidrBlock": "10.0.0.0/8"}, "CidrBlock"),
    ("ec2", "import_key_pair", {"KeyName": "schlüssel", "PublicKeyMaterial": b"ssh-ed25519 A"}, "KeyName"),
    ("iam", "create_role", {"RoleName": "a b", "AssumeRolePolicyDocument": TRUST}, "roleName"),
    ("iam", "create_role", {"RoleName": "r" * 65, "AssumeRolePolicyDocument": TRUST}, "roleName"),
    (
        "iam",
        "create_role",
        {"RoleName": "r", "AssumeRolePolicyDocument": TRUST, "Description": "scores \u2013 dives"},
        "description",
    ),
    (
        "iam",
        "create_role",
        {"RoleName": "r", "AssumeRolePolicyDocument": TRUST, "Tags": [{"Key": "team", "Value": "a*b"}]},
        "tags",
    ),
    ("iam", "create_instance_profile", {"InstanceProfileName": "a/b"}, "instanceProfileName"),
    ("service-quotas", "get_service_quota", {"ServiceCode": "1", "QuotaCode": "L-DB2E81BA"}, "serviceCode"),
    ("s3", "create_bucket", {"Bucket": "192.168.1.1"}, "bucket"),
    ("s3", "create_bucket", {"Bucket": "models-s3alias"}, "bucket"),
]


@pytest.mark.parametrize(
    ("service", "call", "arguments", "named"), REFUSED, ids=[f"{one[1]}-{n}" for n, one in enumerate(REFUSED)]
)
def test_words_that_aws_refuses_are_refused(
    service: str, call: str, arguments: dict[str, Any], named: str, aws: Aws
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(aws.client(service), call)(**arguments)
    error = caught.value.response["Error"]
    assert error["Code"] in (
        "InvalidParameterValue",
        "ValidationError",
        "ValidationException",
        "InvalidBucketName",
    )
    assert named in error["Message"]


def test_words_that_aws_takes_are_taken(aws: Aws) -> None:
    ec2, iam = aws.client("ec2", "eu-west-1"), aws.client("iam")
    group = ec2.create_security_group(GroupName="rules", Description="a-z 0-9 ._-:/()#,@[]+=&;{}!$*")
    ec2.create_tags(Resources=[group["GroupId"]], Tags=[{"Key": "Équipe 1", "Value": "tout *"}])
    ec2.delete_security_group(GroupId=group["GroupId"])
    described = "Springboard's hosts: é"
    iam.create_role(
        RoleName="rules",
        AssumeRolePolicyDocument=TRUST,
        Description=described,
        Tags=[{"Key": "Équipe 1", "Value": "a.b:/=+-@_"}],
    )
    assert iam.get_role(RoleName="rules")["Role"]["Description"] == described
    iam.delete_role(RoleName="rules")


def test_a_bucket_whose_owner_owns_all_takes_no_acl(aws: Aws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="owned-models", ObjectOwnership="BucketOwnerEnforced")
    s3.put_bucket_ownership_controls(
        Bucket="owned-models", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    for acl in ("private", "public-read"):
        with pytest.raises(ClientError, match="AccessControlListNotSupported"):
            s3.put_object(Bucket="owned-models", Key="notes", ACL=acl)
    s3.put_object(Bucket="owned-models", Key="notes", ACL="bucket-owner-full-control")
    s3.put_object(Bucket="owned-models", Key="notes")
