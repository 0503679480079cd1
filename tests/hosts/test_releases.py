"""Releases onto a host by the playbooks, good ones and bad ones, while four clients call all along.

The tests go on from one another, on one host. The puppet is the model: faults come when they are wanted.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from springboard.deploy.channel import Channel, Channels
from springboard.releases.registry import Registry
from tests.hosts import served
from tests.hosts.calling import CLIENTS, Outcome, ask, unnoticed
from tests.hosts.harness import Hosts, Node, Play
from tests.hosts.served import Caller, Converged, Models, settings
from tests.stands.release import publish
from tests.stands.waiting import wait_until

WEIGHT = 40
# On a busy machine ten attempts of a good release may well take longer than ten others, the first ones of a
# new TorchServe several times as long as one that is warm; the line is at the square root.
CANARY = {
    "weight": WEIGHT,
    "bake_seconds": 10,
    "steps": [],
    "min_attempts": 10,
    "hold_bakes": 20,
    "max_p95_ratio": 25,
}
LOCK = "/run/lock/springboard-deploy.lock"
HOME = "/var/lib/springboard"


@dataclass
class Site:
    """A host under deployments, and how it is called."""

    hosts: Hosts
    node: Node
    caller: Caller
    given: dict[str, Any]

    def deploy(
        self, version: str, *others: Node, kill_when: Callable[[], bool] | None = None, **canary: Any
    ) -> Play:
        given = {**self.given, "springboard": [self.node, *others], "springboard_canary": CANARY | canary}
        return self.hosts.play("deploy.yml", kill_when=kill_when, release=version, **given)

    def load(self) -> AbstractContextManager[list[Outcome]]:
        """Call from four clients, and see in the end that none of their requests has failed."""
        return unnoticed(self.caller.client)

    def serves(self, version: str) -> list[str]:
        """Assert that everything on the host says the same; return the units beside the one that serves."""
        state = json.loads(self.node.run("cat", f"{HOME}/deployment.json"))
        unit = f"torchserve@{state['promoted']['instance']}.service"
        assert (state["promoted"]["version"], state["deploying"]) == (version, None), state["last"]
        endpoint = yaml.safe_load(self.node.run("cat", "/etc/springboard/endpoint.yml"))
        shares = [(one["name"], one["release"], one["weight"]) for one in endpoint["variants"]]
        assert shares == [("stable", version, 100)]
        enabled = self.node.sh("ls /etc/systemd/system/multi-user.target.wants | grep torchserve@")
        assert enabled.split() == [unit]
        told = self.caller.client.get("/endpoints/dive-scoring").json()
        assert [variant["release"] for variant in told["variants"]] == [version]
        assert ask(self.caller.client).release == version
        listed = self.node.sh("systemctl list-units --plain --no-legend --state=active 'torchserve@*'")
        running = [line.split()[0] for line in listed.splitlines()]
        assert unit in running
        beside = [other for other in running if other != unit]
        # A release that was kept warm when its next canary was killed stays so; nothing else may run.
        kept = [f"torchserve@{state['previous']['instance']}.service"] if state["previous"] else []
        assert set(beside) <= set(kept), state
        return beside


def said(play: Play) -> str:
    """Return a play's output without its line breaks."""
    return " ".join(play.output.split())


@pytest.fixture(scope="module")
def site(
    hosts: Hosts, converged: Converged, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A host that serves the puppet's 2.0.0 after it served another model."""
    registry, folder = Registry("s3://models", models.client), tmp_path_factory.mktemp("puppets")
    publish(registry, folder, "2.0.0")
    publish(registry, folder, "2.1.0")
    node = hosts.start("one", converged.layer)
    try:
        site = Site(hosts, node, served.caller(node, converged), settings(models))
        play = site.deploy("2.0.0", weight=0)
        assert play.ok, play.output
        site.serves("2.0.0")
        yield site
        site.caller.client.close()
    finally:
        node.stop()


@pytest.fixture(scope="module")
def next_host(hosts: Hosts, converged: Converged, site: Site) -> Iterator[Node]:
    """The one after it in the inventory."""
    node = hosts.start("two", converged.layer)
    try:
        served.caller(node, converged).client.close()
        node.sh("touch /before")
        yield node
    finally:
        node.stop()


def test_a_canary_gets_exactly_its_share_and_then_everything(site: Site) -> None:
    with site.load() as outcomes:
        play = site.deploy("2.1.0")
        assert play.ok, play.output
        assert play.count("changed") > 0
        again = site.deploy("2.1.0")
        assert again.ok, again.output
        assert again.count("changed") == 0, again.output
        # Kept warm.
        assert [unit.partition("_")[0] for unit in site.serves("2.1.0")] == ["torchserve@2.0.0"]
    tried = [i for i, one in enumerate(outcomes) if one.variant == "canary"]
    trial = outcomes[tried[0] : tried[-1] + 1]
    assert len(trial) > 20
    assert {(one.variant, one.release) for one in trial} == {("stable", "2.0.0"), ("canary", "2.1.0")}
    # Choices are exact; what is under way at its beginning and its end is answered in another order.
    assert abs(len(tried) - len(trial) * WEIGHT / 100) <= CLIENTS + 1


def test_a_rollback_is_a_change_of_weights(site: Site) -> None:
    with site.load():
        play = site.hosts.play("rollback.yml", springboard=[site.node], **site.given)
        assert play.ok, play.output
        assert "starting" not in play.output
        site.serves("2.0.0")


@dataclass(frozen=True)
class Bad:
    """A release that may not come to serve, and what the play says of it."""

    kind: str
    figure: str
    manifest: dict[str, Any]
    canary: dict[str, Any]


# What depends on a host; tests/serving/deploy has all other kinds.
BAD = [
    Bad("raises", r"error ratio: \d+ of \d+ attempts failed \(handler_raised", {}, {}),
    Bad("tampered", r"is not what the manifest of 2\.2\.0-tampered says: its sha256 is", {}, {}),
    # The requests that it took along are no reason yet.
    Bad("dies", r"restarts: its TorchServe died", {}, {"max_error_ratio": 0.9}),
    Bad(
        "torch",
        r"built with torch 2\.12\.1\+cu126, and this host's runtime has torch 2\.13\.0\+cpu",
        {"torch": "2.12.1+cu126"},
        {},
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad.kind))
def test_a_bad_release_goes_by_itself_and_the_next_host_never_sees_it(
    site: Site, next_host: Node, models: Models, tmp_path: Path, bad: Bad
) -> None:
    version = f"2.2.0-{bad.kind}"
    publish(Registry("s3://models", models.client), tmp_path, version, fault=bad.kind, **bad.manifest)
    if bad.kind == "tampered":
        found = models.client.list_objects_v2(Bucket="models", Prefix=f"releases/dive/{version}/dive-")
        models.client.put_object(Bucket="models", Key=found["Contents"][0]["Key"], Body=b"tampered")
    with site.load():
        # It ends by its figures long before that.
        play = site.deploy(version, next_host, bake_seconds=300, **bad.canary)
        assert play.returncode == 2, play.output
        assert re.search(bad.figure, said(play)), play.output
        assert "Traceback" not in play.output
        others = site.serves("2.0.0")
    assert version not in " ".join(others)
    assert "two" not in play.output.rpartition("PLAY RECAP")[2]
    looked = f"/etc/springboard /etc/systemd {HOME}/releases {HOME}/deployment.json"
    assert next_host.sh(f"find {looked} -newer /before") == ""


def _idle(node: Node) -> bool:
    return node.succeeds("flock", "--nonblock", LOCK, "true")


def test_ansible_is_killed_and_another_wants_to_deploy(site: Site) -> None:
    """The one at work goes on to its end, the other is told of it."""
    refused: list[Play] = []

    def both_at_once() -> bool:
        # A timer's tidying holds the lock, too.
        if _idle(site.node) or not site.node.succeeds("grep", "-q", "springboard deploy", LOCK):
            return False
        refused.append(site.deploy("2.1.0"))
        return True

    with site.load():
        killed = site.deploy("2.1.0", kill_when=both_at_once, bake_seconds=30)
        assert killed.returncode < 0, killed.output
        assert not refused[0].ok
        holder = r"another deployment is at work: springboard deploy 2\.1\.0, process \d+, since \S+ UTC"
        assert re.search(holder, said(refused[0])), refused[0].output
        wait_until(lambda: _idle(site.node), "the deployment", 300)
        site.serves("2.1.0")
        again = site.deploy("2.1.0")
        assert again.ok, again.output
        assert again.count("changed") == 0, again.output


def _canary_gets_traffic(node: Node) -> bool:
    return node.succeeds("grep", "-q", "name: canary", "/etc/springboard/endpoint.yml")


def test_a_deployment_that_is_killed_is_healed_by_the_next_run(site: Site) -> None:
    def in_its_canary() -> bool:
        if not _canary_gets_traffic(site.node):
            return False
        pid = re.findall(r"process (\d+)", site.node.run("cat", LOCK))[0]
        site.node.run("kill", "-KILL", pid)
        return True

    with site.load():
        killed = site.deploy("2.0.0", kill_when=in_its_canary, bake_seconds=300)
        assert killed.returncode < 0, killed.output
        again = site.deploy("2.1.0")
        assert again.ok, again.output
        site.serves("2.1.0")


def test_after_a_reboot_in_the_middle_of_a_deployment_it_serves_what_was_promoted_last(site: Site) -> None:
    def in_its_canary() -> bool:
        if not _canary_gets_traffic(site.node):
            return False
        site.node.reboot()
        return True

    cut_off = site.deploy("2.0.0", kill_when=in_its_canary, bake_seconds=300)
    assert not cut_off.ok, cut_off.output
    site.caller.wait_serving()
    with site.load() as outcomes:
        again = site.deploy("2.1.0")
        assert again.ok, again.output
        site.serves("2.1.0")
    assert {one.release for one in outcomes} == {"2.1.0"}


def test_a_host_that_follows_a_channel_serves_nothing_older_after_a_reboot(
    site: Site, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in served.publisher(models.url).items():  # who deploys moves the channel, too
        monkeypatch.setenv(name, value)
    site.given["springboard_channel"] = True
    play = site.deploy("2.1.0", weight=0)
    assert play.ok, play.output
    channels = Channels("s3://models", models.client)
    found = channels.read("dive-scoring")
    assert found
    assert found[0].release == "2.1.0"
    channels.write("dive-scoring", Channel.model_validate({"release": "2.0.0"}), found[1])
    site.node.reboot()
    site.caller.wait_serving()
    with site.load() as outcomes:
        wait_until(lambda: len(outcomes) > 40, "answers", 60)
    assert {one.release for one in outcomes} == {"2.0.0"}
    site.serves("2.0.0")
