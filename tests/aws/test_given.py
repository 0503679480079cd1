"""`provision` and `teardown` with a network, a key pair and a bucket that were there before and stay."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from springboard.control.lease import Lease
from springboard.control.store import Prefix
from springboard.deploy.channel import Channel, Channels
from tests.aws.harness import PUBLIC_KEY, Aws, Checkout
from tests.aws.inspect import tagged
from tests.aws.others import DOCUMENT

pytestmark = pytest.mark.xdist_group("aws")
REGION = "eu-west-1"
KMS_KEY = "arn:aws:kms:eu-west-1:123456789012:key/0f7e"


def hosts(aws: Aws) -> list[Any]:
    """Instances that run, by name."""
    reservations = aws.client("ec2", REGION).describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["running"]}]
    )["Reservations"]
    found = [instance for reservation in reservations for instance in reservation["Instances"]]
    return sorted(found, key=lambda host: [tag["Value"] for tag in host["Tags"] if tag["Key"] == "Name"])


def tools(folder: Path) -> Path:
    """AWS's CLI and its plugin, of which the first writes down what it is asked."""
    made = folder / "tools"
    made.mkdir()
    for name in ("aws", "session-manager-plugin"):
        (made / name).write_text(f'#!/bin/sh\n[ "$1" = --version ] || echo "$@" > {made}/asked\n')
        (made / name).chmod(0o755)
    return made


def may_share_documents(aws: Aws) -> None:
    """See what hosts may do where their role stands between them and the bucket, and what not."""
    lent = aws.client("sts", REGION).assume_role(
        RoleArn="arn:aws:iam::123456789012:role/lido-host", RoleSessionName="host"
    )["Credentials"]
    s3 = boto3.client(
        "s3",
        REGION,
        endpoint_url=aws.url,
        aws_access_key_id=lent["AccessKeyId"],
        aws_secret_access_key=lent["SecretAccessKey"],
        aws_session_token=lent["SessionToken"],
    )
    store = Prefix("s3://given-models/control/dive-scoring", s3)
    lease = Lease(store)
    with lease.held() as ours:
        assert ours
        assert not Lease(store).free()
        store.write("endpoint", "dive-scoring", {"n": 1}, None)
        assert store.every("endpoint") == [{"n": 1}]
        channels = Channels("s3://given-models", s3)
        assert channels.read("dive-scoring") is None
        channels.write("dive-scoring", Channel(release="1.0.0"), None)
    others = ("channels/others.json", "control/others/endpoint/others.json", "backups/1", "controls/1")
    for key in ("releases/dive/1.0.0/dive-1.0.0.json", *others):
        with pytest.raises(ClientError, match="not authorized to perform"):
            s3.put_object(Bucket="given-models", Key=key, Body=b"{}")
    with pytest.raises(ClientError, match="not authorized to perform"):
        s3.delete_object(Bucket="given-models", Key="control/dive-scoring/endpoint/dive-scoring.json")


def test_given_subnets_key_and_bucket_are_used_and_left_alone(aws: Aws, tmp_path: Path) -> None:
    ec2, s3 = aws.client("ec2", REGION), aws.client("s3", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{zone}.0/24", AvailabilityZone=f"{REGION}{'ab'[zone]}")[
            "Subnet"
        ]["SubnetId"]
        for zone in range(2)
    ]
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=PUBLIC_KEY.encode())
    s3.create_bucket(Bucket="given-models", CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.grant(REGION, 8)
    checkout = Checkout(
        tmp_path / "given",
        aws,
        springboard_deployment="lido",
        springboard_region=REGION,
        springboard_models_bucket="given-models",
        springboard_video_kms_key_arns=[KMS_KEY],
        springboard_edge=False,
        springboard_channel=True,
        springboard_control=True,
        model_bucket_manage=False,
        aws_host_allowed_cidrs=["0.0.0.0/0"],
        aws_host_access="ssm",
        aws_host_managed_policies=["lido-logs"],
        aws_host_key_name="mine",
        aws_host_subnet_ids=subnets,
        aws_host_count=2,
        aws_host_elastic_ip=False,
    )
    aws.client("iam").create_policy(PolicyName="lido-logs", PolicyDocument=DOCUMENT)
    checkout.restrict("lido")
    programs = {"PATH": f"{tools(tmp_path)}:{aws.environment['PATH']}"}
    run = checkout.play("provision", **programs)
    assert run.code == 0, run.text
    first, second = hosts(aws)
    assert {first["SubnetId"], second["SubnetId"]} == set(subnets)
    assert first["KeyName"] == second["KeyName"] == "mine"
    policy = aws.client("iam").get_role_policy(RoleName="lido-host", PolicyName="read")["PolicyDocument"]
    (decrypt,) = (statement for statement in policy["Statement"] if statement["Sid"] == "Decrypt")
    assert decrypt == {
        "Sid": "Decrypt",
        "Effect": "Allow",
        "Action": ["kms:Decrypt"],
        "Resource": [KMS_KEY],
        "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}},
    }
    may_share_documents(aws)
    assert "ReadVideos" not in [statement["Sid"] for statement in policy["Statement"]]
    (group,) = ec2.describe_security_groups(GroupIds=[first["SecurityGroups"][0]["GroupId"]])[
        "SecurityGroups"
    ]
    assert sorted(rule["FromPort"] for rule in group["IpPermissions"]) == [8080]
    attached = aws.client("iam").list_attached_role_policies(RoleName="lido-host")["AttachedPolicies"]
    assert {one["PolicyName"] for one in attached} == {"lido-logs", "AmazonSSMManagedInstanceCore"}
    listed = checkout.ansible("ansible-inventory", "--host", "lido-2")
    assert json.loads(listed.rsplit("exit", 1)[0])["ansible_host"] == second["PrivateIpAddress"]
    told = checkout.ansible(
        "ansible", "lido-2", "-c", "local", "-m", "debug", "-a", "msg={{ansible_ssh_common_args}}"
    )
    arguments = re.search(r"msg: (.*(?:\n {8}.*)*)", told)
    assert arguments, told
    words = shlex.split(yaml.safe_load(arguments[0])["msg"])
    ssh = ["ssh", "-F", "none", *words, "-o", "BatchMode=yes", "ubuntu@10.1.1.9", "true"]
    subprocess.run(ssh, env=programs, check=False, capture_output=True)
    assert (tmp_path / "tools/asked").read_text().split() == [
        *("ssm", "start-session", "--region", REGION, "--target", second["InstanceId"]),
        *("--document-name", "AWS-StartSSHSession", "--parameters", "portNumber=22"),
    ]
    kinds = {kind for kind, _ in tagged(aws, REGION, "lido")}
    assert kinds == {"instance", "volume", "security-group", "role", "instance-profile"}

    # A teardown that broke off after one of the hosts.
    ec2.modify_instance_attribute(InstanceId=first["InstanceId"], DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    run = checkout.play("teardown", "-e", "teardown_confirm=lido", "-e", "teardown_bucket=true")
    assert run.code == 0, run.text
    assert tagged(aws, REGION, "lido") == set()
    assert len(ec2.describe_subnets(SubnetIds=subnets)["Subnets"]) == 2
    assert [pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]] == ["mine"]
    assert s3.head_bucket(Bucket="given-models")["ResponseMetadata"]["HTTPStatusCode"] == 200
