"""A host that an earlier version set up goes over to this one, and nobody who calls notices."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from springboard.system.checkout import ROOT
from tests.hosts import served
from tests.hosts.harness import Hosts, Node, Play
from tests.hosts.served import Converged, Models, settings
from tests.hosts.test_change import load, runs
from tests.stands.waiting import wait_until

# The last commit whose code lay in one folder, and the first whose hosts have to be brought further.
EARLIER = "2491ef5"
# All of a host that is not packages and the worker's runtime.
OURS = (
    "systemctl disable --now springboard-tidy.timer springboard-keys.path springboard-front.socket "
    "springboard-front.service $(cd /var/lib/springboard/instances; printf 'torchserve@%s ' *); "
    "rm -rf /etc/springboard /var/lib/springboard /opt/springboard/front /usr/local/bin/springboard "
    "/etc/systemd/system/springboard-* /etc/systemd/system/torchserve@*; systemctl daemon-reload"
)


# Instance and address of those that listen at ports.
AT_PORTS = (
    "cd /var/lib/springboard/instances && grep -s ^TS_INFERENCE_ADDRESS=http */torchserve.env | "
    "sed 's#/torchserve.env:TS_INFERENCE_ADDRESS=# #'"
)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A checkout of that commit; where the clone is shallow there is none, which in CI is a fault."""
    checkout = tmp_path / "earlier"
    checkout.mkdir()
    archive = subprocess.run(["git", "archive", EARLIER], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        reason = f"this clone has no commit {EARLIER} (git fetch --unshallow)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    subprocess.run(["tar", "-x"], cwd=checkout, input=archive.stdout, check=True)
    # So that the runtime need not be built twice: what another one costs is test_change's.
    for part in (
        "config.properties",
        "requirements/worker.txt",
        "playbooks/roles/torchserve/files/log4j2.xml",
    ):
        shutil.copy(ROOT / part, checkout / part)
    return checkout


def test_a_host_of_an_earlier_version_goes_over_without_a_failed_request(
    converged: Converged, node: Callable[..., Node], hosts: Hosts, models: Models, earlier: Path
) -> None:
    host = node("upgraded", converged.layer)
    host.metadata("host", "host-secret")
    host.sh(OURS)
    given = {"springboard": [host], **settings(models)}

    def play(playbook: str, checkout: Path = ROOT, changes: bool = True, **more: object) -> Play:
        done = hosts.play(playbook, checkout=checkout, **{**given, **more})
        assert done.ok, done.output
        assert changes == (done.count("changed") > 0), done.output
        return done

    play("configure.yml", earlier)
    for release in ("1.0.0", "1.1.0"):
        play("deploy.yml", earlier, release=release)
    token = host.run("springboard", "keys", "create", "--bearer", "tests").strip().rpartition("=")[2]
    front = runs(host)
    caller = served.Caller(host, token)
    with caller.client:
        caller.wait_serving()
        assert caller.score()["model"]["version"] == "1.1.0"
        with load(caller) as outcomes:
            play("configure.yml")
            assert runs(host) != front
            # What it made listens at ports, also when systemd starts it again by the new unit.
            for line in host.sh(AT_PORTS).splitlines():
                instance, address = line.split()
                host.run("systemctl", "restart", f"torchserve@{instance}.service")
                wait_until(
                    partial(host.succeeds, "curl", "-sf", f"{address}/ping"),
                    f"{instance} to answer at {address}",
                    120,
                )
            play("configure.yml", changes=False)
            # What the earlier version wrote is read: what served before, and what comes to serve again.
            play("rollback.yml")
        assert [outcome for outcome in outcomes if outcome] == []
        assert len(outcomes) > 20, "the load itself"
        assert caller.score()["model"]["version"] == "1.0.0"
        play("rollback.yml", changes=False)
        play("deploy.yml", release="1.1.0")
        assert caller.score()["model"]["version"] == "1.1.0"
