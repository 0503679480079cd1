"""A host that follows its endpoint's channel: when it does, when it leaves it, and what it says."""

import time
from typing import Any

import pytest

from springboard.deploy import state as deployment
from springboard.deploy.channel import Channel, ChannelError, Channels
from springboard.deploy.settings import Host
from springboard.releases.manifest import ReleaseError
from tests.unit.deploy.conftest import CHANNEL, Shore, last


def test_a_new_host_serves_what_the_channel_says_and_then_nothing_changes(shore: Shore) -> None:
    shore.channel("1.0.0")
    done = shore.follow()
    assert (done.exit_code, last(done)) == (0, "changed"), done.output
    assert shore.bench.consistent("1.0.0")
    before = list(shore.bench.acts)
    done = shore.follow()
    assert done.output == "1.0.0 serves, as the channel says\nunchanged\n"
    assert shore.bench.acts == before


def test_a_release_that_is_here_is_not_fetched_again(shore: Shore) -> None:
    shore.bench.release("1.0.0")
    shore.channel("1.0.0")
    assert shore.follow().exit_code == 0
    assert "fetch" not in shore.bench.acts


def test_a_moved_channel_is_tried_by_its_own_rules_over_the_host_s(shore: Shore) -> None:
    shore.settings(follow={}, canary={"bake_seconds": 7, "steps": [50]})
    shore.channel("1.0.0")
    shore.follow()
    shore.channel("1.1.0", canary={"weight": 5, "steps": []})
    would = shore.follow("--check")
    assert "would have 1.1.0 serve, if it proves itself" in would.output
    assert last(would) == "changed"
    assert shore.bench.consistent("1.0.0")
    assert last(shore.follow()) == "changed"
    assert shore.bench.consistent("1.1.0")
    assert shore.bench.tried == [(5, 7.0)]


def test_drift_is_repaired(shore: Shore) -> None:
    shore.channel("1.0.0")
    shore.follow()
    shore.bench.rollout().deploy("1.1.0")
    assert last(shore.follow()) == "changed"
    assert shore.bench.consistent("1.0.0")


def test_without_a_channel_there_is_nothing_to_follow(shore: Shore) -> None:
    shore.bench.rollout().deploy("1.0.0")
    done = shore.follow()
    assert (done.exit_code, last(done)) == (0, "unchanged")
    assert "s3://models/channels/dive-scoring.json is not there" in done.output
    assert shore.bench.consistent("1.0.0")


def test_without_s3_nothing_changes_and_it_is_said(shore: Shore) -> None:
    shore.channel("1.0.0")
    shore.follow()
    before = list(shore.bench.acts)
    shore.bucket.away = True
    done = shore.follow()
    assert done.exit_code == 1
    assert "S3 could not be reached for s3://models/channels/dive-scoring.json" in last(done)
    assert shore.bench.acts == before


def test_a_release_that_cannot_be_fetched_is_tried_again(shore: Shore) -> None:
    shore.bench.rollout().deploy("1.0.0")
    shore.channel("1.1.0")
    shore.bench.fails_at = "fetch"
    done = shore.follow()
    assert (done.exit_code, last(done)) == (1, "S3 could not be reached")
    assert shore.bench.consistent("1.0.0")
    assert last(shore.follow()) == "changed"
    assert shore.bench.consistent("1.1.0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"release": ', ":1: no JSON"),
        (b"[]", ":1: expected an object"),
        (b'{\n "release": "latest"\n}', ":2: release: String should match"),
        (b'{\n "release": "1.1.0",\n "relase": 1\n}', ":3: relase: Extra inputs"),
        (b'{"release": "1.1.0",\n "settings": {\n"models": "s3://x"}}', ":3: settings.models: Extra"),
        (b'{"release": "1.1.0", "canary": {"weight": 100}}', ":1: canary.weight: Input should be less"),
        (b'{"canary": {}}', ":1: release: Field required"),
    ],
)
def test_a_channel_that_cannot_be_used_is_named_by_its_line_and_changes_nothing(
    shore: Shore, text: bytes, said: str
) -> None:
    shore.bench.rollout().deploy("1.0.0")
    before = list(shore.bench.acts)
    shore.bucket.held[CHANNEL] = text
    done = shore.follow()
    assert done.exit_code == 1
    assert f"s3://models/{CHANNEL}{said}" in last(done)
    assert shore.bench.acts == before


def test_a_release_that_fails_its_checks_leaves_what_serves_and_is_not_tried_again(shore: Shore) -> None:
    shore.bench.rollout().deploy("1.0.0")
    shore.channel("1.1.0")
    shore.bench.fails_at = "canary 10"
    done = shore.follow()
    assert done.exit_code == 1
    assert last(done) == "1.1.0 was not deployed, 1.0.0 serves: error ratio: high"
    assert shore.bench.consistent("1.0.0")
    before = list(shore.bench.acts)
    done = shore.follow()
    assert done.exit_code == 1
    assert "error ratio: high. That is not tried again before the channel is changed" in last(done)
    assert shore.bench.acts == before
    # A channel that is moved is followed, one that is moved back tried anew.
    shore.channel("1.0.0")
    assert last(shore.follow()) == "unchanged"
    shore.channel("1.1.0")
    assert last(shore.follow()) == "changed"
    assert shore.bench.consistent("1.1.0")


def test_what_failed_is_tried_again_when_somebody_says_so(shore: Shore) -> None:
    shore.bench.rollout().deploy("1.0.0")
    shore.channel("1.1.0")
    shore.bench.fails_at = "ready 1.1.0"
    assert shore.follow().exit_code == 1
    assert last(shore.follow("--again")) == "changed"
    assert shore.bench.consistent("1.1.0")


def test_what_failed_is_not_tried_again_for_what_somebody_deployed_after_it(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shore.bench.rollout().deploy("1.0.0")
    shore.channel("1.1.0")
    shore.bench.fails_at = "canary 10"
    assert shore.follow().exit_code == 1
    assert shore("deploy").exit_code == 0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    done = shore.follow()
    assert done.exit_code == 1
    assert "error ratio: high. That is not tried again" in last(done)
    assert shore.bench.consistent("1.0.0")


def test_it_never_follows_during_a_deployment(shore: Shore) -> None:
    shore.bench.rollout().deploy("1.0.0")
    shore.channel("1.1.0")
    with deployment.alone(shore.bench.layout.lock, "springboard deploy 1.0.0", wait=False):
        done = shore.follow()
    assert (done.exit_code, last(done)) == (0, "unchanged: a deployment is at work")
    assert shore.bench.consistent("1.0.0")


def test_nobody_who_deploys_is_refused_for_a_look_at_the_channel(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shore.channel("1.0.0")
    shore.follow()

    def locked(*_: object) -> None:
        raise AssertionError("it holds the lock")

    monkeypatch.setattr(deployment, "alone", locked)
    assert last(shore.follow()) == "unchanged"


def test_what_somebody_did_between_the_look_and_the_lock_counts(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shore.channel("1.1.0")
    alone = deployment.alone

    def late(*given: Any) -> Any:
        shore.bench.rollout().deploy("1.1.0")
        return alone(*given)

    monkeypatch.setattr(deployment, "alone", late)
    assert shore.follow().output == "1.1.0 serves, as the channel says\nunchanged\n"


def test_a_deployment_by_hand_is_ahead_of_the_channel_for_a_while(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shore.channel("1.0.0")
    shore.follow()
    assert last(shore("deploy", "1.1.0")) == "changed"
    done = shore.follow()
    assert (done.exit_code, last(done)) == (0, "unchanged")
    assert "1.1.0 was deployed here and stays until" in done.output
    assert shore.bench.consistent("1.1.0")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    assert last(shore.follow()) == "changed"
    assert shore.bench.consistent("1.0.0")


def test_a_rollback_stays_until_the_channel_says_so_too_and_the_next_move_is_followed_at_once(
    shore: Shore,
) -> None:
    for release in ("1.0.0", "1.1.0"):
        shore.channel(release)
        shore.follow()
    assert last(shore("rollback")) == "changed"
    assert last(shore.follow()) == "unchanged"
    assert shore.bench.consistent("1.0.0")
    shore.channel("1.0.0")
    assert last(shore.follow()) == "unchanged"
    assert not shore.bench.layout.followed.exists()
    shore.channel("1.1.0")
    assert last(shore.follow()) == "changed"


@pytest.mark.parametrize("before", ["1.0.0", ""])
def test_a_channel_that_moves_twice_before_a_host_looks_is_followed_nevertheless(
    shore: Shore, before: str
) -> None:
    if before:
        shore.channel(before)
    assert last(shore("deploy", "1.1.0")) == "changed"
    shore.channel("1.1.0")
    shore.channel("1.2.0")
    assert last(shore.follow()) == "changed"
    assert shore.bench.consistent("1.2.0")


def test_a_channel_that_moves_away_and_back_before_a_host_looks_ends_what_was_deployed_here(
    shore: Shore,
) -> None:
    shore.channel("1.0.0")
    shore.follow()
    assert last(shore("deploy", "1.1.0")) == "changed"
    shore.channel("1.2.0")
    shore.channel("1.0.0")  # the same bytes again
    assert last(shore.follow()) == "changed"
    assert shore.bench.consistent("1.0.0")


def test_what_is_deployed_while_s3_is_away_is_ahead_of_any_channel(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ReleaseError("S3 is away")

    shore.channel("1.0.0")
    shore.follow()
    with monkeypatch.context() as patched:
        patched.setattr(Channels, "raw", away)
        assert last(shore("deploy", "1.1.0")) == "changed"
    assert last(shore.follow()) == "unchanged"
    shore.channel("1.2.0")
    assert last(shore.follow()) == "unchanged"


def test_a_host_that_follows_nothing_notes_nothing(shore: Shore) -> None:
    shore.settings()
    shore("deploy", "1.0.0")
    assert shore.bench.consistent("1.0.0")
    assert not shore.bench.layout.followed.exists()


def test_figures_say_when_it_looked_and_whether_it_differs(shore: Shore) -> None:
    def figures() -> str:
        return (shore.bench.layout.figures / "springboard_follow.prom").read_text()

    shore.bench.layout.figures.mkdir(parents=True)
    shore.bench.rollout().deploy("1.0.0")
    shore.channel("1.1.0")
    shore.bench.fails_at = "canary 10"
    shore.follow()
    assert "\nspringboard_follow_differs 1.0\n" in figures()
    before = figures()
    shore.bucket.away = True
    shore.follow()
    shore.bucket.away = False
    shore.follow("--check")
    assert figures() == before
    shore.follow("--again")
    assert "\nspringboard_follow_differs 0.0\n" in figures()


WHOLE = {
    "models": "s3://models",
    "worker": {"runtime": "/opt/worker", "workers": 2},
    "allowed_buckets": ["dives"],
    "limits": {"deadline_seconds": 30},
    "canary": {"weight": 20, "bake_seconds": 60},
    "async": {"output": "s3://dives/out"},
    "capture": {"destination": "s3://dives/kept", "sampling_percentage": 5},
    "truth": {},
    "release_signers": ["ssh-ed25519 AAAA"],
    "follow": {},
}


def test_a_channel_changes_what_it_names_and_nothing_else() -> None:
    host = Host.model_validate(WHOLE)
    same = Channel.model_validate({"release": "1.0.0"}).applied(host)
    assert same == host
    settings = {"shadow": {"release": "1.2.0"}, "keep_warm_seconds": 10}
    channel = Channel.model_validate({"release": "1.0.0", "canary": {"weight": 5}, "settings": settings})
    changed = channel.applied(host)
    assert (changed.canary.weight, changed.canary.bake_seconds) == (5, 60)
    assert changed.shadow
    assert changed.shadow.release == "1.2.0"
    kept = {"canary", "shadow", "keep_warm_seconds"}
    assert changed.model_dump(exclude=kept) == host.model_dump(exclude=kept)


def test_a_channel_that_does_not_go_with_a_host_is_refused() -> None:
    host = Host.model_validate(WHOLE)
    beside = [{"name": "stable", "release": "0.9.0"}]
    channel = Channel.model_validate({"release": "1.0.0", "settings": {"beside": beside}})
    with pytest.raises(ChannelError, match=r"host\.yml: .*names must differ: stable"):
        channel.applied(host)
