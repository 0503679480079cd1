"""The test hosts themselves: what the other tests take for granted."""

import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from springboard.system.checkout import ROOT
from tests.hosts.harness import Hosts, Node
from tests.stands.waiting import wait_until


def test_node_starts_from_what_another_left(node: Callable[..., Node], hosts: Hosts) -> None:
    first = node("first")
    assert first.run("hostname").strip() == "first"
    first.sh("echo kept > /etc/kept; rm /etc/debian_version")
    second = node("second", first.freeze("layer"))
    assert second.run("cat", "/etc/kept") == "kept\n"
    assert not second.succeeds("test", "-e", "/etc/debian_version")
    assert not node("third").succeeds("test", "-e", "/etc/kept")


def test_node_has_role_credentials(node: Callable[..., Node]) -> None:
    one = node("one")
    one.metadata("reader", "reader-secret")
    url = "http://169.254.169.254/latest"
    role = f"{url}/meta-data/iam/security-credentials/springboard-test"
    fetch = f"curl -s --retry 20 --retry-connrefused --retry-delay 1 -X PUT {url}/api/token"
    answer = one.sh(f'token=$({fetch}); curl -s -H "X-aws-ec2-metadata-token: $token" {role}')
    assert '"SecretAccessKey": "reader-secret"' in answer
    assert "reader" not in one.sh(f"curl -s {role}"), "without a token"


@pytest.mark.usefixtures("hosts")
def test_nothing_is_left_of_a_killed_session() -> None:
    """Killed with -9, while a node is up and something runs in it."""
    program = (
        "import sys, time; from tests.hosts.harness import session\n"
        "with session() as hosts:\n"
        "    hosts.start('orphan').metadata('a', 'b'); print(hosts.number, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        number = process.stdout.readline().strip()
        assert number, "the session did not start"
        space = f"node{number}-orphan"
        assert space in subprocess.check_output(["ip", "netns"], text=True)
        process.send_signal(signal.SIGKILL)
    wait_gone = f"while [ -e /sys/class/net/nodes{number} ]; do sleep .1; done"
    subprocess.run(["sh", "-c", wait_gone], check=True, timeout=120)
    assert space not in subprocess.check_output(["ip", "netns"], text=True)
    assert f"session-{number}/" not in Path("/proc/mounts").read_text()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{space}"))
    # Its way out to the internet ends by itself, a moment after the network that it was for.
    processes = partial(subprocess.check_output, ["ps", "-eo", "args"], text=True)
    wait_until(lambda: space not in processes(), "its processes to end")
