"""What image.yml leaves on the disk that it takes an image of, and how a host of a fleet comes up from that.

cloud-init is the real one, with its data on the disk in place of EC2's metadata service.
"""

import hashlib
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from springboard.auth import keys
from springboard.deploy.channel import Channel, Channels
from tests.hosts import served
from tests.hosts.fleet import KEYS_UNIT, SECRET, ask_there
from tests.hosts.harness import Hosts, Node, Play
from tests.hosts.served import CLIP, Converged, Models
from tests.stands.cloud import REGION, Cloud, cloud, environment
from tests.stands.waiting import wait_until

SEED, CHANNEL = "var/lib/cloud/seed/nocloud-net", "dive-scoring"
# Nothing but the data below: no network, which is there already, and no package sources.
CLOUD = """
datasource_list: [NoCloud]
network: {config: disabled}
apt_preserve_sources_list: true
locale: false
"""
# What a person and the services leave; the line has to be gone with them.
LEFT = "a-line-that-somebody-typed"
PLACES = [
    "/root/.bash_history",
    "/home/ubuntu/.bash_history",
    "/home/ubuntu/.aws/credentials",
    "/root/.ssh/id_ed25519",
    "/tmp/typed.mp4",
    "/var/tmp/typed.mp4",
    "/var/log/typed.log",
    "/var/lib/springboard-jobs/jobs.db",
    "/var/lib/springboard-control/document.json",
    "/var/lib/springboard/endpoint.json.before",
    "/etc/springboard/typed",
]
MONITORING = "m" * 32


def identity(node: Node) -> dict[str, list[str]]:
    """Who a host is."""
    return {
        "machine-id": node.sh("cat /etc/machine-id").split(),
        "host keys": node.sh("cut -d' ' -f2 /etc/ssh/ssh_host_*_key.pub").split(),
    }


def seed(root: Path, instance: str, user_data: str) -> None:
    """Put what EC2 tells an instance below the root of its disk."""
    folder = root / SEED
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta-data").write_text(yaml.safe_dump({"instance-id": instance, "local-hostname": instance}))
    (folder / "user-data").write_text(user_data)


@dataclass(frozen=True)
class Store:
    """The secret with callers' keys, and the token of one of them."""

    aws: Cloud
    token: str


@pytest.fixture(scope="module")
def store(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    token = keys.create_token(path, "fleet")
    with cloud(hosts.gateway) as aws:
        aws.client("secretsmanager").create_secret(Name=SECRET, SecretString=path.read_text())
        yield Store(aws, token)


@pytest.fixture(scope="module")
def channels(models: Models) -> Iterator[Channels]:
    """Those of the bucket; that of these hosts goes in the end."""
    yield Channels("s3://models", models.client)
    models.client.delete_object(Bucket="models", Key=f"channels/{CHANNEL}.json")


def name(channels: Channels, release: str) -> None:
    """Have the channel name a release."""
    found = channels.read(CHANNEL)
    channels.write(CHANNEL, Channel.model_validate({"release": release}), found[1] if found else None)


@dataclass(frozen=True)
class Image:
    """A disk that was wiped, as layers; who the host was that had it, and what hosts of a fleet are told."""

    layers: Path
    was: dict[str, list[str]]
    user_data: str
    given: dict[str, Any]

    def tries(self, hosts: Hosts, models: Models, node: Node, **more: Any) -> Play:
        """Have image.yml look whether a host of it serves."""
        given = self.given | {"ec2_private_ip_address": node.address, "part": "try"} | more
        with environment(**served.publisher(models.url)):
            return hosts.play("../tests/hosts/image.yml", springboard=[node], **given)


@pytest.fixture(scope="module")
def image(
    hosts: Hosts,
    models: Models,
    converged: Converged,
    store: Store,
    channels: Channels,
    tmp_path_factory: pytest.TempPathFactory,
) -> Image:
    """The converged host, built as image.yml builds one that is new, with the settings of a fleet's."""
    node = hosts.start("builder", converged.layer)
    node.metadata("host", "host-secret")
    node.sh("rm -rf /var/lib/cloud /usr/bin/cloud-init")  # the stand-in that it was made with
    node.sh("DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends cloud-init")
    node.run("sh", "-c", "cat >/etc/cloud/cloud.cfg.d/99-stand-in.cfg", input=CLOUD)
    data = "echo 'instance-id: i-builder' >meta-data; echo '#cloud-config' >user-data"
    node.sh(f"mkdir -p /{SEED}; cd /{SEED}; {data}")
    node.reboot()
    ask_there(store.aws, node)
    user_data = tmp_path_factory.mktemp("told") / "user-data"
    given: dict[str, Any] = {
        **served.settings(models),
        "springboard_edge": False,
        "springboard_channel": True,
        "springboard_keys_follow": True,
        "springboard_keys_secret": SECRET,
        "springboard_region": REGION,
        "springboard_metrics_token": True,
        "prometheus_front_token": MONITORING,
        "user_data_to": str(user_data),
        "image_release": "1.0.0",
        "part": "build",
    }
    for place in PLACES:
        node.sh(f"mkdir -p $(dirname {place}); echo {LEFT} >{place}; chmod 600 {place}")
    node.sh(f"logger {LEFT}")
    was = identity(node)
    play = hosts.play("../tests/hosts/image.yml", springboard=[node], **given)
    assert play.ok, play.output
    layer = node.freeze("layer-image")
    return Image(Path(f"{layer}:{converged.layer}"), was, user_data.read_text(), given)


@contextmanager
def mounted(image: Image, hosts: Hosts, folder: Path) -> Iterator[Path]:
    lower = f"lowerdir={image.layers}:{hosts.rootfs}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", lower, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_nothing_is_left_of_whom_the_host_knew_and_who_it_was(
    image: Image, hosts: Hosts, converged: Converged, store: Store, tmp_path: Path
) -> None:
    tokens = [store.token, converged.token, MONITORING]
    words = [hashlib.sha256(token.encode()).hexdigest() for token in tokens] + tokens
    words += [LEFT, *image.was["machine-id"], *image.was["host keys"]]
    words.append((hosts.base / "key.pub").read_text().split()[1])
    assert len(words) == 3 * 2 + 3 + len(image.was["host keys"])
    (tmp_path / "words").write_text("\n".join(words))
    (tmp_path / "root").mkdir()
    with mounted(image, hosts, tmp_path / "root") as root:
        parts = [str(root / part) for part in ("etc", "var", "root", "home", "srv", "tmp", "usr/local")]
        command = ["grep", "-rlaF", "-f", str(tmp_path / "words"), *parts]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (found.stdout, found.stderr) == ("", "")
        assert (root / "etc/machine-id").read_bytes() == b""
        assert [*(root / "etc/ssh").glob("ssh_host_*"), *(root / "var/log/journal").iterdir()] == []
        assert (root / "etc/springboard/keys.json").read_text() == "{}\n"
        assert not keys.placed(root / "etc/springboard/keys.json").exists()
        state = {one.name for one in (root / "var/lib/springboard").iterdir()}
        assert state == {"instances", "patched", "releases"}
        assert [one.name for one in (root / "var/lib/springboard/releases").iterdir()] == ["1.0.0"]
        assert not list((root / "var/lib/springboard/instances").iterdir())
        assert not list((root / "var/lib/cloud").glob("instance*"))


@contextmanager
def booted(hosts: Hosts, image: Image, instance: str, folder: Path) -> Iterator[tuple[Node, httpx.Client]]:
    """Boot a host from the image as EC2 does; AWS takes it for nobody's until it is lent its role."""
    seed(folder, instance, image.user_data)
    node = hosts.start(instance, Path(f"{folder}:{image.layers}"))
    try:
        with closing(httpx.Client(base_url=f"http://{node.address}:8080", timeout=90)) as client:
            yield node, client
    finally:
        node.stop()


@contextmanager
def lent_a_role(hosts: Hosts, instance: str) -> Iterator[None]:
    """Have a host that is about to boot be one of a role, from its first moment on."""
    node = Node(instance, "", hosts)

    def lend() -> None:
        wait_until(Path(f"/run/netns/node{hosts.number}-{instance}").exists, "its network", 60)
        node.metadata("host", "host-secret")

    with ThreadPoolExecutor(1) as beside:
        lent = beside.submit(lend)
        try:
            yield
        finally:
            lent.result()
            node._reap()


def ping(client: httpx.Client) -> int:
    """Ask as a load balancer does; 0 where nobody answers."""
    try:
        return client.get("/ping", timeout=5).status_code
    except httpx.HTTPError:
        return 0


def score(client: httpx.Client, token: str) -> dict[str, Any]:
    shown = {"Authorization": f"Bearer {token}"}
    answer = client.post("/invocations", content=CLIP.read_bytes(), headers=shown)
    assert answer.status_code == 200, answer.text
    scored: dict[str, Any] = answer.json()
    return scored


def test_a_host_comes_up_from_it_by_itself_as_another_one(
    image: Image, hosts: Hosts, models: Models, channels: Channels, store: Store, tmp_path: Path
) -> None:
    name(channels, "1.1.0")
    with lent_a_role(hosts, "i-grown"), booted(hosts, image, "i-grown", tmp_path) as (node, client):
        wait_until(lambda: ping(client) == 200, "it to serve", 600)
        assert score(client, store.token)["model"]["version"] == "1.1.0"
        now = identity(node)
        for what, was in image.was.items():
            assert now[what], what
            assert {*now[what]} & {*was} == set(), what
        wait_until(lambda: "running" not in node.sh("cloud-init status", check=False), "cloud-init", 120)
        assert node.sh("cloud-init status --long", check=False).startswith("status: done")
        assert node.run("hostname").strip() == "i-grown"
        shown = {"Authorization": f"Bearer {MONITORING}"}
        assert client.get("/metrics", headers=shown).status_code == 200
        log = node.run("journalctl", "-b", "-u", "springboard-follow-boot", "-o", "cat")
        assert "fetching" in log
        assert "1.1.0 serves" in log
        assert (
            node.run("systemctl", "is-active", "springboard-follow.timer", KEYS_UNIT).split()
            == ["active"] * 2
        )
        play = image.tries(hosts, models, node)
        assert play.ok, play.output


def test_without_keys_and_channel_it_serves_nobody_and_then_nothing_older(
    image: Image, hosts: Hosts, models: Models, channels: Channels, store: Store, tmp_path: Path
) -> None:
    name(channels, "1.1.0")
    with booted(hosts, image, "i-lost", tmp_path) as (node, client):
        status = ["systemctl", "show", "-P", "StatusText", KEYS_UNIT]
        wait_until(lambda: "does not follow" in node.run(*status), "it to say that it knows no keys", 120)
        boot = ["systemctl", "is-failed", "--quiet", "springboard-follow-boot.service"]
        wait_until(lambda: node.succeeds(*boot), "it to find no channel", 120)
        assert ping(client) == 0, "the front waits for keys"
        play = image.tries(hosts, models, node, image_seconds=10)
        assert not play.ok
        said = " ".join(play.output.split())
        assert "A host of the image does not serve as it should (try | Ask it as the balancer does)" in said
        assert "the keys known last stay: the secret pool-keys cannot be had" in said
        node.metadata("host", "host-secret")
        met = set[int]()

        def serves() -> bool:
            met.add(ping(client))
            return 200 in met

        wait_until(serves, "it to serve", 600)
        assert 503 in met, "it knows its callers, and has nothing to serve"
        assert score(client, store.token)["model"]["version"] == "1.1.0"
