"""A stand-in AWS account whose instances are test hosts, and a person with the shipped policies."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from springboard.releases.registry import Registry
from springboard.system.checkout import ROOT
from tests.aws.harness import Aws, Checkout, stand_in
from tests.aws.inspect import tagged
from tests.hosts.harness import HERE, Hosts, Node, Play

REGION = "us-east-1"
DEPLOYMENT = "springboard"


@dataclass(frozen=True)
class Account:
    """What the playbooks see of AWS, and `node`, which EC2 says its first instance to be."""

    aws: Aws
    checkout: Checkout
    node: Node

    def play(self, playbook: str, *arguments: str) -> Play:
        """Run a playbook as who has its shipped policy; site.yml as who provisions and deploys."""
        hosts = self.node.hosts
        ssh = {
            "ANSIBLE_PRIVATE_KEY_FILE": str(hosts.base / "key"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": hosts.control,
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_TIMEOUT": "60",
        }
        user = self.checkout.users[playbook]
        try:
            text = self.checkout.ansible(
                "ansible-playbook", f"playbooks/{playbook}.yml", *arguments, **user, **ssh
            )
        finally:
            hosts.forget_connections()
        output, _, code = text.rpartition("\nexit ")
        return Play(int(code), output)

    def publish(self, archive: Path, clip: Path) -> None:
        """Publish a release, as who deploys."""
        s3 = self.aws.client("s3", REGION, self.checkout.users["deploy"])
        bucket = self.checkout.values("springboard_models_bucket")["springboard_models_bucket"]
        assert Registry(f"s3://{bucket}", s3).publish(archive, clip)

    def takes(self, node: Node) -> None:
        """Have an instance be this machine: the one with its address, which finds the account as s3.test."""
        keys = node.sh("cut -d' ' -f1,2 /etc/ssh/ssh_host_*_key.pub")
        self.aws.tell("machine", address=node.address, keys=keys)
        here = f"sed 's/.* s3.test$/{_address(node.hosts)} s3.test/' /etc/hosts"
        node.sh(f"{here} >/tmp/hosts; cat /tmp/hosts >/etc/hosts")

    def lend_role(self, node: Node | None = None) -> None:
        """Have the metadata service of a host, the first by default, hand out what its role may do."""
        role = f"arn:aws:iam::123456789012:role/{DEPLOYMENT}-host"
        lent = self.aws.client("sts", REGION).assume_role(RoleArn=role, RoleSessionName="host")["Credentials"]
        (node or self.node).metadata(lent["AccessKeyId"], lent["SecretAccessKey"], lent["SessionToken"])

    def left(self) -> list[str]:
        """What the account has of the deployment."""
        return sorted(f"{kind} {name}" for kind, name in tagged(self.aws, REGION, DEPLOYMENT))


@contextmanager
def account(nodes: list[Node], folder: Path, port: int, **settings: Any) -> Iterator[Account]:
    """Open an account at `port` of an address of its own, which nodes call s3.test; edit settings.

    Its instances will be these nodes. `springboard_video_buckets` are there already, and empty.
    """
    hosts = nodes[0].hosts
    address = _address(hosts)
    bridge = [f"{address}/24", "dev", f"nodes{hosts.number}"]
    subprocess.run(["ip", "addr", "add", *bridge], check=True)
    try:
        (folder / "aws").mkdir()
        with stand_in(folder / "aws", address, str(port)) as aws:
            aws.grant(REGION, 4 * len(nodes))
            for bucket in settings["springboard_video_buckets"]:
                aws.client("s3", REGION).create_bucket(Bucket=bucket)
            ours = Account(aws, _checkout(folder / "checkout", aws, hosts, settings), nodes[0])
            for node in nodes:
                ours.takes(node)
            yield ours
    finally:
        subprocess.run(["ip", "addr", "del", *bridge], check=True)


def _address(hosts: Hosts) -> str:
    return f"10.213.{hosts.number}.2"


def _checkout(folder: Path, aws: Aws, hosts: Hosts, settings: dict[str, Any]) -> Checkout:
    checkout = Checkout(
        folder,
        aws,
        springboard_deployment=DEPLOYMENT,
        springboard_region=REGION,
        aws_host_allowed_cidrs=["203.0.113.0/24"],
        aws_host_admin_cidrs=["203.0.113.7/32"],
        aws_host_public_key_file="key.pub",
        aws_host_zones=[f"{REGION}a"],  # one subnet
        **settings,
    )
    for part in ("springboard", "model_handler", "requirements"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.properties", folder)
    shutil.copy(hosts.base / "key.pub", folder)
    checkout.restrict(DEPLOYMENT)
    both = ((folder / f"build/policies/{who}.json").read_text() for who in ("provision", "deploy"))
    checkout.users["site"] = aws.user(f"{DEPLOYMENT}-site", *both)
    return checkout


def boot_for_the_first_time(node: Node) -> None:
    """Have the node do what Ubuntu's images do as they boot for the first time; see first-boot.sh."""
    node.run("bash", "-s", input=(HERE / "first-boot.sh").read_text())
