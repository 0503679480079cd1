"""Whatever fails of whatever kind of deployment, and where: one state, its cause, nothing lost."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from springboard.deploy.keeper import FAULTS
from springboard.deploy.plan import RolloutError
from springboard.deploy.rollout import Rollout
from springboard.deploy.settings import Beside, ShadowRule
from springboard.deploy.stop import Stop, Stopped
from springboard.releases import copies
from tests.unit.deploy.conftest import Bench

SHADOW = ShadowRule(release="1.1.0")
BESIDE = (Beside(name="other", release="1.1.0", weight=3),)


@dataclass(frozen=True)
class Kind:
    """A kind of deployment: what is there before, what is done, the release that serves before and after."""

    before: Callable[[Bench], object]
    act: Callable[[Rollout], object]
    old: str | None
    new: str
    settings: dict[str, Any]


def two(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    bench.rollout().deploy("1.1.0")


def two_cold(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    bench.rollout(keep_warm_seconds=0.0).deploy("1.1.0")


def another_configuration(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    bench.layout.unit.write_text("[Service]\nMemoryMax=1G")


def mirrored(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    bench.rollout(shadow=SHADOW).deploy(None)


def abreast(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    bench.rollout(beside=BESIDE).deploy(None)


def one(bench: Bench) -> object:
    return bench.rollout().deploy("1.0.0")


KINDS = {
    "first": Kind(lambda bench: bench.rollout().deploy(None), lambda r: r.deploy("1.0.0"), None, "1.0.0", {}),
    "canary": Kind(one, lambda r: r.deploy("1.1.0"), "1.0.0", "1.1.0", {}),
    "in place": Kind(one, lambda r: r.deploy("1.1.0", in_place=True), "1.0.0", "1.1.0", {}),
    "same": Kind(another_configuration, lambda r: r.deploy(None), "1.0.0", "1.0.0", {}),
    "mirror": Kind(one, lambda r: r.deploy(None), "1.0.0", "1.0.0", {"shadow": SHADOW}),
    "mirror gone": Kind(mirrored, lambda r: r.deploy(None), "1.0.0", "1.0.0", {}),
    "mirror promoted": Kind(mirrored, lambda r: r.deploy("1.1.0"), "1.0.0", "1.1.0", {"shadow": SHADOW}),
    "beside": Kind(one, lambda r: r.deploy(None), "1.0.0", "1.0.0", {"beside": BESIDE}),
    "beside gone": Kind(abreast, lambda r: r.deploy(None), "1.0.0", "1.0.0", {}),
    "beside promoted": Kind(abreast, lambda r: r.deploy("1.1.0"), "1.0.0", "1.1.0", {"beside": ()}),
    "rollback": Kind(two, lambda r: r.rollback(), "1.1.0", "1.0.0", {}),
    "rollback cold": Kind(two_cold, lambda r: r.rollback(), "1.1.0", "1.0.0", {}),
    "rollback in place": Kind(two, lambda r: r.rollback(in_place=True), "1.1.0", "1.0.0", {}),
}
# Where it matters at which act it ends; the others go the same ways.
WAYS = ("first", "canary", "in place", "mirror promoted", "beside", "beside promoted", "rollback")


def each_act(bench: Bench, kind: Kind) -> Iterator[int]:
    """Yield the number of each act of this kind, each time with the host as it was before."""
    kind.before(bench)
    root, kept = bench.layout.root, bench.layout.root.with_name("kept")
    shutil.copytree(root, kept, symlinks=True)
    units = bench.running.copy(), bench.enabled.copy()
    bench.acts.clear()
    kind.act(bench.rollout(**kind.settings))
    assert one_state(bench) == kind.new
    for number in range(len(bench.acts)):
        shutil.rmtree(root)
        shutil.copytree(kept, root, symlinks=True)
        for now, before in zip((bench.running, bench.enabled), units, strict=True):
            now.clear()
            now.update(before)
        bench.acts.clear()
        yield number


def one_state(bench: Bench) -> str | None:
    """Assert that state, endpoint.yml and units say with one voice what serves; return its version."""
    state = bench.state
    assert state.deploying is None
    places = [place for place in (state.promoted, state.shadow, *state.beside.values()) if place]
    assert bench.enabled == {place.instance for place in places}
    assert bench.enabled <= bench.running
    version = state.promoted.version if state.promoted else None
    beside = [(name, share.version, 100 * share.weight) for name, share in state.beside.items()]
    assert bench.variants() == ([("stable", version, 100), *beside] if version else [])
    for place in (state.promoted, state.previous, state.shadow, *state.beside.values()):
        assert place is None or copies.is_whole(bench.layout.releases / place.version, place.version)
    return version


@pytest.mark.parametrize("name", KINDS)
def test_a_fault_at_any_act_leaves_one_state_and_its_cause(name: str, bench: Bench) -> None:
    kind = KINDS[name]
    for at in each_act(bench, kind):
        engine, before = bench.rollout(**kind.settings), bench.state
        bench.fails_at = at
        with pytest.raises((RolloutError, *FAULTS)) as caught:
            kind.act(engine)
        act = bench.acts[at]
        assert str(bench.failed) in str(caught.value), act
        serves = one_state(bench)
        assert serves in (kind.old, kind.new), act
        after = bench.state
        if after.promoted == before.promoted:
            assert (after.previous, after.left) == (before.previous, before.left), act
        elif kind.old and kind.old != kind.new:
            assert after.previous == before.promoted, act
            assert str(caught.value).startswith(f"{kind.new} serves, ")
        if act != "fetch" and "mirror" not in name and name not in ("beside", "beside gone"):
            assert str(bench.failed) in after.last, act


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("broken", ["endpoint", "write", "save", "start", "stop", "enable", "disable"])
def test_what_stays_broken_keeps_nothing_from_serving_and_heals_once_it_works(
    name: str, broken: str, bench: Bench
) -> None:
    kind = KINDS[name]
    kind.before(bench)
    engine, before = bench.rollout(**kind.settings), bench.state
    # What fails first is the release itself; the way back then meets what is broken.
    bench.fails_at = f"ready {kind.new}"
    bench.broken = {broken}
    with pytest.raises((RolloutError, *FAULTS)):
        kind.act(engine)
    promoted = bench.state.promoted
    assert promoted == before.promoted
    if promoted and broken != "start":
        assert promoted.instance in bench.running, bench.acts
    bench.broken = set()
    healed = bench.rollout(**kind.settings)
    healed.settle()
    healed.tidy()
    assert one_state(bench) == kind.old


@pytest.mark.parametrize("name", WAYS)
def test_killed_at_any_act_the_next_run_finds_one_state(name: str, bench: Bench) -> None:
    class Killed(BaseException):
        """As kill -9: nothing of ours runs after it."""

    kind = KINDS[name]
    for at in each_act(bench, kind):
        engine = bench.rollout(**kind.settings)

        def kill(number: int, at: int = at) -> None:
            if number == at:
                raise Killed

        bench.on_act = kill
        with pytest.raises(Killed):
            kind.act(engine)
        bench.on_act = lambda _: None
        healed = bench.rollout(**kind.settings)
        healed.settle()
        healed.tidy()
        assert one_state(bench) in (kind.old, kind.new), bench.acts[at]
        kind.act(bench.rollout(**kind.settings))
        assert one_state(bench) == kind.new, bench.acts[at]


@pytest.mark.parametrize("name", WAYS)
def test_told_to_stop_at_any_act_it_returns_or_has_done_it(name: str, bench: Bench) -> None:
    kind = KINDS[name]
    for at in each_act(bench, kind):
        stop = Stop()
        bench.ask = stop.ask

        def tell(number: int, at: int = at, stop: Stop = stop) -> None:
            if number == at:
                stop.tell("SIGTERM")

        bench.on_act = tell
        expected: list[str | None] = [kind.new]
        try:
            kind.act(bench.rollout(**kind.settings))
        except Stopped:
            # It may come after the promotion, before what becomes of the shadow, or of others beside.
            expected = [kind.old] if not kind.settings else [kind.old, kind.new]
        assert one_state(bench) in expected, bench.acts[at]
        bench.on_act, bench.ask = lambda _: None, lambda: None


def test_several_faults_on_the_way_back_hide_neither_the_cause_nor_what_serves(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")

    def break_more(number: int) -> None:
        if bench.acts[number] == "ready 1.1.0":
            bench.broken = {"start", "endpoint"}

    bench.on_act, bench.fails_at = break_more, "ready 1.1.0"
    with pytest.raises(RolloutError) as caught:
        bench.rollout().deploy("1.1.0", in_place=True)
    assert str(caught.value).startswith(
        "1.1.0 was not deployed, 1.0.0 serves: its weights are missing. Undoing"
    )
    assert "systemctl failed; the front did not take over" in str(caught.value)
    assert bench.state.last == str(caught.value)


def test_several_faults_after_the_promotion_say_that_the_new_release_serves(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")

    def break_more(number: int) -> None:
        if bench.acts[number] == "canary 50":
            bench.broken = {"stop", "disable"}

    bench.on_act = break_more
    with pytest.raises(RolloutError, match=r"^1\.1\.0 serves, but: systemctl failed"):
        bench.rollout(keep_warm_seconds=0.0).deploy("1.1.0")
    assert bench.state.last.startswith("1.1.0 serves, but: ")


def test_several_faults_beside_a_shadow_hide_neither_the_cause_nor_what_serves(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")

    def break_more(number: int) -> None:
        if bench.acts[number] == "ready 1.1.0":
            bench.broken = {"start", "stop", "endpoint"}
            bench.running.clear()

    bench.on_act, bench.fails_at = break_more, "ready 1.1.0"
    with pytest.raises(
        RolloutError, match=r"^1\.0\.0 serves, without its shadow: its weights are missing; and "
    ):
        bench.rollout(shadow=SHADOW).deploy(None)
