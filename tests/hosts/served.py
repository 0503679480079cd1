"""What tests of a serving host share: the models' bucket, a host that was converged once, and its callers."""

import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from springboard.system.checkout import ROOT
from tests.hosts.harness import Hosts, Node, Play
from tests.stands.seaweedfs import seaweedfs
from tests.stands.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CLIP = ROOT / "demo" / "clips" / "good-dive.mp4"
# What the instance role may do, in SeaweedFS's words.
ROLE = ["Read:models", "List:models", "Read:dives"]


@dataclass(frozen=True)
class Models:
    """The registry in a real S3, with the demo model as 1.0.0 and 1.1.0; and `dives`, which has the clip."""

    url: str
    client: "S3Client"
    archives: dict[str, Path]


@contextmanager
def models(hosts: Hosts, folder: Path) -> Iterator[Models]:
    """Publish the releases as a person does, where nodes can read them."""
    with seaweedfs(folder, ["models", "dives"], {"host": ROLE}, hosts.gateway) as (url, client):
        client.put_object(Bucket="dives", Key="good.mp4", Body=CLIP.read_bytes())
        environment = publisher(url)
        archives = {}
        for version in ("1.0.0", "1.1.0"):
            command = [
                "./archive.sh",
                "--weights",
                "demo/weights",
                "--version",
                version,
                "--out",
                str(folder),
            ]
            command += ["--golden", str(CLIP), "--publish", "s3://models"]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            archives[version] = folder / f"dive-{version}.mar"
        yield Models(url, client, archives)


def publisher(url: str) -> dict[str, str]:
    """Return the environment of somebody who may publish."""
    return {
        **os.environ,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": "admin",
        "AWS_SECRET_ACCESS_KEY": "admin-secret",
        "AWS_REGION": "us-east-1",
    }


def settings(models: Models) -> dict[str, Any]:
    """Return the handful of values that a user gives; the canary's bake is not what these tests wait for."""
    return {
        "springboard_models_bucket": "models",
        "springboard_video_buckets": ["dives"],
        "springboard_s3_region": "us-east-1",
        "springboard_s3_endpoint": models.url,
        "springboard_gpu_required": False,
        "springboard_canary": {"weight": 0},
    }


@dataclass(frozen=True)
class Converged:
    """A host after its first and second converge, and what it said; `layer` is its frozen root."""

    layer: Path
    token: str
    check: Play
    touched_by_check: str
    configure: Play
    deploy: Play
    again: Play
    deploy_again: Play


def converge(hosts: Hosts, models: Models) -> Converged:
    """Bring a fresh host to serve 1.0.0, twice, and freeze it."""
    node = hosts.start("converged")
    given = {"springboard": [node], **settings(models)}
    node.metadata("host", "host-secret")
    node.sh("touch /before")
    check = hosts.play("configure.yml", check=True, **given)
    touched = node.sh(
        "find /etc /opt /usr/local /var/lib/springboard -newer /before -type f 2>/dev/null || true"
    )
    configure = hosts.play("configure.yml", **given)
    assert configure.ok, configure.output
    deploy = hosts.play("deploy.yml", release="1.0.0", **given)
    assert deploy.ok, deploy.output
    again = hosts.play("configure.yml", **given)
    deploy_again = hosts.play("deploy.yml", release="1.0.0", **given)
    token = node.run("springboard", "keys", "create", "--bearer", "tests").strip().rpartition("=")[2]
    return Converged(
        node.freeze("layer-converged"), token, check, touched, configure, deploy, again, deploy_again
    )


def caller(node: Node, converged: Converged) -> "Caller":
    """Give a node of the converged layer its role, and return a caller once it serves."""
    node.metadata("host", "host-secret")
    caller = Caller(node, converged.token)
    caller.wait_serving()
    return caller


class Caller:
    """A client outside of the host, which does not know its self-signed certificate."""

    def __init__(self, node: Node, token: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.url = f"https://{node.address}"
        self.client = httpx.Client(
            verify=context, timeout=90, headers={"Authorization": f"Bearer {token}"}, base_url=self.url
        )

    def serves(self) -> bool:
        try:
            return self.client.get("/ping").status_code == 200
        except httpx.HTTPError:
            return False

    def wait_serving(self) -> None:
        wait_until(self.serves, f"{self.url}/ping to be 200", 300)

    def score(self) -> dict[str, Any]:
        answer = self.client.post("/invocations", content=CLIP.read_bytes())
        assert answer.status_code == 200, answer.text
        scored: dict[str, Any] = answer.json()
        return scored
