"""Debian 13 with the habits of Ubuntu's images, from its first boot to a front that answers by Python 3.13.

No worker runs here: of torch's CPU build there is a wheel for Python 3.11 alone where these tests run. With
PyPI's CUDA build, of several GB, `python -m tests.hosts.debian13` goes on to a score.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.hosts import harness
from tests.hosts.account import boot_for_the_first_time
from tests.hosts.harness import Hosts, Node, Play
from tests.stands.front import write_endpoint
from tests.stands.waiting import wait_until

SETTINGS: dict[str, Any] = {
    "springboard_models_bucket": "models",
    "springboard_gpu_required": False,
    "springboard_ntp_servers": ["169.254.169.123"],
}
HABITS = "chrony needrestart rsyslog unattended-upgrades"


@dataclass
class Debian13:
    """The host, and configure.yml's first and second run on it, without what needs torch."""

    node: Node
    plays: list[Play]


def start(hosts: Hosts, name: str) -> Node:
    """Boot a Debian 13 with what Ubuntu's images bring, for the first time."""
    node = hosts.start(name, rootfs=harness.rootfs("trixie"))
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends"
    node.sh(f"apt-get update -q && {install} {HABITS}")
    boot_for_the_first_time(node)
    return node


@pytest.fixture(scope="module")
def debian13(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian13]:
    node = start(hosts, "debian13")
    # As a deployment leaves it, whose runtime is not there.
    endpoint = write_endpoint(tmp_path_factory.mktemp("debian13") / "endpoint.yml", []).read_text()
    node.run("sh", "-c", "mkdir /etc/springboard; cat >/etc/springboard/endpoint.yml", input=endpoint)
    without = ("--skip-tags", "worker,release")
    plays = [hosts.play("configure.yml", *without, springboard=[node], **SETTINGS) for _ in range(2)]
    for play in plays:
        assert play.ok, play.output
    yield Debian13(node, plays)
    node.stop()


def test_its_first_boot_is_awaited_and_a_second_run_changes_nothing(debian13: Debian13) -> None:
    """cloud-init had the package sources to write; unattended-upgrades held dpkg a while longer."""
    assert debian13.node.sh("ls /var/lib/cloud/instance").split() == ["asked", "begun", "boot-finished"]
    assert [play.count("changed") > 0 for play in debian13.plays] == [True, False], debian13.plays[1].output


def test_the_front_answers_by_the_systems_python(debian13: Debian13) -> None:
    """Which pip may not install into (PEP 668)."""
    node = debian13.node
    assert node.succeeds("test", "-e", "/usr/lib/python3.13/EXTERNALLY-MANAGED")
    assert node.sh("/opt/springboard/front/current/bin/python --version").startswith("Python 3.13.")
    token = node.run("springboard", "keys", "create", "--bearer", "tests").strip().rpartition("=")[2]
    trust = ssl.create_default_context(cadata=node.sh("cat /etc/nginx/springboard/self-signed.pem"))
    with httpx.Client(base_url=f"https://{node.address}", verify=trust, timeout=90) as client:
        ping = client.get("/ping")
        assert (ping.status_code, ping.json()["error"]["code"]) == (503, "not_ready")

        def told() -> tuple[int, str]:
            shown = {"Authorization": f"Bearer {token}"}
            scored = client.post("/invocations", content=b"x", headers=shown)
            return scored.status_code, scored.json()["error"]["code"]

        wait_until(lambda: told()[0] != 403, "the front to take over the key")
        assert told() == (503, "not_ready")


def test_chrony_stays_where_it_is_and_asks_the_given_server(debian13: Debian13) -> None:
    """As on EC2's Ubuntu images."""
    assert not debian13.node.succeeds("dpkg", "-s", "systemd-timesyncd")
    # Without -x chronyd would want to set the clock, which a node may not.
    assert "169.254.169.123" in debian13.node.sh("chronyd -x && chronyc -n sources")


def test_needrestart_leaves_what_scores_alone(debian13: Debian13) -> None:
    """It is Perl, and so is its configuration."""
    rule = "do '/etc/needrestart/conf.d/springboard.conf'; print keys %{$nrconf{override_rc}}"
    assert "torchserve@" in debian13.node.run("perl", "-e", f"our %nrconf; {rule}")


def test_rsyslog_gets_no_copy_of_the_journal(debian13: Debian13) -> None:
    """Which would be without bounds."""
    settings = debian13.node.sh("systemd-analyze cat-config systemd/journald.conf").splitlines()
    assert [line for line in settings if line.startswith("ForwardToSyslog=")][-1] == "ForwardToSyslog=no"
