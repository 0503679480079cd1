"""What is done to hosts after they serve, while four clients call, who notice nothing: keys first."""

import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import served
from tests.hosts.account import REGION, Account, account
from tests.hosts.balanced import Balanced
from tests.hosts.harness import HERE, Hosts, Node, Play
from tests.hosts.served import Caller, Converged, Models
from tests.stands import certificates
from tests.stands.waiting import wait_until

KEYS = "/etc/springboard/keys.json"


@dataclass(frozen=True)
class Pair:
    """Two hosts that serve, and an administrator's vault."""

    hosts: Hosts
    nodes: list[Node]
    callers: list[Caller]
    clients: Balanced
    folder: Path
    settings: dict[str, Any]
    made: dict[str, str] = field(default_factory=dict)

    def play(self, playbook: str, *options: str, **given: Any) -> Play:
        password = ("--vault-password-file", str(self.folder / "password"))
        return self.hosts.play(
            playbook, *password, *options, **{"springboard": self.nodes, **self.settings, **given}
        )

    def accepts(self, token: str) -> list[bool]:
        """Whether each host takes a token for a caller's."""
        body, headers = b"no video", {"Authorization": f"Bearer {token}"}
        answers = [one.client.post("/invocations", content=body, headers=headers) for one in self.callers]
        assert all(answer.status_code in (403, 422) for answer in answers), answers
        return [answer.status_code == 422 for answer in answers]

    def all_accept(self, token: str) -> bool:
        return all(self.accepts(token))


def end(hosts: Hosts, name: str) -> None:
    """Stop who has that name by now, if anybody."""
    if name in hosts.nodes:
        hosts.nodes[name].stop()


@pytest.fixture(scope="module")
def pair(
    hosts: Hosts, converged: Converged, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("vault")
    (folder / "password").write_text("of the vault")
    kept = {"springboard_keys_file": str(folder / "keys.json")}
    with ExitStack() as opened:
        nodes: list[Node] = []
        for name in ("one", "two"):
            opened.callback(end, hosts, name)
            nodes.append(hosts.start(name, converged.layer))
        callers = [served.caller(node, converged) for node in nodes]
        for caller in callers:
            opened.enter_context(closing(caller.client))
        clients = opened.enter_context(Balanced(callers).calling())
        yield Pair(hosts, nodes, callers, clients, folder, {**served.settings(models), **kept})


@pytest.fixture(autouse=True)
def callers_notice_nothing(pair: Pair) -> Iterator[None]:
    """Whatever is done here."""
    with pair.clients.unnoticed():
        yield


def test_keys_are_kept_in_one_place_and_every_host_knows_them(pair: Pair, converged: Converged) -> None:
    one, two = pair.nodes
    made = two.run("springboard", "keys", "create", "--bearer", "two-alone").strip().rpartition("=")[2]
    # What was made on a host is lost to nobody by keeping keys elsewhere.
    first = pair.play("keys.yml", take="one")
    assert "two has keys that the store lacks: two-alone." in " ".join(first.output.split()), first.output
    assert pair.accepts(made) == [False, True]
    taken = pair.play("keys.yml", take="two")
    assert taken.ok, taken.output
    assert one.run("cat", KEYS) == two.run("cat", KEYS)
    assert (pair.folder / "keys.json").read_text().startswith("$ANSIBLE_VAULT;")
    assert (pair.folder / "keys.json").stat().st_mode & 0o777 == 0o600
    again = pair.play("configure.yml", "--tags", "keys", batches=["100%"])
    assert again.ok, again.output
    assert again.count("changed") == 0, again.output
    assert "TASK [front : Look" not in again.output, "the keys alone"
    for token in (made, converged.token):
        wait_until(partial(pair.all_accept, token), "both hosts to know the key", 60)
    pair.made["two-alone"] = made
    refused = two.run("springboard", "keys", "create", "another", check=False)
    assert "playbooks/keys.yml" in refused


def test_a_rotated_key_and_its_successor_are_good_on_all_hosts_during_the_overlap(pair: Pair) -> None:
    shown = pair.folder / "new.env"
    old = pair.made["two-alone"]
    play = pair.play("keys.yml", rotate="two-alone", out=str(shown))
    assert play.ok, play.output
    new = shown.read_text().strip().rpartition("=")[2]
    assert new not in play.output
    for token in (old, new):
        wait_until(partial(pair.all_accept, token), "both hosts to know both", 60)
    play = pair.play("keys.yml", revoke="two-alone")
    assert play.ok, play.output
    wait_until(lambda: pair.accepts(new) == [False, False], "the key to be unknown", 60)
    assert pair.accepts(old) == [False, False]


def test_hosts_are_patched_one_after_the_other(pair: Pair) -> None:
    boots = [node.run("cut", "-d ", "-f22", "/proc/1/stat") for node in pair.nodes]
    pair.nodes[1].sh("touch /run/reboot-required")
    alone = pair.play("patch.yml", springboard=[pair.nodes[1]])
    assert not alone.ok
    assert "No host but two serves" in " ".join(alone.output.split())
    play = pair.play("patch.yml")
    assert play.ok, play.output
    assert "scores its golden clip" in play.output
    # The first had nothing to wait for.
    after = [node.run("cut", "-d ", "-f22", "/proc/1/stat") for node in pair.nodes]
    assert (after[0] == boots[0], after[1] == boots[1]) == (True, False), play.output
    pair.clients.wait_served(by=pair.callers[1].url)


def test_certificates_and_ssh_keys_alone_are_changed_and_nobody_is_locked_out(
    pair: Pair, tmp_path: Path
) -> None:
    """Where new SSH keys would keep even this run out, the host returns to those before."""
    ours = (pair.hosts.base / "key.pub").read_text().strip()
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    other = (tmp_path / "key.pub").read_text().strip()
    pem, key = certificates.pair(tmp_path, "scores.test", pair.nodes[0].address)

    def play(*known: str, **given: Any) -> Play:
        new = {"springboard_certificate": str(pem), "springboard_certificate_key": str(key)}
        return pair.play(
            "configure.yml", "--tags", "certificate,admins", **new, springboard_admin_keys=known, **given
        )

    def authorized(node: Node) -> list[str]:
        return node.sh("cat ~ubuntu/.ssh/authorized_keys").splitlines()

    def shows(node: Node) -> bool:
        return ssl.get_server_certificate((node.address, 443)).strip() == pem.read_text().strip()

    changed = play(ours, other)
    assert changed.ok, changed.output
    assert not any(f"TASK [{one}" in changed.output for one in ("base : u", "torchserve : L", "front : L"))
    assert "PRIVATE KEY" not in changed.output
    for node in pair.nodes:
        wait_until(partial(shows, node), "the new certificate")
        assert authorized(node) == [ours, other]
        assert 0 < changed.count("changed", node.name) <= 10, changed.output
    again = play(ours, other, batches=["100%"])
    assert again.ok, again.output
    assert again.count("changed") == 0, again.output

    node = pair.nodes[1]
    denied = play(other, springboard=[node])
    assert not denied.ok
    assert "do not let this run in to two; within five minutes" in " ".join(denied.output.split())
    node.sh("systemctl start springboard-login-back.service; systemctl stop springboard-login-back.timer")
    assert authorized(node) == [ours, other]


def test_the_root_partition_grows_with_its_disk(pair: Pair) -> None:
    """By growpart itself, on a disk that is in use."""
    node = pair.nodes[1]
    part = node.run("bash", "-s", input=(HERE / "disk.sh").read_text()).split()[-1]
    size = ["cat", f"/sys/class/block/{part.removeprefix('/dev/')}/size"]
    before = int(node.run(*size))
    grown, again = (pair.play("../tests/hosts/disk.yml", springboard=[node]) for _ in range(2))
    assert (grown.ok, grown.count("changed")) == (True, 1), grown.output
    assert (again.ok, again.count("changed")) == (True, 0), again.output
    after = int(node.run(*size))
    assert after > 3 * before
    assert node.sh("cat /disk/asked").split() == [part] * 2
    # The file system takes it.
    node.sh("mount -o remount,ro /disk && umount -R /disk")
    where = ("-o", "1MiB", "--sizelimit", str(after * 512))
    loop = node.run("losetup", "-f", "--show", *where, "/disk.img").strip()
    said = node.sh(f"e2fsck -fp {loop} && /usr/sbin/resize2fs {loop} && e2fsck -fp {loop}; losetup -d {loop}")
    assert f"is now {after // 8} (4k) blocks long" in said, said


# What tells a host that serves from a machine that has but packages. Boot has to be over: an instance that
# it starts afterwards would run on in a folder that is gone, under its successor's name.
FORGET = """
timeout 300 systemctl is-system-running --wait
systemctl disable --now springboard-front.socket springboard-front springboard-tidy.timer
systemctl stop 'torchserve@*'
rm -rf /etc/springboard /etc/nginx/springboard /var/lib/springboard
rm -f /etc/systemd/system/multi-user.target.wants/torchserve@*
systemctl daemon-reload
! pgrep java
"""


def test_a_host_that_is_taken_out_is_added_anew_from_its_backup(
    pair: Pair, converged: Converged, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From S3, where it lies encrypted: the edge's key, the callers', and the release that it served."""
    for name, value in served.publisher(models.url).items():
        monkeypatch.setenv(name, value)
    given = {"springboard_keys_file": "", "springboard_s3_endpoint": models.url}
    play = pair.play("backup.yml", springboard=pair.nodes[:1], **given)
    assert play.ok, play.output
    (kept,) = models.client.list_objects_v2(Bucket="models", Prefix="backups/one/")["Contents"]
    assert models.client.get_object(Bucket="models", Key=kept["Key"])["Body"].read(14) == b"$ANSIBLE_VAULT"
    # The certificate is signed anew: it was for the address of the host that is gone.
    kept_files = "sha256sum /etc/nginx/springboard/self-signed.key /etc/springboard/keys.json"
    before = pair.nodes[0].sh(kept_files)

    pair.nodes[0].sh("systemctl stop springboard-front.socket springboard-front")
    pair.nodes[0].stop()
    node = pair.nodes[0] = pair.hosts.start("one", converged.layer)
    node.sh(FORGET)
    node.metadata("host", "host-secret")
    caller = pair.callers[0]
    caller.client.base_url = caller.url = f"https://{node.address}"
    play = pair.play("restore.yml", host="one", **given, model_release_s3_endpoint=models.inside)
    assert play.ok, play.output
    assert node.sh(kept_files) == before
    assert caller.score()["model"]["version"] == "1.0.0"
    pair.clients.wait_served(by=caller.url)


def blank(pair: Pair, layer: Path) -> Path:
    """Return what makes of the converged layer a machine with but the packages and SSH keys of its own."""
    node = pair.hosts.start("blank", layer)
    node.sh(FORGET)
    node.sh("rm /etc/ssh/ssh_host_*; ssh-keygen -qA")
    return node.freeze("layer-blank")


def comes_up_in_its_place(ours: Account, pair: Pair, made: Path, layer: Path) -> Node:
    """Once the second instance is gone there is that machine at its address."""
    ec2 = ours.aws.client("ec2", REGION)
    ended = [{"Name": "instance-state-name", "Values": ["terminated"]}]
    wait_until(
        lambda: bool(ec2.describe_instances(Filters=ended)["Reservations"]), "the instance to end", 600
    )
    pair.nodes[1].stop()
    public = sorted((made / "etc/ssh").glob("ssh_host_*_key.pub"))
    keys = "\n".join(" ".join(file.read_text().split()[:2]) for file in public)
    ours.aws.tell("machine", address=pair.nodes[1].address, keys=keys)  # before it can be logged in to
    node = pair.hosts.start("two", Path(f"{made}:{layer}"), address=pair.nodes[1].address)
    ours.takes(node)
    ours.lend_role(node)
    return node


def test_a_host_is_made_anew_and_another_day_there_is_one_less(
    pair: Pair, converged: Converged, models: Models, tmp_path: Path
) -> None:
    """Last of all. By replace.yml and remove.yml, under the shipped policies."""
    vault = ["--vault-password-file", str(pair.folder / "password")]
    other = blank(pair, converged.layer)
    with account(pair.nodes, tmp_path, served.S3_PORT, **pair.settings, aws_host_count=2) as ours:
        made = ours.play("provision", *vault)
        assert made.ok, made.output
        ours.publish(models.archives["1.0.0"], served.CLIP)
        with ThreadPoolExecutor(1) as beside:
            after = beside.submit(comes_up_in_its_place, ours, pair, other, converged.layer)
            play = ours.play("replace", *vault, "-e", "host=springboard-2")
            if after.done():
                after.result()  # what went wrong there is why this did
            assert play.ok, play.output
            pair.nodes[1] = after.result()
        assert "springboard-2 will serve 1.0.0" in play.output
        assert pair.all_accept(converged.token)
        assert pair.callers[1].score()["model"]["version"] == "1.0.0"
        pair.clients.wait_served(by=pair.callers[1].url)

        ours.checkout.edit(aws_host_count=1)
        play = ours.play("remove", *vault, "-e", "host=springboard-2")
        assert play.ok, play.output
        assert pair.nodes[1].sh("systemctl is-active springboard-front.service", check=False) == "inactive\n"
        kinds = [one.split()[0] for one in ours.left()]
        assert (kinds.count("instance"), kinds.count("elastic-ip")) == (1, 1)
    pair.nodes[1].stop()
    pair.clients.wait_served(by=pair.callers[0].url)
