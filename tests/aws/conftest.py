"""The stand-in AWS, one a session, and the life of one deployment in it, from nothing to nothing."""

import base64
import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from springboard.releases.registry import Registry
from tests.aws.harness import ANOTHER_KEY, PUBLIC_KEY, Aws, Checkout, Run, module, stand_in
from tests.aws.inspect import running, tagged
from tests.aws.others import Others
from tests.stands.release import publish

# That deployment's life, which tests follow, in whatever file they are.
LIFE = [
    "without_quota",
    "checked",
    "sold_out",
    "made",
    "others",
    "again",
    "refused",
    "grown",
    "kept",
    "replaced",
    "removed",
    "moved",
    "unwatched",
    "torn_down",
    "emptied",
]
# What has every play skip the hosts themselves.
NOBODY = "alone=true only=nobody"
# As backup.yml ends, of what it packed on a host.
PACKED = """
- hosts: localhost
  connection: local
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    inventory_hostname: pool-1
    __backup_time: 2026-11-28T18-00-00Z
    __backup: {stdout: "%s"}
  tasks: [{include_tasks: tasks/backup_keep.yml}]
"""
REGION = "us-west-1"  # few zones, so few subnets to make
ELSEWHERE = "eu-west-1"
BUCKET = "pool-models"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:pages"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests of a later day come later."""

    def day(item: pytest.Item) -> int:
        if Path(__file__).parent not in item.path.parents:
            return -1
        names = getattr(item, "fixturenames", ())
        if "pool" not in names:  # of another deployment, whose steps may have the same names
            return -1
        return max((LIFE.index(name) for name in names if name in LIFE), default=-1)

    items.sort(key=day)


@pytest.fixture(scope="package")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with stand_in(tmp_path_factory.mktemp("aws")) as standing:
        yield standing


@pytest.fixture(scope="package")
def pool(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The checkout of somebody who gives the handful of values that have no default."""
    checkout = Checkout(
        tmp_path_factory.mktemp("pool"),
        aws,
        springboard_deployment="pool",
        springboard_region=REGION,
        springboard_models_bucket="pool-models",
        springboard_video_buckets=["pool-videos", "more-videos"],
        aws_host_allowed_cidrs=["203.0.113.0/24", "198.51.100.0/24"],
        aws_host_admin_cidrs=["203.0.113.7/32"],
        aws_host_public_key_file="key.pub",
        springboard_tags={"CostCenter": "aquatics"},
        springboard_keys_secret="pool-keys",
        aws_host_alarms=True,
        aws_host_alarm_topic=TOPIC,
        aws_host_monitor=True,
    )
    checkout.restrict("pool")
    checkout.edit(aws_host_monitor=False)
    return checkout


# The life of that deployment. Each step follows the one it names.
@pytest.fixture(scope="package")
def without_quota(pool: Checkout) -> Run:
    return pool.play("provision")


@pytest.fixture(scope="package")
def checked(aws: Aws, pool: Checkout, without_quota: Run) -> Run:
    """A check of what would be done, after the quota was raised as the refusal before said."""
    wanted = re.search(r"--desired-value (\d+) --region (\S+)", without_quota.text)
    assert wanted, without_quota.text
    aws.grant(wanted[2], int(wanted[1]))
    return pool.play("provision", "--check")


@pytest.fixture(scope="package")
def found_after_check(aws: Aws, checked: Run) -> set[tuple[str, str]]:
    return tagged(aws, REGION, "pool")


@pytest.fixture(scope="package")
def leftovers(aws: Aws, pool: Checkout, found_after_check: object) -> dict[str, str]:
    """What a run left that broke off after its VPC, and one that did before it bound its address."""
    ec2 = aws.client("ec2", REGION, pool.users["provision"])
    ours = {"Key": "springboard:deployment", "Value": "pool"}

    def tags(kind: str, name: str) -> list[object]:
        return [{"ResourceType": kind, "Tags": [ours, {"Key": "Name", "Value": name}]}]

    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16", TagSpecifications=tags("vpc", "pool-host"))["Vpc"]
    ec2.modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": True})
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=tags("elastic-ip", "pool-1"))
    return {"vpc": vpc["VpcId"], "address": address["PublicIp"]}


@pytest.fixture(scope="package")
def sold_out(aws: Aws, pool: Checkout, leftovers: dict[str, str]) -> Run:
    """A run on a day when no zone has a host of any of the types."""
    pool.edit(aws_host_more_instance_types=["g4dn.2xlarge"])
    both = f"{REGION}a,{REGION}b,{REGION}c"
    aws.tell("sold-out", **{"g4dn.xlarge": both, "g4dn.2xlarge": both})
    return pool.play("provision")


@pytest.fixture(scope="package")
def made(aws: Aws, pool: Checkout, sold_out: Run) -> Run:
    """A run when the first zone still has none."""
    aws.tell("sold-out", **{"g4dn.xlarge": f"{REGION}a"})
    run = pool.play("provision")
    aws.tell("sold-out")
    assert run.code == 0, run.text
    return run


@pytest.fixture(scope="package")
def others(aws: Aws, made: Run) -> Others:
    """What people and an organisation's quick setups add to what was made."""
    return Others(aws, REGION, "pool")


@pytest.fixture(scope="package")
def again(aws: Aws, pool: Checkout, others: Others) -> Run:
    """A second run, after that, and after AWS published a newer AMI."""
    aws.publish_ami(REGION, "20261006")
    return pool.play("provision")


@pytest.fixture(scope="package")
def refused(aws: Aws, pool: Checkout, again: Run) -> list[str]:
    """What is said of changes that no host can follow: of a network, and of all others at once."""
    ec2 = aws.client("ec2", REGION)
    (subnet, *_) = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    ec2.import_key_pair(KeyName="theirs", PublicKeyMaterial=PUBLIC_KEY.encode())
    pool.edit(aws_host_vpc_cidr="10.88.0.0/16")
    network = pool.play("provision")
    changes = {
        "aws_host_key_name": "theirs",
        "aws_host_public_key_file": "",
        "aws_host_zones": [subnet["AvailabilityZone"]],
        "aws_host_subnet_ids": [subnet["SubnetId"]],
        "aws_host_elastic_ip": False,
        "aws_host_root_gb": 100,
        "aws_host_ami_parameter": "/aws/service/deeplearning/ami/x86_64/other",
    }
    former = pool.values(*changes)
    pool.edit(aws_host_vpc_cidr="10.77.0.0/16", **changes)
    rest = pool.play("provision")
    pool.edit(**former)
    assert [(run.code, run.changed) for run in (network, rest)] == [(2, 0)] * 2, rest.text
    return [network.text, rest.text]


@pytest.fixture(scope="package")
def grown(aws: Aws, pool: Checkout, refused: object) -> Run:
    """A run with a host more and one that watches, a larger disk, another key and fewer callers.

    People had stopped the host and opened its metadata; of a third one the address was left.
    """
    ec2 = aws.client("ec2", REGION)
    tags = [{"Key": "springboard:deployment", "Value": "pool"}, {"Key": "Name", "Value": "pool-3"}]
    ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}])
    instance = running(aws, REGION, "pool-1")["InstanceId"]
    rest = {"HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1, "HttpProtocolIpv6": "disabled"}
    ec2.modify_instance_metadata_options(
        InstanceId=instance, HttpTokens="optional", InstanceMetadataTags="disabled", **rest
    )
    ec2.stop_instances(InstanceIds=[instance])
    (pool.folder / "key.pub").write_text(ANOTHER_KEY)
    aws.grant(REGION, 8)
    pool.edit(
        aws_host_count=2,
        aws_host_monitor=True,
        aws_host_alarm_topic="",
        aws_host_root_gb=200,
        aws_host_allowed_cidrs=["203.0.113.0/24"],
        springboard_admin_keys=[ANOTHER_KEY],
        springboard_tags={"CostCenter": "aquatics", "Team": "diving"},
    )
    return pool.play("provision")


def packed(state: bytes) -> str:
    """What backup.yml packs of a host, as it comes from there."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        entry = tarfile.TarInfo("var/lib/springboard/deployment.json")
        entry.size = len(state)
        tar.addfile(entry, io.BytesIO(state))
    return base64.b64encode(whole.getvalue()).decode()


@pytest.fixture(scope="package")
def kept(pool: Checkout, grown: Run) -> dict[str, Run]:
    """Who deploys issues a key, keeps a backup, and looks for one; what is done on hosts is left out."""
    (pool.folder / "password").write_text("correct horse")
    (pool.folder / "playbooks/packed.yml").write_text(PACKED % packed(b'{"promoted": {"version": "1.0.0"}}'))
    vault = {"ANSIBLE_VAULT_PASSWORD_FILE": "password"}
    here = ("--limit", "pool-2,localhost")
    return {
        "issued": pool.play("keys", "-e", "create=coach only=nobody", *here),
        "backed up": pool.play("packed", **vault),
        "restored": pool.play("restore", "-e", "host=pool-1", *here, **vault),
    }


@pytest.fixture(scope="package")
def former(aws: Aws, kept: object) -> Any:
    """The first host, as it is before it is replaced."""
    return running(aws, REGION, "pool-1")


@pytest.fixture(scope="package")
def replaced(aws: Aws, pool: Checkout, former: object) -> dict[str, Run]:
    """Of two hosts the first is to be of another type; no instance of the stand-in can be logged in to."""
    pool.edit(aws_host_instance_type="g4dn.2xlarge", aws_host_more_instance_types=["g4dn.xlarge"])
    told = f"host=pool-1 release=1.0.0 {NOBODY}"
    runs = {
        "another": pool.play("replace", "-e", "host=pool-7"),
        "without quota": pool.play("replace", "-e", told),
    }
    aws.grant(REGION, 16)
    runs["with its keys"] = pool.play("replace", "-e", told, "-e", '{"springboard_keys_secret": ""}')
    runs["made"] = pool.play("replace", "-e", told, ANSIBLE_TIMEOUT="1")
    return runs


@pytest.fixture(scope="package")
def removed(pool: Checkout, replaced: object) -> dict[str, Run]:
    """A host less, which is not to be at first."""
    wanted = pool.play("remove", "-e", f"host=pool-2 {NOBODY}")
    pool.edit(aws_host_count=1)
    return {"wanted": wanted, "gone": pool.play("remove", "-e", f"host=pool-2 {NOBODY}", ANSIBLE_TIMEOUT="1")}


@pytest.fixture(scope="package")
def there(aws: Aws, pool: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The checkout of a deployment in another region, of other names; in one zone, and watched."""
    same = pool.values("aws_host_allowed_cidrs", "aws_host_admin_cidrs", "aws_host_public_key_file")
    return Checkout(
        tmp_path_factory.mktemp("there"),
        aws,
        springboard_deployment="pool-eu",
        springboard_region=ELSEWHERE,
        springboard_models_bucket="pool-eu-models",
        aws_host_zones=[f"{ELSEWHERE}b"],
        aws_host_monitor=True,
        **same,
    )


@pytest.fixture(scope="package")
def moved(
    aws: Aws, pool: Checkout, there: Checkout, removed: object, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """The bucket holds a release, and beside the deployment is one in a region without a default VPC."""
    registry = Registry(f"s3://{BUCKET}", aws.client("s3", REGION, pool.users["deploy"]))
    publish(registry, tmp_path_factory.mktemp("release"), "1.0.0")
    assert registry.versions() == ["1.0.0"]
    aws.grant(ELSEWHERE, 8)
    _delete_default_vpc(aws.client("ec2", ELSEWHERE))
    return there.play("provision")


def _delete_default_vpc(ec2: Any) -> None:
    """As organisations do."""
    default = [{"Name": "is-default", "Values": ["true"]}]
    (vpc,) = ec2.describe_vpcs(Filters=default)["Vpcs"]
    theirs = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    for subnet in ec2.describe_subnets(Filters=theirs)["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])


@pytest.fixture(scope="package")
def unwatched(there: Checkout, moved: Run) -> Run:
    """That one is to have no host that watches any more."""
    there.edit(aws_host_monitor=False)
    return there.play("remove", "-e", "host=pool-eu-monitor")


@pytest.fixture(scope="package")
def torn_down(aws: Aws, pool: Checkout, unwatched: object, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The bucket holds a release, and what was written twice and deleted."""
    # Who deploys does so from another machine than the one that made the host.
    instance = running(aws, REGION, "pool-1")["InstanceId"]
    known = str(tmp_path_factory.mktemp("another") / "known_hosts")
    hosts = {"region": REGION, "instances": [instance], "path": known}
    assert module(aws, "ec2_known_hosts", pool.users["deploy"], **hosts)["learned"] == [instance]
    s3 = aws.client("s3", REGION)
    s3.put_object(Bucket=BUCKET, Key="notes", Body=b"older")
    s3.put_object(Bucket=BUCKET, Key="notes", Body=b"newer")
    s3.delete_object(Bucket=BUCKET, Key="notes")
    # A volume that outlived its host.
    tag = {"Key": "springboard:deployment", "Value": "pool"}
    left = [{"ResourceType": "volume", "Tags": [tag]}]
    aws.client("ec2", REGION).create_volume(AvailabilityZone=f"{REGION}b", Size=1, TagSpecifications=left)
    return pool.play("teardown", "-e", "teardown_confirm=pool")


@pytest.fixture(scope="package")
def emptied(pool: Checkout, torn_down: Run) -> Run:
    """The bucket goes too."""
    return pool.play(
        "teardown", "-e", "teardown_confirm=pool", "-e", "teardown_bucket=true teardown_keys=true"
    )
