"""Hosts of a fleet: of one image, behind a balancer, with keys in a secret and a channel to follow."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx

from springboard.auth import keys
from springboard.deploy.channel import Channels
from springboard.releases.registry import Registry
from tests.hosts import served
from tests.hosts.balancer import Balancer, balancer
from tests.hosts.harness import HERE, Hosts, Node, Play
from tests.hosts.served import Converged, Models
from tests.stands.cloud import REGION, Cloud, cloud, environment
from tests.stands.release import publish

ENDPOINT, SECRET = "dive-scoring", "pool-keys"
HOME = "/var/lib/springboard"
OUTPUT = "fleet"
# Of the table by which a host that is cut off from S3 finds no way there.
_NOWHERE = "99"
KEYS_UNIT = "springboard-keys-follow.service"
# A host of a fleet comes up by itself, so what it is to EC2 has to be there as soon.
_METADATA_UNIT = """[Unit]
Before=network-online.target
[Service]
ExecStartPre=ip addr replace 169.254.169.254/32 dev lo
ExecStart=/usr/bin/python3 /opt/metadata.py host host-secret "" us-east-1
ExecStartPost=/bin/bash -c 'until exec 3<>/dev/tcp/169.254.169.254/80; do sleep .1; done'
[Install]
WantedBy=network-online.target multi-user.target
"""


def ask_there(aws: Cloud, host: Node) -> None:
    """Have what follows the keys ask this stand-in, with the credentials of the host's role."""
    folder = f"/etc/systemd/system/{KEYS_UNIT}.d"
    asks = f"[Service]\nEnvironment=AWS_ENDPOINT_URL={aws.url}"
    host.sh(f"mkdir -p {folder}; printf '{asks}\\n' >{folder}/stand-in.conf")


@dataclass
class Fleet:
    """Its hosts by their names, what they come up from, and who calls them through the balancer."""

    hosts: Hosts
    image: Path
    balancer: Balancer
    secret: Any
    keys: Path
    channels: Channels
    client: httpx.Client
    given: dict[str, Any]
    nodes: dict[str, Node] = field(default_factory=dict)

    def launch(self, *names: str) -> None:
        """Start hosts from the image, and have the balancer send them requests once they are healthy."""
        for name in names:
            node = self.nodes[name] = self.hosts.start(name, self.image)
            self.balancer.register(name, node.address)

    def end(self, name: str) -> None:
        """Take a host away as scale-in does."""
        self.balancer.deregister(name)
        self.nodes.pop(name).stop()

    def roll(
        self,
        version: str,
        kill_when: Callable[[], bool] | None = None,
        at_once: bool = False,
        **canary: Any,
    ) -> Play:
        """Deploy to all hosts that are there now, one after the other unless `at_once`, by a short canary."""
        rules = {
            "weight": 40,
            "bake_seconds": 5,
            "steps": [],
            "min_attempts": 5,
            "hold_bakes": 40,
            "max_p95_ratio": 5,
        }
        given = {**self.given, "springboard": list(self.nodes.values()), "springboard_canary": rules | canary}
        given |= {"batches": ["100%"]} if at_once else {}
        return self.hosts.play("deploy.yml", kill_when=kill_when, release=version, **given)

    def direct(self, name: str, **options: Any) -> httpx.Response:
        """Ask a host itself whom it knows and what it serves."""
        return self.client.get(f"http://{self.nodes[name].address}:8080/endpoints/{ENDPOINT}", **options)

    def serves(self, name: str) -> str:
        """Return the release that a host serves, if nothing is under way there."""
        state = json.loads(self.nodes[name].run("cat", f"{HOME}/deployment.json"))
        if state["deploying"]:
            return ""
        told = [variant["release"] for variant in self.direct(name).json()["variants"]]
        return str(state["promoted"]["version"]) if told == [state["promoted"]["version"]] else ""

    def all_serve(self, version: str, *names: str) -> bool:
        """Whether these hosts, or all that there are, serve a release."""
        return all(self.serves(name) == version for name in names or self.nodes)

    def channel(self) -> str:
        """Return the release that it names."""
        found = self.channels.read(ENDPOINT)
        return found[0].release if found else ""

    def admin(self) -> Any:
        """Return boto3's SageMaker for an administrator, who is answered by any host."""
        key = keys.create_access_key(self.keys, "ops", "admin")
        self.keep_keys()
        return boto3.client(
            "sagemaker",
            endpoint_url=self.balancer.url,
            region_name=REGION,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
        )

    def move_channel(self, version: str) -> None:
        """As somebody who needs no hosts for it."""
        found = self.channels.read(ENDPOINT)
        assert found
        self.channels.write(ENDPOINT, found[0].model_copy(update={"release": version}), found[1])

    def keep_keys(self) -> None:
        """Put what is in `keys` into the secret."""
        self.secret.put_secret_value(SecretId=SECRET, SecretString=self.keys.read_text())

    def know(self, token: str) -> list[str]:
        """Return the hosts that take a token for a caller's."""
        shown = {"Authorization": f"Bearer {token}"}
        told = {name: self.direct(name, headers=shown).status_code for name in self.nodes}
        assert set(told.values()) <= {200, 403}, told
        return [name for name, status in told.items() if status == 200]

    @contextmanager
    def without_s3(self, name: str) -> Iterator[None]:
        """Have what a host sends to S3 be lost."""
        space = f"node{self.hosts.number}-{name}"
        lost = ["default", "dev", "lo", "table", _NOWHERE]
        rule = ["ipproto", "tcp", "dport", str(served.S3_PORT), "lookup", _NOWHERE]
        for command in (["route", "add", *lost], ["rule", "add", *rule]):
            subprocess.run(["ip", "-n", space, *command], check=True)
        try:
            yield
        finally:
            subprocess.run(["ip", "-n", space, "rule", "del", *rule], check=True)


def settings(models: Models, queue: str) -> dict[str, Any]:
    """What docs/fleet.md has of a host, and a queue of jobs."""
    return {
        **served.settings(models),
        "springboard_edge": False,
        "springboard_channel": True,
        "springboard_control": True,
        "springboard_keys_follow": True,
        "springboard_keys_secret": SECRET,
        "springboard_region": REGION,
        # What hangs on a host that died is given up after that and ten seconds more.
        "springboard_limits": {"deadline_seconds": 20},
        "springboard_deploy_settings": {
            "async": {"output": f"s3://scores/{OUTPUT}", "queue": queue, "lease_seconds": 5}
        },
    }


@contextmanager
def fleet(hosts: Hosts, converged: Converged, models: Models, folder: Path, *names: str) -> Iterator[Fleet]:
    """Yield a fleet without hosts, of which there may be these; its image has the puppet's 2.0.0."""
    registry = Registry("s3://models", models.client)
    for version in ("2.0.0", "2.1.0"):
        publish(registry, folder, version)
    with ExitStack() as opened:
        opened.enter_context(
            environment(**served.publisher(models.url))
        )  # who deploys moves the channel, too
        aws = opened.enter_context(cloud(hosts.gateway))
        secret, keys = aws.client("secretsmanager"), folder / "keys.json"
        given = settings(models, aws.queue()[0])
        image = _image(hosts, converged, aws, keys, given)
        balanced = opened.enter_context(balancer(hosts, folder, list(names), **given))
        # Each request on a connection of its own: of what fails on a later one HAProxy says nothing.
        headers = {"Authorization": f"Bearer {converged.token}", "Connection": "close"}
        client = httpx.Client(base_url=balanced.url, timeout=90, headers=headers)
        opened.enter_context(closing(client))
        channels = Channels("s3://models", models.client)
        ours = Fleet(hosts, image, balanced, secret, keys, channels, client, given)
        try:
            yield ours
        finally:
            for node in ours.nodes.values():
                node.stop()


def _image(hosts: Hosts, converged: Converged, aws: Cloud, keys: Path, given: dict[str, Any]) -> Path:
    """Configure a host, deploy to it, and take out what is its own: docs/fleet.md says what."""
    node = hosts.start("image", converged.layer)
    node.run("tee", "/opt/metadata.py", input=(HERE / "metadata.py").read_text())
    node.run("tee", "/etc/systemd/system/metadata.service", input=_METADATA_UNIT)
    node.run("systemctl", "enable", "--now", "metadata.service")
    ask_there(aws, node)
    keys.write_text(node.run("springboard", "keys", "export"))
    keys.chmod(0o600)
    aws.client("secretsmanager").create_secret(Name=SECRET, SecretString=keys.read_text())
    for playbook in ("configure.yml", "deploy.yml"):
        play = hosts.play(playbook, springboard=[node], release="2.0.0", **given)
        assert play.ok, play.output
    node.sh("systemctl stop springboard-keys-follow")  # it would write them again
    node.sh("echo '{}' >/etc/springboard/keys.json; rm /etc/springboard/keys.placed")
    return Path(f"{node.freeze('layer-fleet')}:{converged.layer}")
