"""What is done to hosts after they serve, and that callers do not notice."""

import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hosts import served
from tests.hosts.harness import Hosts, Node, Play
from tests.hosts.served import CLIP, Caller, Converged, Models
from tests.stands import certificates
from tests.stands.waiting import at_work, wait_until


@dataclass(frozen=True)
class Pair:
    """Two hosts that serve."""

    hosts: Hosts
    nodes: list[Node]
    callers: list[Caller]
    settings: dict[str, Any]

    def play(self, playbook: str, *options: str, **given: Any) -> Play:
        return self.hosts.play(playbook, *options, **{"springboard": self.nodes, **self.settings, **given})


@pytest.fixture(scope="module")
def pair(hosts: Hosts, converged: Converged, models: Models) -> Iterator[Pair]:
    with ExitStack() as opened:
        nodes = []
        for name in ("one", "two"):
            nodes.append(hosts.start(name, converged.layer))
            opened.callback(nodes[-1].stop)
        callers = [served.caller(node, converged) for node in nodes]
        for caller in callers:
            opened.enter_context(closing(caller.client))
        yield Pair(hosts, nodes, callers, served.settings(models))


class Balanced:
    """Four clients behind what sends each request to the next host, on to another where one is not there.

    As proxies do by default: only what no host has taken up is sent again.
    """

    def __init__(self, callers: list[Caller]) -> None:
        self.callers = callers
        self.served: list[str] = []
        self.failed: list[str] = []

    def call(self) -> None:
        said = []
        for caller in self.callers:
            try:
                answer = caller.client.post("/invocations", content=CLIP.read_bytes())
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
