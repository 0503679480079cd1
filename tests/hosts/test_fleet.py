"""Three hosts of a fleet behind a balancer, while four clients call all along.

HAProxy stands for Amazon's balancer, with the rules of the role fleet (haproxy.cfg.j2). The tests go on from
one another; the puppet is the model.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from springboard.auth import keys
from springboard.releases.registry import Registry
from tests.hosts import fleet as stand
from tests.hosts.calling import calling, unnoticed
from tests.hosts.fleet import HOME, OUTPUT, Fleet
from tests.hosts.harness import Hosts, Node
from tests.hosts.jobs import hand_in, nothing_left, results, scores
from tests.hosts.plane import AGENT, Plane, canary
from tests.hosts.served import Converged, Models
from tests.stands.release import publish
from tests.stands.waiting import wait_until

NAMES = ("one", "two", "three")
FOLLOW = "springboard-follow.service"
# Within which a host has followed the channel: its timer's minute, and the trial.
FOLLOWS_S = 300
JOBS = 30


@pytest.fixture(scope="module")
def fleet(
    hosts: Hosts, converged: Converged, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with stand.fleet(hosts, converged, models, folder, *NAMES, "four") as fleet:
        fleet.launch(*NAMES)
        fleet.balancer.wait_healthy(*NAMES)
        assert fleet.all_serve("2.0.0")
        yield fleet


def another(fleet: Fleet) -> str:
    """Return the release that the channel does not name."""
    return "2.1.0" if fleet.channel() == "2.0.0" else "2.0.0"


def in_canary(fleet: Fleet, name: str) -> bool:
    return fleet.nodes[name].succeeds("grep", "-q", "name: canary", "/etc/springboard/endpoint.yml")


def untouched(node: Node) -> bool:
    """Whether nothing of what deployments write is newer than /before."""
    looked = f"/etc/springboard /etc/systemd {HOME}/releases {HOME}/deployment.json"
    return node.sh(f"find {looked} -newer /before") == ""


def test_hosts_that_are_drained_may_stop_and_reboot(fleet: Fleet) -> None:
    front = "springboard-front.socket springboard-front.service"
    with unnoticed(fleet.client) as outcomes:
        fleet.balancer.deregister("one")
        fleet.nodes["one"].sh(f"systemctl stop {front}")
        fleet.balancer.deregister("two")
        fleet.nodes["two"].reboot()
        fleet.nodes["one"].sh(f"systemctl start {front}")
        for name in ("one", "two"):
            fleet.balancer.register(name, fleet.nodes[name].address)
        fleet.balancer.wait_healthy("one", "two")
        back = len(outcomes)
        wait_until(lambda: {one.host for one in outcomes[back:]} == set(NAMES), "all to answer")


def test_a_host_that_is_killed_fails_what_it_gets_until_checks_find_it_dead(fleet: Fleet) -> None:
    """The balancer sends nothing twice, so all of that is its callers' to send again."""
    with calling(fleet.client) as outcomes:
        wait_until(lambda: len(outcomes) > 20, "the load")
        fleet.nodes.pop("three").stop()
        wait_until(lambda: not fleet.balancer.healthy("three"), "three to be found dead", 120)
        found = time.monotonic()
        fleet.launch("three")
        fleet.balancer.wait_healthy("three")
        back = len(outcomes)
        wait_until(lambda: {one.host for one in outcomes[back:]} == set(NAMES), "its successor to answer")
    failed = [one for one in outcomes if one.failure]
    assert {one.host for one in failed} == {"three"}
    assert max(one.began for one in failed) < found
    print(f"{len(failed)} of {len(outcomes)} requests failed with the host that was killed")


def test_a_host_that_comes_while_a_release_rolls_serves_the_old_one_and_follows(fleet: Fleet) -> None:
    old, new = fleet.channel(), another(fleet)

    def grows() -> bool:
        if "four" not in fleet.nodes and in_canary(fleet, "one"):
            fleet.launch("four")
        return False

    with unnoticed(fleet.client) as outcomes:
        play = fleet.roll(new, kill_when=grows)
        assert play.ok, play.output
        assert play.count("ok", "four") == 0
        wait_until(lambda: fleet.all_serve(new), f"all hosts to serve {new}", FOLLOWS_S)
        fleet.balancer.wait_healthy("four")
        followed = len(outcomes)
        wait_until(lambda: {one.host for one in outcomes[followed:]} == {*NAMES, "four"}, "all to answer")
        fleet.end("four")
    assert {one.release for one in outcomes if one.host == "four"} == {old, new}
    assert {one.release for one in outcomes[followed:]} == {new}


def test_a_channel_that_moves_is_followed_by_all_and_later_by_who_was_without_s3(fleet: Fleet) -> None:
    old, new, one = fleet.channel(), another(fleet), fleet.nodes["one"]
    # What was rolled before is ahead of a channel that named `new`, until the host has looked once more.
    noted = "/var/lib/springboard/follow.json"
    wait_until(lambda: not one.succeeds("test", "-e", noted), "one to know the channel's release", FOLLOWS_S)
    one.sh("touch /before")
    with unnoticed(fleet.client) as outcomes:
        with fleet.without_s3("one"):
            fleet.move_channel(new)
            followed = partial(fleet.all_serve, new, "two", "three")
            wait_until(followed, f"the others to serve {new}", FOLLOWS_S)
            wait_until(lambda: one.succeeds("systemctl", "is-failed", FOLLOW), "one to miss S3", FOLLOWS_S)
            said = one.run("journalctl", "-u", FOLLOW, "-n", "9", "-o", "cat")
            assert "S3 could not be reached for s3://models/channels/dive-scoring.json" in said
            assert untouched(one)
            answers = [outcome.release for outcome in list(outcomes) if outcome.host == "one"]
            assert set(answers) == {old}
        wait_until(lambda: fleet.all_serve(new), f"all hosts to serve {new}", FOLLOWS_S)
    assert not one.succeeds("systemctl", "is-failed", FOLLOW)


def test_a_bad_release_ends_on_the_first_host(fleet: Fleet, models: Models, tmp_path: Path) -> None:
    publish(Registry("s3://models", models.client), tmp_path, "2.2.0-raises", fault="raises")
    good, others = fleet.channel(), [fleet.nodes[name] for name in ("two", "three")]
    for node in others:
        node.sh("touch /before")
    with unnoticed(fleet.client) as outcomes:
        play = fleet.roll("2.2.0-raises", bake_seconds=300)  # it ends by its figures long before that
    assert play.returncode == 2, play.output
    assert "error ratio: " in play.output
    assert fleet.all_serve(good)
    assert fleet.channel() == good
    assert all(map(untouched, others))
    assert {one.host for one in outcomes if one.release == "2.2.0-raises"} == {"one"}


# When deploy.yml is killed, by how far the release has come.
KILLED: dict[str, Callable[[Fleet, str], bool]] = {
    "in the first canary": lambda fleet, _: in_canary(fleet, "one"),
    "between hosts": lambda fleet, new: fleet.serves("one") == new,
    "before the channel moves": lambda fleet, new: fleet.all_serve(new),
}


@pytest.mark.parametrize("when", KILLED)
def test_a_roll_that_is_killed_is_healed_by_running_it_again(fleet: Fleet, when: str) -> None:
    old, new = fleet.channel(), another(fleet)
    canary: dict[str, Any] = {} if when == "in the first canary" else {"weight": 0}
    with unnoticed(fleet.client):
        killed = fleet.roll(new, kill_when=lambda: KILLED[when](fleet, new), **canary)
        assert killed.returncode == -9, killed.output
        assert fleet.channel() == old
        assert fleet.all_serve(new) == (when == "before the channel moves")
        again = fleet.roll(new, at_once=True, weight=0)
        assert again.ok, again.output
        assert fleet.all_serve(new)
        assert fleet.channel() == new


@pytest.fixture(scope="module")
def plane(fleet: Fleet) -> Plane:
    """The fleet's control plane, through the balancer."""
    beside = keys.create_token(fleet.keys, "beside")  # who knows it knows what came with it
    plane = Plane(fleet.admin(), stand.ENDPOINT)
    wait_until(lambda: fleet.know(beside) == [*fleet.nodes], "all hosts to know the key")
    there = partial(plane.sagemaker.list_endpoints, StatusEquals="InService")
    wait_until(lambda: bool(there()["Endpoints"]), "the endpoint")
    return plane


def trying(fleet: Fleet) -> list[str]:
    """Return the hosts that have a release on trial."""
    return [name for name in fleet.nodes if in_canary(fleet, name)]


def test_an_update_by_sagemakers_api_is_tried_on_one_host_and_followed_by_all(
    fleet: Fleet, plane: Plane
) -> None:
    old, new = fleet.channel(), another(fleet)
    with unnoticed(fleet.client):
        config = plane.update(new, DeploymentConfig=canary(15))
        wait_until(lambda: bool(trying(fleet)), "a host to try it", 180)
        assert (len(trying(fleet)), fleet.channel()) == (1, old)
        assert "FailureReason" not in plane.serves(config)
        assert fleet.channel() == new
        wait_until(lambda: fleet.all_serve(new), f"all hosts to serve {new}", FOLLOWS_S)
    told = [fleet.direct(name).json()["variants"] for name in NAMES]
    assert [[one["name"] for one in variants] for variants in told] == [["AllTraffic"]] * 3


def test_an_update_whose_host_dies_is_done_by_another(fleet: Fleet, plane: Plane) -> None:
    old, new = fleet.channel(), another(fleet)
    with unnoticed(fleet.client):
        config = plane.update(new, DeploymentConfig=canary(30))
        wait_until(lambda: bool(trying(fleet)), "a host to try it", 180)
        (holder,) = trying(fleet)
        node = fleet.nodes[holder]
        node.run("systemctl", "kill", "-s", "KILL", AGENT)
        node.run("systemctl", "stop", AGENT)
        others = {*NAMES} - {holder}
        wait_until(lambda: bool(others & {*trying(fleet)}), "another host to try it", 300)
        assert fleet.channel() == old
        assert "FailureReason" not in plane.serves(config)
        assert fleet.channel() == new
        node.run("systemctl", "start", AGENT)
        wait_until(lambda: fleet.all_serve(new), f"all hosts to serve {new}", FOLLOWS_S)


def test_a_bad_update_goes_back_and_is_no_other_hosts(
    fleet: Fleet, plane: Plane, models: Models, tmp_path: Path
) -> None:
    publish(Registry("s3://models", models.client), tmp_path, "2.3.0-raises", fault="raises")
    good, serves = fleet.channel(), plane.told()["EndpointConfigName"]
    for node in fleet.nodes.values():
        node.sh("touch /before")
    before = fleet.channels.raw(stand.ENDPOINT)
    with unnoticed(fleet.client) as outcomes:
        plane.update("2.3.0-raises", DeploymentConfig=canary(300))  # it ends by its figures long before that
        told = plane.serves(serves)
    assert f"2.3.0-raises was not deployed, {good} serves: error ratio: " in told["FailureReason"]
    assert fleet.channels.raw(stand.ENDPOINT) == before
    assert fleet.all_serve(good)
    assert sum(map(untouched, fleet.nodes.values())) == 2
    assert len({one.host for one in outcomes if one.release == "2.3.0-raises"}) == 1


def test_what_ansible_rolls_over_the_fleet_the_api_tells(fleet: Fleet, plane: Plane) -> None:
    new = another(fleet)
    play = fleet.roll(new, at_once=True, weight=0)
    assert play.ok, play.output
    # Its variant may be called otherwise than that of a configuration which has this name already.
    config = f"dive-{new.replace('.', '-')}"
    wait_until(lambda: plane.told()["EndpointConfigName"].startswith(config), "what Ansible did", 60)
    wait_until(lambda: fleet.all_serve(new), f"all hosts to serve {new} still", FOLLOWS_S)


def test_a_key_that_is_revoked_is_refused_by_all_within_ten_seconds(fleet: Fleet) -> None:
    with unnoticed(fleet.client):
        token = keys.create_token(fleet.keys, "leaked")
        fleet.keep_keys()
        wait_until(lambda: fleet.know(token) == [*NAMES], "all hosts to know the key")
        keys.revoke(fleet.keys, "leaked")
        fleet.keep_keys()
        wait_until(lambda: fleet.know(token) == [], "all hosts to refuse the key", 10)


def test_a_host_that_is_killed_in_mid_job_leaves_each_job_one_result(fleet: Fleet, models: Models) -> None:
    """Last of all: it is not replaced, and two others remain."""
    fleet.end("one")
    for number in range(JOBS):
        models.client.put_object(Bucket="dives", Key=f"heat-{number}", Body=b"sleep=3 score=%d" % number)
    for number in range(JOBS):
        hand_in(fleet.client, f"heat-{number}", f"heat-{number}")

    def found() -> dict[str, str]:
        return results(models.client, OUTPUT)

    wait_until(lambda: len(found()) > 2, "jobs to be at work", 120)
    before = found()
    fleet.nodes.pop("three").stop()
    # Each of both has up to four at a time while there are more.
    assert len(before) < JOBS - 8, "the kill came too late to be met"
    wait_until(lambda: len(found()) == JOBS, "every job's result", 300)
    after = found()
    assert after.items() >= before.items(), "a result was written twice"
    assert sorted(scores(models.client, after)) == list(range(JOBS))
    host = f"http://{fleet.nodes['two'].address}:8080"
    wait_until(lambda: nothing_left(fleet.client, host), "the queue to be empty")
