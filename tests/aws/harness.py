"""A person's checkout and AWS account, for the tests of the playbooks that talk to AWS."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml

from springboard.system.checkout import ROOT
from springboard.system.processes import Child
from tests.stands.aws import G_QUOTA
from tests.stands.compiled import in_forks, keeping
from tests.stands.started import started

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM5bXQLamBpKk8O/Xal83ORaBvtm21sA5KeRwEXjmF3S"
ANOTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMNea5fwnItRoHnB5LYtHYreKeY8ni6mOyfaOO7NmT8K"


@dataclass(frozen=True)
class Aws:
    """The stand-in AWS at `url`, and what makes every AWS client of a process ask it and nobody else."""

    url: str
    home: Path
    forks: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """All that a process gets: no profile or role of this machine, and no way to AWS itself."""
        return {
            **keeping(),
            **self.forks,
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIASTANDIN000000000",
            "AWS_SECRET_ACCESS_KEY": "standin",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HTTPS_PROXY": "http://127.0.0.1:1",
            "NO_PROXY": "127.0.0.1",
        }

    def client(self, service: str, region: str = "us-east-1", user: dict[str, str] | None = None) -> Any:
        """A boto3 client of the stand-in, the account owner's or a user's."""
        who = self.environment | (user or {})
        make: Any = boto3.client
        return make(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=who["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=who["AWS_SECRET_ACCESS_KEY"],
        )

    def grant(self, region: str, value: int, service: str = "ec2", code: str = G_QUOTA) -> None:
        """Set a quota of the account, by default that of G instances' vCPUs."""
        self.client("service-quotas", region).request_service_quota_increase(
            ServiceCode=service, QuotaCode=code, DesiredValue=value
        )

    def user(self, name: str, *policies: str) -> dict[str, str]:
        """Make a user whom `policies` alone allow anything; what makes a process that user."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        for number, policy in enumerate(policies):
            arn = iam.create_policy(PolicyName=f"{name}-{number}", PolicyDocument=policy)["Policy"]["Arn"]
            iam.attach_user_policy(UserName=name, PolicyArn=arn)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def asked(self, user: dict[str, str]) -> set[str]:
        """Actions that this user asked for and was allowed."""
        with urllib.request.urlopen(f"{self.url}/standin/asked/{user['AWS_ACCESS_KEY_ID']}") as answer:
            return set(json.load(answer))

    def tell(self, what: str, **said: str) -> None:
        """Tell the stand-in what is `sold-out` (zones by type) or whom it is to `refuse` (code by action)."""
        urllib.request.urlopen(f"{self.url}/standin/{what}?{urllib.parse.urlencode(said)}").close()

    def publish_ami(self, region: str, date: str) -> str:
        """Let AWS publish a newer Deep Learning AMI; its id."""
        with urllib.request.urlopen(f"{self.url}/standin/publish-ami/{region}/{date}") as answer:
            body: bytes = answer.read()
        return body.decode()


@contextmanager
def stand_in(folder: Path, *listen: str) -> Iterator[Aws]:
    """Run an empty stand-in AWS, at a given address and port; `folder` is for its log and its users' home."""
    (folder / "amis.json").write_text("[]")  # moto's own 500 take seconds
    environment = os.environ | {
        "MOTO_AMIS_PATH": str(folder / "amis.json"),
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        "S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true",  # whatever name it is called by
    }
    command = [sys.executable, "-m", "tests.stands.aws", *listen]
    with started(command, environment, folder / "log") as url, in_forks(folder) as forks:
        yield Aws(url, folder, forks)


@dataclass(frozen=True)
class Run:
    """What a playbook did: `changed` is its recap's count, `text` its output as one line."""

    code: int
    changed: int
    text: str


class Checkout:
    """A copy of this project's playbooks and inventory whose owner has edited group_vars."""

    def __init__(self, folder: Path, aws: Aws, **settings: object) -> None:
        self.folder = folder
        self._aws = aws
        for name in ("playbooks", "inventory"):
            shutil.copytree(ROOT / name, folder / name)
        shutil.copy(ROOT / "ansible.cfg", folder)
        (folder / "key.pub").write_text(PUBLIC_KEY)
        self.edit(**settings)
        self.users: dict[str, dict[str, str]] = {}

    def restrict(self, name: str) -> None:
        """Let all be done by users `name`-* whom the shipped policies allow what they allow."""
        run = self.play("policies")
        assert run.code == 0, run.text
        policies = {path.stem: path.read_text() for path in (self.folder / "build/policies").iterdir()}
        for stem, policy in policies.items():
            self.users[stem] = self._aws.user(f"{name}-{stem}", policy)
        # These take all of them, as docs/aws.md says.
        everything = self._aws.user(f"{name}-all", *policies.values())
        self.users |= dict.fromkeys(("replace", "remove", "image"), everything)

    @property
    def _files(self) -> list[Path]:
        return sorted((self.folder / "inventory/group_vars/all").glob("*.yml"))

    def values(self, *names: str) -> dict[str, Any]:
        """What group_vars have for these now."""
        found: dict[str, Any] = {}
        for file in self._files:
            found |= yaml.safe_load(file.read_text())
        return {name: found[name] for name in names}

    def edit(self, **settings: object) -> None:
        """Change values in group_vars, each where it stands."""
        files = self._files
        for name, value in settings.items():
            pattern = re.compile(rf"^{name}:.*$", re.M)
            holders = [file for file in files if pattern.search(file.read_text())]
            assert len(holders) == 1, f"{name} is in {holders}"
            holders[0].write_text(pattern.sub(f"{name}: {json.dumps(value)}", holders[0].read_text()))

    def play(self, playbook: str, *arguments: str, **environment: str) -> Run:
        """Run a playbook as docs/aws.md says."""
        user = self.users.get(playbook, {})
        text = self.ansible("ansible-playbook", f"playbooks/{playbook}.yml", *arguments, **user | environment)
        code = int(text.rsplit("exit ", 1)[1])
        changed = sum(int(count) for count in re.findall(r"changed=(\d+)", text))
        return Run(code, changed, " ".join(text.split()))

    def ansible(self, command: str, *arguments: str, **environment: str) -> str:
        """Run an Ansible command on the AWS inventory; its output, and `exit N`."""
        child = Child(
            [str(Path(sys.executable).with_name(command)), "-i", "inventory/aws_ec2.yml", *arguments],
            cwd=self.folder,
            env=self._aws.environment | self.users.get("deploy", {}) | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            text, _ = child.process.communicate(timeout=1200)  # the longest builds a host in a tenth of it
        finally:
            child.stop(5)
        return f"{text}\nexit {child.process.returncode}"


# What Ansible wraps around a module; imported here, it would replace this process' sys.intern.
_MODULE = """
import runpy, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.argv[2].encode(), "legacy"
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def module(aws: Aws, name: str, user: dict[str, str] | None = None, /, **arguments: object) -> dict[str, Any]:
    """Run a module of a role's as a play does; its answer."""
    (path,) = (ROOT / "playbooks").rglob(f"library/{name}.py")
    command = [sys.executable, "-c", _MODULE, str(path), json.dumps({"ANSIBLE_MODULE_ARGS": arguments})]
    done = subprocess.run(
        command, cwd=aws.home, env=aws.environment | (user or {}), capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
