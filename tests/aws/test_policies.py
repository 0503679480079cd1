"""The policies that are shipped, beside what the playbooks asked for under exactly them.

Every playbook of tests/aws that makes or deletes something runs as a user of these policies.
"""

import json
import re

import pytest
from botocore.exceptions import ClientError

from tests.aws.conftest import REGION
from tests.aws.harness import Aws, Checkout, Run

pytestmark = pytest.mark.xdist_group("aws")


def actions(policy: dict[str, object]) -> set[str]:
    found: set[str] = set()
    statements = policy["Statement"]
    assert isinstance(statements, list)
    for statement in statements:
        listed = statement["Action"]
        found |= {listed} if isinstance(listed, str) else set(listed)
    return found


@pytest.fixture(scope="module")
def policies(pool: Checkout) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (pool.folder / "build/policies").iterdir()}


def test_they_fit_into_a_managed_policy(policies: dict[str, str]) -> None:
    """6,144, not counting spaces: docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html ."""
    assert {name for name, text in policies.items() if len("".join(text.split())) > 6144} == set()


def test_nothing_but_looking_is_allowed_everywhere(policies: dict[str, str]) -> None:
    for text in policies.values():
        for statement in json.loads(text)["Statement"]:
            if statement["Resource"] == "*":
                allowed = actions({"Statement": [statement]})
                assert {one for one in allowed if not re.search(":(Describe|List|Get)", one)} == set()


def test_they_allow_what_was_asked_and_nothing_more(
    aws: Aws, pool: Checkout, policies: dict[str, str], emptied: Run
) -> None:
    """What is asked beyond them the stand-in refuses, and the playbook's own test fails."""
    for name, text in policies.items():
        assert actions(json.loads(text)) - aws.asked(pool.users[name]) == set(), name


def test_of_others_nothing_can_be_deleted_or_taken(
    aws: Aws, pool: Checkout, policies: dict[str, str]
) -> None:
    """Of another deployment of the same account, say, whose name somebody mistook."""
    ec2 = aws.client("ec2", REGION)
    theirs = {"Key": "springboard:deployment", "Value": "pool"}
    vpc = ec2.create_vpc(CidrBlock="10.6.0.0/16")["Vpc"]["VpcId"]
    calls: list[tuple[str, str, dict[str, object]]] = [
        ("ec2", "delete_vpc", {"VpcId": vpc}),
        ("ec2", "create_subnet", {"VpcId": vpc, "CidrBlock": "10.6.1.0/24"}),
        ("ec2", "create_vpc", {"CidrBlock": "10.5.0.0/16"}),
        ("ec2", "create_tags", {"Resources": [vpc], "Tags": [theirs]}),
        ("iam", "delete_role", {"RoleName": "lido-host"}),
        ("iam", "put_role_policy", {"RoleName": "admin", "PolicyName": "read", "PolicyDocument": "{}"}),
        ("s3", "delete_bucket", {"Bucket": "lido-models"}),
        ("s3", "put_object", {"Bucket": "lido-models", "Key": "releases/dive/1.0.0/dive.mar"}),
    ]
    for name in policies:
        user = pool.users[name]
        for service, call, arguments in calls:
            with pytest.raises(ClientError, match=r"not authorized to perform|AccessDenied"):
                getattr(aws.client(service, REGION, user), call)(**arguments)
    ec2.delete_vpc(VpcId=vpc)
