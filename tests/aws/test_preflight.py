"""What `provision` refuses before anything is made, and what it says to do."""

from pathlib import Path

import pytest

from tests.aws.harness import Aws, Checkout
from tests.stands.aws import ADDRESS_QUOTA, UNKNOWN_KEY, VPC_QUOTA

pytestmark = pytest.mark.xdist_group("aws")


@pytest.fixture
def checkout(aws: Aws, tmp_path: Path) -> Checkout:
    return Checkout(
        tmp_path / "checkout",
        aws,
        springboard_region="us-east-1",
        springboard_models_bucket="some-models",
        aws_host_allowed_cidrs=["203.0.113.0/24"],
        aws_host_admin_cidrs=["203.0.113.7/32"],
        aws_host_public_key_file="key.pub",
    )


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("springboard_region", "", "springboard_region (it is '') to a region, such as us-east-1"),
        (
            "aws_host_allowed_cidrs",
            [],
            "aws_host_allowed_cidrs is []; set it in inventory/group_vars/all/aws.yml",
        ),
        ("aws_host_admin_cidrs", ["0.0.0.0/0"], "opens SSH to the whole world"),
        ("aws_host_instance_type", "g5.tiny", "us-east-1 offers no g5.tiny. Set aws_host_instance_type"),
    ],
)
def test_refuses_a_setting_and_names_it(checkout: Checkout, setting: str, value: object, said: str) -> None:
    checkout.edit(**{setting: value})
    run = checkout.play("provision")
    assert (run.code, run.changed) == (2, 0), run.text
    assert said in run.text


@pytest.mark.parametrize(
    "credentials",
    [
        {"AWS_ACCESS_KEY_ID": UNKNOWN_KEY},
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    ],
    ids=["unknown", "absent"],
)
def test_says_how_to_log_in(checkout: Checkout, credentials: dict[str, str]) -> None:
    run = checkout.play("provision", **credentials)
    assert (run.code, run.changed) == (2, 0), run.text
    assert "Log in with: aws configure sso" in run.text
    assert "try: aws sts get-caller-identity" in run.text


@pytest.mark.parametrize("missing", ["collections", "boto3"])
def test_says_what_to_install(checkout: Checkout, tmp_path: Path, missing: str) -> None:
    (tmp_path / "boto3.py").write_text("raise ImportError('no boto3')")
    without = {
        "collections": {"ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false", "ANSIBLE_COLLECTIONS_PATH": "/nowhere"},
        "boto3": {"PYTHONPATH": str(tmp_path)},
    }
    run = checkout.play("provision", **without[missing])
    assert (run.code, run.changed) == (2, 0), run.text
    assert "Run: make setup" in run.text
    assert "lacks boto3 or the collections amazon.aws and community.aws" in run.text


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("PendingVerification", "AWS is still verifying your account for this region"),
        ("OptInRequired", "Your account is not signed up for EC2 yet"),
    ],
)
def test_says_what_to_do_about_an_account_that_may_not_yet(
    aws: Aws, checkout: Checkout, code: str, said: str
) -> None:
    aws.tell("refuse", DescribeInstanceTypeOfferings=code)
    run = checkout.play("provision")
    aws.tell("refuse")
    assert (run.code, run.changed) == (2, 0), run.text
    assert said in run.text


@pytest.mark.parametrize(
    ("service", "quota", "said"),
    [
        ("ec2", ADDRESS_QUOTA, "may have 0 elastic IPs in us-east-1, and others take 0; 1 are needed"),
        ("vpc", VPC_QUOTA, "may have 0 VPCs in us-east-1"),
    ],
)
def test_quotas_of_addresses_and_networks_are_asked_before_anything_is_made(
    aws: Aws, checkout: Checkout, service: str, quota: str, said: str
) -> None:
    aws.grant("us-east-1", 64)
    aws.grant("us-east-1", 0, service, quota)
    run = checkout.play("provision")
    aws.grant("us-east-1", 9, service, quota)
    assert (run.code, run.changed) == (2, 0), run.text
    assert said in run.text
    assert f"--service-code {service} --quota-code {quota} --desired-value" in run.text


def test_tags_that_aws_would_refuse_are_named(checkout: Checkout) -> None:
    checkout.edit(springboard_tags={"Team": "a*b"})
    run = checkout.play("provision")
    assert (run.code, run.changed) == (2, 0), run.text
    assert "springboard_tags in inventory/group_vars/all/aws.yml has Team: a*b" in run.text
