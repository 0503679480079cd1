"""Buckets that are not this deployment's: of this account, of others, of nobody."""

import json
import re
from pathlib import Path

import jinja2
import pytest
import yaml

from springboard.system.checkout import ROOT
from tests.aws.harness import Aws, Checkout, module

pytestmark = pytest.mark.xdist_group("aws")


def test_a_bucket_is_found_whosever_it_is(aws: Aws) -> None:
    aws.client("s3").create_bucket(Bucket="central-models")
    nothing = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}],
    }
    stranger = aws.user("stranger", json.dumps(nothing))
    owned = module(aws, "s3_bucket_status", region="us-east-1", name="central-models")
    anothers = module(aws, "s3_bucket_status", stranger, region="us-east-1", name="central-models")
    nobodys = module(aws, "s3_bucket_status", region="us-east-1", name="nobodys-models")
    assert (owned["status"], anothers["status"], nobodys["status"]) == (200, 403, 404)


@pytest.mark.parametrize(
    ("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-west-1", "aws")]
)
def test_a_region_tells_its_partition(region: str, partition: str) -> None:
    values = yaml.safe_load((ROOT / "inventory/group_vars/all/aws.yml").read_text())
    jinja = jinja2.Environment()
    jinja.tests["match"] = lambda text, pattern: re.match(pattern, text)
    assert jinja.from_string(values["springboard_partition"]).render(springboard_region=region) == partition


def test_names_are_written_as_the_region_has_them(aws: Aws, tmp_path: Path) -> None:
    checkout = Checkout(
        tmp_path / "checkout", aws, springboard_region="cn-north-1", springboard_models_bucket="some-models"
    )
    run = checkout.play("policies")
    assert run.code == 0, run.text
    text = "".join(path.read_text() for path in (checkout.folder / "build/policies").iterdir())
    assert "arn:aws-cn:ec2:cn-north-1:*:" in text
    assert text.count("arn:") == text.count("arn:aws-cn:")


def test_no_partition_is_written_into_a_role() -> None:
    for folder in ("templates", "tasks"):
        for path in (ROOT / "playbooks/roles").rglob(f"{folder}/*"):
            assert "arn:aws:" not in path.read_text(), path
