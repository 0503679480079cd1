"""What is done to hosts after they serve, and that callers do not notice: keys first."""

import itertools
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hosts import served
from tests.hosts.harness import Hosts, Node, Play
from tests.hosts.served import CLIP, Caller, Converged, Models
from tests.stands import certificates
from tests.stands.waiting import at_work, wait_until

KEYS = "/etc/springboard/keys.json"


@dataclass(frozen=True)
class Pair:
    """Two hosts that serve, and an administrator's vault."""

    hosts: Hosts
    nodes: list[Node]
    callers: list[Caller]
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


@pytest.fixture(scope="module")
def pair(
    hosts: Hosts, converged: Converged, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("vault")
    (folder / "password").write_text("of the vault")
    kept = {"springboard_keys_file": str(folder / "keys.json")}
    with ExitStack() as opened:
        nodes = []
        for name in ("one", "two"):
            nodes.append(hosts.start(name, converged.layer))
            opened.callback(nodes[-1].stop)
        callers = [served.caller(node, converged) for node in nodes]
        for caller in callers:
            opened.enter_context(closing(caller.client))
        yield Pair(hosts, nodes, callers, folder, {**served.settings(models), **kept})


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
    again = pair.play("keys.yml")
    assert again.ok, again.output
    assert again.count("changed") == 0, again.output
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


class Balanced:
    """Four clients behind what sends each request to the next host, on to another where one is not there.

    As proxies do by default: only what no host has taken up is sent again.
    """

    def __init__(self, callers: list[Caller]) -> None:
        self.served: list[str] = []
        self.failed: list[str] = []
        self._turns = itertools.cycle([callers, callers[::-1]])

    def call(self) -> None:
        said = []
        for caller in next(self._turns):
            try:
                # On a connection of its own: one that is closed as it is used again may have lost anything.
                answer = caller.client.post(
                    "/invocations", content=CLIP.read_bytes(), headers={"Connection": "close"}
                )
            except httpx.ConnectError as error:
                said.append(repr(error))
                continue
            if answer.status_code == 200:
                self.served.append(caller.url)
                time.sleep(0.5)
                return
            said.append(f"{answer.status_code} {answer.text[:200]}")
            if answer.status_code not in (502, 503):
                break
        self.failed.append(f"{said}")
        time.sleep(0.5)


def test_hosts_are_patched_one_after_the_other_and_no_caller_notices(pair: Pair) -> None:
    balanced = Balanced(pair.callers)
    boots = [node.run("cut", "-d ", "-f22", "/proc/1/stat") for node in pair.nodes]
    pair.nodes[1].sh("touch /run/reboot-required")
    alone = pair.play("patch.yml", springboard=[pair.nodes[1]])
    assert not alone.ok
    assert "No host but two serves" in " ".join(alone.output.split())
    with at_work(*[balanced.call] * 4):
        play = pair.play("patch.yml")
    assert play.ok, play.output
    assert balanced.failed == []
    assert set(balanced.served) == {caller.url for caller in pair.callers}, "the load itself"
    assert "scores its golden clip" in play.output
    # The first had nothing to wait for.
    after = [node.run("cut", "-d ", "-f22", "/proc/1/stat") for node in pair.nodes]
    assert (after[0] == boots[0], after[1] == boots[1]) == (True, False), play.output


def test_a_host_comes_back_from_its_backup(
    pair: Pair, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From S3, where it lies encrypted: the edge's key, the callers', and the release that it served."""
    for name, value in served.publisher(models.url).items():
        monkeypatch.setenv(name, value)
    node, caller = pair.nodes[0], pair.callers[0]
    given = {"springboard": [node], "springboard_keys_file": "", "springboard_s3_endpoint": models.url}
    play = pair.play("backup.yml", **given)
    assert play.ok, play.output
    (kept,) = models.client.list_objects_v2(Bucket="models", Prefix="backups/one/")["Contents"]
    assert models.client.get_object(Bucket="models", Key=kept["Key"])["Body"].read(14) == b"$ANSIBLE_VAULT"
    # The certificate is signed anew: it was for the address of the host that was frozen.
    kept_files = "sha256sum /etc/nginx/springboard/self-signed.key /etc/springboard/keys.json"
    before = node.sh(kept_files)
    node.sh("rm /etc/springboard/keys.json /etc/nginx/springboard/*")
    play = pair.play("restore.yml", host="one", **given, model_release_s3_endpoint=models.inside)
    assert play.ok, play.output
    assert node.sh(kept_files) == before
    assert caller.score()["model"]["version"] == "1.0.0"


def test_a_certificate_alone_is_changed_and_no_caller_notices(pair: Pair, tmp_path: Path) -> None:
    """By --tags certificate, which touches nothing else."""
    pem, key = certificates.pair(tmp_path, "scores.test", pair.nodes[0].address)
    given = {"springboard_certificate": str(pem), "springboard_certificate_key": str(key)}
    balanced = Balanced(pair.callers)
    with at_work(*[balanced.call] * 4):
        play = pair.play("configure.yml", "--tags", "certificate", **given)
        assert play.ok, play.output
        served_before = len(balanced.served)
        wait_until(lambda: len(balanced.served) > served_before + 8, "scores behind the new one", 120)
    assert balanced.failed == []
    for node in pair.nodes:
        shown = ssl.get_server_certificate((node.address, 443))
        assert shown.strip() == pem.read_text().strip()
        assert 0 < play.count("changed", node.name) <= 5, play.output
    assert "TASK [torchserve : Look" not in play.output
    assert "PRIVATE KEY" not in play.output
    again = pair.play("configure.yml", "--tags", "certificate", **given)
    assert again.count("changed") == 0, again.output


def test_ssh_keys_are_rotated_and_nobody_is_locked_out(pair: Pair, tmp_path: Path) -> None:
    """Where the new ones would keep even this run out, the host returns to those before."""
    node, ours = pair.nodes[1], (pair.hosts.base / "key.pub").read_text().strip()
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    other = (tmp_path / "key.pub").read_text().strip()

    def play(*known: str) -> Play:
        given = {"springboard": [node], "springboard_admin_keys": known}
        return pair.play("configure.yml", "--tags", "admins", **given)

    def authorized() -> list[str]:
        return node.sh("cat ~ubuntu/.ssh/authorized_keys").splitlines()

    first = play(ours, other)
    assert first.ok, first.output
    assert authorized() == [ours, other]
    assert not play(other).ok
    node.sh("systemctl start springboard-login-back.service; systemctl stop springboard-login-back.timer")
    assert authorized() == [ours, other]
    again = play(ours, other)
    assert again.count("changed") == 0, again.output
