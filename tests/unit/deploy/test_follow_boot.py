"""A host that follows its channel as it boots: nobody waits for a trial, and nothing older serves."""

import shutil

from tests.unit.deploy.conftest import Shore, last


def test_at_boot_it_catches_up_before_the_front_starts_and_without_a_trial(shore: Shore) -> None:
    shore.bench.rollout().deploy("1.0.0")
    shore.channel("1.1.0")
    shore.bench.acts.clear()
    assert last(shore.follow("--boot")) == "changed"
    assert shore.bench.consistent("1.1.0")
    assert shore.bench.tried == []
    assert "endpoint" not in shore.bench.acts, "nobody waits for a front that starts afterwards"
    assert len(shore.bench.running) == 1


def test_at_boot_what_its_trial_rolled_back_is_not_served_without_one(shore: Shore) -> None:
    shore.bench.rollout().deploy("1.0.0")
    shore.channel("1.1.0")
    shore.bench.fails_at = "canary 10"
    assert shore.follow().exit_code == 1
    shutil.rmtree(shore.bench.layout.root / "run", ignore_errors=True)
    done = shore.follow("--boot")
    assert done.exit_code == 1
    assert "error ratio: high. That is not tried again before the channel is changed" in last(done)
    assert shore.bench.consistent("1.0.0")
    shore.channel("1.2.0")
    assert last(shore.follow("--boot")) == "changed"
    assert shore.bench.consistent("1.2.0")


def test_at_boot_a_host_that_serves_nothing_tries_again(shore: Shore) -> None:
    shore.channel("1.0.0")
    shore.bench.fails_at = "ready 1.0.0"
    assert shore.follow("--boot").exit_code == 1
    assert "That is not tried again" in last(shore.follow())
    assert last(shore.follow("--boot")) == "changed"
    assert shore.bench.consistent("1.0.0")


def test_at_boot_nothing_is_ahead_of_the_channel_any_more(shore: Shore) -> None:
    shore.channel("1.0.0")
    shore.follow()
    assert last(shore("deploy", "1.1.0")) == "changed"
    assert last(shore.follow("--boot")) == "changed"
    assert shore.bench.consistent("1.0.0")


def test_at_boot_what_serves_already_is_left_to_its_unit(shore: Shore) -> None:
    shore.bench.rollout().deploy("1.0.0")
    shore.channel("1.0.0")
    shore.bench.running.clear()
    shore.bench.acts.clear()
    assert last(shore.follow("--boot")) == "unchanged"
    assert shore.bench.acts == []


def test_at_boot_a_release_that_fails_leaves_the_one_that_served(shore: Shore) -> None:
    shore.bench.rollout().deploy("1.0.0")
    shore.channel("1.1.0")
    shore.bench.fails_at = "warm up"
    assert shore.follow("--boot").exit_code == 1
    assert shore.bench.consistent("1.0.0")
