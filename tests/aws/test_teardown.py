"""`teardown` on a stand-in AWS: it ends the deployment that test_provision.py looks at before."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.conftest import BUCKET, REGION
from tests.aws.harness import Aws, Checkout, Run
from tests.aws.inspect import tagged

pytestmark = pytest.mark.xdist_group("aws")
RELEASE = "releases/dive/1.0.0/manifest.json"


def test_nobody_changes_or_deletes_a_release(torn_down: Run, aws: Aws) -> None:
    s3 = aws.client("s3", REGION)
    with pytest.raises(ClientError, match=r"Forbidden|AccessDenied"):
        s3.put_object(Bucket=BUCKET, Key=RELEASE, Body=b"other code")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=BUCKET, Key=RELEASE, Body=b"other code", IfNoneMatch="*")
    with pytest.raises(ClientError, match=r"Forbidden|AccessDenied"):
        s3.delete_object(Bucket=BUCKET, Key=RELEASE)


def versions(s3: Any) -> int:
    listed = s3.list_object_versions(Bucket=BUCKET)
    return len(listed["Versions"]) + len(listed["DeleteMarkers"])


def test_it_lists_everything_and_leaves_nothing_but_the_bucket(torn_down: Run, aws: Aws) -> None:
    assert torn_down.code == 0, torn_down.text
    listed = torn_down.text.split("to delete:")[1].split("TASK")[0]
    kinds = [
        *(
            "instance i-",
            "alarm pool-1-instance",
            "alarm pool-monitor-system",
            "volume vol-",
            "elastic IP ",
            "key pair pool",
            "security group sg-",
            "subnet subnet-",
        ),
        *("route table rtb-", "internet gateway igw-", "VPC vpc-", "instance profile pool", "role pool-host"),
    ]
    assert [kind for kind in kinds if f"- {kind}" not in listed] == []
    assert "to keep: - bucket pool-models - secret pool-keys" in listed
    assert tagged(aws, REGION, "pool") == {("bucket", BUCKET), ("secret", "pool-keys")}
    assert versions(aws.client("s3", REGION)) == 7


def test_unconfirmed_it_lists_and_deletes_nothing(torn_down: Run, pool: Checkout, aws: Aws) -> None:
    run = pool.play("teardown", "-e", "teardown_bucket=true")
    assert (run.code, run.changed) == (2, 0)
    assert "to delete: - bucket pool-models to keep: - secret pool-keys" in run.text
    assert "Nothing was deleted. To delete what is listed above:" in run.text
    assert "-e teardown_confirm=pool" in run.text
    assert versions(aws.client("s3", REGION)) == 7


def test_told_so_it_deletes_the_bucket_with_every_version(emptied: Run, aws: Aws) -> None:
    assert emptied.code == 0, emptied.text
    assert tagged(aws, REGION, "pool") == set()
    secret = aws.client("secretsmanager", REGION).describe_secret(SecretId="pool-keys")
    assert secret["DeletedDate"], "it can be brought back for a while"
    assert BUCKET not in [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]]


def test_last_teardown_changes_nothing(emptied: Run, pool: Checkout) -> None:
    run = pool.play("teardown", "-e", "teardown_bucket=true")
    assert (run.code, run.changed) == (0, 0), run.text
