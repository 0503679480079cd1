"""The way back: what a rollback takes, and what it leaves alone."""

import json

import pytest

from springboard.deploy import state as deployment
from springboard.deploy.plan import RolloutError
from springboard.deploy.state import Unfinished
from tests.unit.deploy.conftest import Bench


def test_a_rollback_of_an_unfinished_deployment_only_undoes_that(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    bench.rollout().deploy("1.1.0")
    state = bench.state
    state.deploying = Unfinished(version="1.2.0", instance="1.2.0_0000000", phase="canary at 10 %")
    deployment.save(bench.layout.state, state)
    assert bench.rollout().rollback()
    assert bench.consistent("1.1.0")


def test_without_a_previous_release_a_rollback_says_so(bench: Bench) -> None:
    with pytest.raises(RolloutError, match="no previous release"):
        bench.rollout().rollback()


def test_a_second_rollback_changes_nothing_until_another_deployment(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    bench.rollout().deploy("1.1.0")
    assert bench.rollout().rollback()
    for _ in range(2):
        assert not bench.rollout().rollback()
        assert bench.said[-1] == "1.0.0 serves since the rollback of 1.1.0"
        assert bench.consistent("1.0.0")
    bench.layout.unit.write_text("[Service]\nMemoryMax=1G")
    assert bench.rollout().deploy(None)  # the same release on another configuration
    assert not bench.rollout().rollback()
    assert bench.rollout().deploy("1.2.0")
    assert bench.rollout().rollback()
    assert bench.consistent("1.0.0")


def test_a_rollback_leaves_the_named_release_and_no_other(bench: Bench) -> None:
    assert not bench.rollout().rollback(leave="1.1.0")
    bench.rollout().deploy("1.0.0")
    assert not bench.rollout().rollback(leave="1.1.0")  # it has no way back, and needs none
    bench.rollout().deploy("1.1.0")
    assert not bench.rollout().rollback(leave="1.2.0")
    assert bench.said[-1] == "1.1.0 serves here, not 1.2.0"
    assert bench.rollout().rollback(leave="1.1.0")
    assert not bench.rollout().rollback(leave="1.1.0")
    assert bench.consistent("1.0.0")


def test_earlier_versions_can_read_a_state_without_a_rollback(bench: Bench) -> None:
    """They refuse fields they do not know; later ones pass over them."""
    bench.rollout().deploy("1.0.0")
    document = json.loads(bench.layout.state.read_text())
    assert set(document) == {"promoted", "previous", "warm_until", "shadow", "deploying", "last"}
    bench.layout.state.write_text(json.dumps(document | {"of_tomorrow": 1}))
    assert bench.consistent("1.0.0")
