"""Keys in Secrets Manager and backups in S3, by who deploys, under the policy that is shipped."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.aws.conftest import BUCKET, REGION
from tests.aws.harness import Aws, Checkout, Run, module

pytestmark = pytest.mark.xdist_group("aws")


def test_an_issued_key_is_in_the_secret_and_shown_once(
    kept: dict[str, Run], pool: Checkout, aws: Aws
) -> None:
    assert kept["issued"].code == 0, kept["issued"].text
    secrets = aws.client("secretsmanager", REGION)
    assert "coach" in secrets.get_secret_value(SecretId="pool-keys")["SecretString"]
    tags = {tag["Key"]: tag["Value"] for tag in secrets.describe_secret(SecretId="pool-keys")["Tags"]}
    assert tags == {"springboard:deployment": "pool", "CostCenter": "aquatics", "Team": "diving"}
    assert "AWS_ACCESS_KEY_ID" in (pool.folder / "keys-coach.env").read_text()


def test_a_backup_is_encrypted_and_found_again(kept: dict[str, Run], aws: Aws) -> None:
    assert kept["backed up"].code == 0, kept["backed up"].text
    s3 = aws.client("s3", REGION)
    name = "backups/pool-1/2026-11-28T18-00-00Z.vault"
    backup = s3.get_object(Bucket=BUCKET, Key=name)
    assert backup["Body"].read().startswith(b"$ANSIBLE_VAULT;")
    assert kept["restored"].code == 0, kept["restored"].text
    assert f"s3://{BUCKET}/{name}" in kept["restored"].text


def test_what_others_set_of_the_secret_stays(kept: dict[str, Run], pool: Checkout, aws: Aws) -> None:
    secrets = aws.client("secretsmanager", REGION)
    theirs = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [theirs | {"Principal": {"AWS": "*"}}]}
    secrets.put_resource_policy(SecretId="pool-keys", ResourcePolicy=json.dumps(policy))
    secrets.tag_resource(SecretId="pool-keys", Tags=[{"Key": "Backup", "Value": "daily"}])
    value = secrets.get_secret_value(SecretId="pool-keys")["SecretString"]
    given = {"region": REGION, "name": "pool-keys", "deployment": "pool"}
    user = pool.users["deploy"]
    answers = [module(aws, "kept_secret", user, **given, value=text) for text in (value, value + " ", value)]
    assert [answer["changed"] for answer in answers] == [False, True, True], answers
    assert json.loads(secrets.get_resource_policy(SecretId="pool-keys")["ResourcePolicy"]) == policy
    tags = {tag["Key"] for tag in secrets.describe_secret(SecretId="pool-keys")["Tags"]}
    assert "Backup" in tags
    secrets.delete_resource_policy(SecretId="pool-keys")


def test_the_secret_of_another_deployment_is_left_alone(kept: dict[str, Run], aws: Aws) -> None:
    given = {"region": REGION, "name": "pool-keys", "deployment": "lido"}
    for state in ("present", "absent"):
        answer = module(aws, "kept_secret", **given, state=state, value="{}")
        assert "the secret pool-keys is that of the deployment pool" in answer["msg"]


def test_others_read_no_keys(kept: dict[str, Run], pool: Checkout, aws: Aws) -> None:
    for name in ("provision", "teardown"):
        secrets = aws.client("secretsmanager", REGION, pool.users[name])
        with pytest.raises(ClientError, match="AccessDenied"):
            secrets.get_secret_value(SecretId="pool-keys")
