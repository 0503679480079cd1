"""rollback.yml on four hosts, whatever each of them serves."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.hosts.harness import Hosts, Node

# Says what it was told; what it does with that is tested where it is.
COMMAND = """#!/bin/sh
echo "$@" >>/called
case "$*" in *--check*) echo would;; esac
echo changed
"""


def state(promoted: str, previous: str = "", left: str = "") -> dict[str, Any]:
    """deployment.json of a host."""
    places = {"promoted": promoted, "previous": previous, "left": left}
    return {
        name: {"version": version, "instance": f"{version}_0000000"}
        for name, version in places.items()
        if version
    } | {"deploying": None}


@pytest.fixture(scope="module")
def four(hosts: Hosts) -> Iterator[list[Node]]:
    nodes = [hosts.start(f"back{number}") for number in range(4)]
    for node in nodes:
        node.run(
            "sh", "-c", "cat >/usr/local/bin/springboard; chmod +x /usr/local/bin/springboard", input=COMMAND
        )
    yield nodes
    for node in nodes:
        node.stop()


Back = Callable[..., tuple[bool, str, list[str]]]


@pytest.fixture
def back(hosts: Hosts, four: list[Node]) -> Back:
    """`back(states, ...)` has the hosts serve these, plays, and returns what each was told, and the rest."""

    def play(states: list[dict[str, Any] | str | None], **options: Any) -> tuple[bool, str, list[str]]:
        for node, one in zip(four, states, strict=True):
            node.sh(": >/called; rm -rf /var/lib/springboard; mkdir -p /var/lib/springboard")
            if one is not None:
                text = one if isinstance(one, str) else json.dumps(one)
                node.run("sh", "-c", "cat >/var/lib/springboard/deployment.json", input=text)
        done = hosts.play("rollback.yml", springboard=four, **options)
        return (
            done.ok,
            " ".join(done.output.split()),
            [node.sh("cat /called").strip() for node in four],
        )

    return play


BAD, GOOD = state("1.1.0", "1.0.0"), state("1.0.0", "0.9.0")
RETURNED = state("1.0.0", "1.1.0", left="1.1.0")
LEAVING = "rollback --leave 1.1.0"


@pytest.mark.parametrize(
    "states",
    [
        [BAD] * 4,
        [RETURNED, RETURNED, RETURNED, BAD],  # one was unreachable the first time
        [BAD, GOOD, GOOD, GOOD],  # the deployment stopped after the first
        [BAD, BAD, RETURNED, GOOD],
        [BAD, state("1.0.0"), state("1.0.0"), GOOD],  # some have no way back, and need none
    ],
)
def test_all_hosts_leave_the_one_release(states: list[dict[str, Any]], back: Back) -> None:
    ok, output, told = back(states)
    assert ok, output
    assert told == [LEAVING] * 4


def test_where_all_have_returned_each_says_so(back: Back) -> None:
    ok, output, told = back([RETURNED] * 4)
    assert ok, output
    assert told == ["rollback"] * 4


def test_ways_back_that_lead_apart_need_the_release_to_leave(back: Back) -> None:
    states = [BAD, state("1.2.0", "1.1.0"), GOOD, None]
    ok, output, told = back(states)
    assert not ok
    assert "back0 1.1.0, back1 1.2.0, back2 1.0.0, back3 nothing" in output
    assert "-e leave=X.Y.Z" in output
    assert told == [""] * 4
    ok, output, told = back(states, leave="1.1.0", model_release_in_place=True)
    assert ok, output
    assert told == [f"{LEAVING} --in-place"] * 4


def test_check_mode_only_asks(back: Back) -> None:
    ok, output, told = back([BAD] * 4, check=True)
    assert ok, output
    assert told == [f"{LEAVING} --check"] * 4


def test_a_damaged_deployment_json_keeps_back_its_own_host_only(back: Back) -> None:
    ok, output, told = back([BAD, BAD, BAD, "{"])
    assert not ok
    assert "Read each host's deployment.json" in output
    assert told == [LEAVING] * 3 + [""]
