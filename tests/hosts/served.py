"""What tests of a serving host share: the models' bucket, a host that was converged once, and its callers."""

import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx

from springboard.endpoint.names import archive_name
from springboard.releases.registry import Registry
from springboard.system.checkout import ROOT
from tests.hosts.account import DEPLOYMENT, REGION, Account, account, boot_for_the_first_time
from tests.hosts.harness import HERE, Hosts, Node, Play
from tests.hosts.once import digest, once
from tests.stands.seaweedfs import seaweedfs
from tests.stands.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CLIP = ROOT / "demo" / "clips" / "good-dive.mp4"
BUCKETS = ["models", "dives", "scores"]
# What the instance role may do, in SeaweedFS's words.
ROLE = ["Read:models", "List:models", "Read:dives", "Read:scores", "List:scores", "Write:scores"]
ROLE += ["Write:models/control/*", "Write:models/channels/dive-scoring.json*"]


S3_PORT = 8333


@dataclass(frozen=True)
class Models:
    """A real S3: the registry, with the demo model as 1.0.0 and 1.1.0; `dives` with the clip; `scores`."""

    url: str
    client: "S3Client"
    archives: dict[str, Path]
    # As nodes call it: by a name, so that a host that was frozen in one network serves in another.
    inside: str = f"http://s3.test:{S3_PORT}"


@contextmanager
def models(hosts: Hosts, folder: Path) -> Iterator[Models]:
    """Publish the releases where nodes can read them."""
    archived = archives()
    with seaweedfs(folder, BUCKETS, {"host": ROLE}, hosts.gateway, S3_PORT) as (url, client):
        client.put_object(Bucket="dives", Key="good.mp4", Body=CLIP.read_bytes())
        releases = {version: archived / archive_name(version) for version in ("1.0.0", "1.1.0")}
        for archive in releases.values():
            assert Registry("s3://models", client).publish(archive, CLIP)
        yield Models(url, client, releases)


def archives() -> Path:
    """Return the folder of the demo model's archives 1.0.0 and 1.1.0, with their manifests."""
    return once("releases", _code(), _archive)


def _code() -> bytes:
    """Tell the project and these hosts from any other."""
    parts = "springboard model_handler playbooks inventory requirements demo/weights archive.sh ansible.cfg"
    parts += " config.properties pyproject.toml tests/stands tests/aws/harness.py"
    here = (path for path in HERE.iterdir() if path.is_file() and not path.name.startswith("test_"))
    return digest(*(ROOT / part for part in parts.split()), CLIP, *sorted(here))


def _archive(folder: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        command = ["./archive.sh", "--weights", "demo/weights", "--golden", str(CLIP)]
        command += ["--version", version, "--out", str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


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
        "springboard_s3_endpoint": models.inside,
        "springboard_gpu_required": False,
        "springboard_canary": {"weight": 0},
    }


@dataclass(frozen=True)
class Converged:
    """A host that site.yml brought up from nothing, and what was said; `layer` is its frozen root.

    Of the account: what was `scored` before the teardown, and what that `left`. Plays are site.yml's, in an
    empty account and with a release; `check` is configure.yml's in check mode on the fresh host.
    """

    layer: Path
    token: str
    check: Play
    touched_by_check: str
    empty: Play
    site: Play
    teardown: Play
    made: list[str]
    scored: list[dict[str, Any]]
    left: list[str]


def converge(hosts: Hosts, models: Models) -> Converged:
    """Return a host that was brought to serve 1.0.0, by this or another process, and frozen."""
    key = digest(_code(), hosts.rootfs.name.encode())
    made = once("converged", key, lambda folder: _converge(hosts, models, folder))
    told = json.loads((made / "told.json").read_text())
    plays: dict[str, Any] = {name: Play(**play) for name, play in told.pop("plays").items()}
    return Converged(layer=made / "layer", **told, **plays)


def _converge(hosts: Hosts, models: Models, folder: Path) -> None:
    node = hosts.start("converged")
    node.sh("touch /before")
    given = settings(models)
    plays = {"check": hosts.play("configure.yml", check=True, springboard=[node], **given)}
    touched = node.sh(
        "find /etc /opt /usr/local /var/lib/springboard -newer /before -type f 2>/dev/null || true"
    )
    folder.mkdir()
    boot_for_the_first_time(node)
    with TemporaryDirectory() as work, account([node], Path(work), S3_PORT, **given) as ours:
        told = {"touched_by_check": touched, **_live(ours, models, plays)}
    node.freeze("layer-converged").rename(folder / "layer")
    told |= {"plays": {name: asdict(play) for name, play in plays.items()}}
    (folder / "told.json").write_text(json.dumps(told))


def _live(ours: Account, models: Models, plays: dict[str, Play]) -> dict[str, Any]:
    """From the empty account to scores and back to nothing."""
    plays["empty"] = ours.play("site")
    ours.publish(models.archives["1.0.0"], CLIP)
    ours.aws.client("s3", REGION).put_object(Bucket="dives", Key="good.mp4", Body=CLIP.read_bytes())
    ours.lend_role()
    ours.checkout.edit(springboard_release="1.0.0")
    plays["site"] = ours.play("site")
    assert plays["site"].ok, plays["empty"].output + plays["site"].output
    token = ours.node.run("springboard", "keys", "create", "--bearer", "tests").strip().rpartition("=")[2]
    made = ours.left()
    caller = Caller(ours.node, token)
    wait_until(lambda: caller.knows(token), "the front to take over the key")
    with closing(caller.client) as client:
        answers = [client.post("/invocations", content=CLIP.read_bytes())]
        answers.append(client.post("/invocations", json={"s3_uri": "s3://dives/good.mp4"}))
    plays["teardown"] = ours.play(
        "teardown", "-e", f"teardown_confirm={DEPLOYMENT}", "-e", "teardown_bucket=true"
    )
    scored = [{"status": answer.status_code, **answer.json()} for answer in answers]
    return {"token": token, "scored": scored, "made": made, "left": ours.left()}


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

    def knows(self, token: str) -> bool:
        """Whether the front knows a key, which it does within a second."""
        shown = {"Authorization": f"Bearer {token}"}
        return self.client.get("/endpoints/dive-scoring", headers=shown).status_code == 200

    def wait_serving(self) -> None:
        wait_until(self.serves, f"{self.url}/ping to be 200", 300)

    def score(self) -> dict[str, Any]:
        answer = self.client.post("/invocations", content=CLIP.read_bytes())
        assert answer.status_code == 200, answer.text
        scored: dict[str, Any] = answer.json()
        return scored
