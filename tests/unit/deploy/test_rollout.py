"""The state machine of deployments, with services and traffic that only take notes."""

import errno
import os
import re
import shutil
import time
from typing import Any

import pytest
import yaml

from springboard.deploy import assemble, proof, traffic
from springboard.deploy import state as deployment
from springboard.deploy.instances import Instance, InstanceError
from springboard.deploy.plan import RolloutError
from springboard.deploy.settings import Beside, ShadowRule
from springboard.deploy.state import Place, Unfinished
from springboard.deploy.stop import Stop, Stopped
from tests.unit.deploy.conftest import Bench


def test_a_fresh_host_gets_an_empty_endpoint_and_the_first_release_no_trial(bench: Bench) -> None:
    assert bench.rollout().deploy(None)
    assert bench.variants() == []
    assert not bench.rollout().deploy(None)
    assert bench.rollout().deploy("1.0.0")
    assert bench.consistent("1.0.0")
    assert bench.tried == []
    assert not bench.rollout().deploy("1.0.0")
    assert not bench.rollout().deploy(None)


def test_a_release_goes_through_its_steps_and_the_old_one_stays_warm(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    assert bench.rollout().deploy("1.1.0")
    assert bench.tried == [(10, 300.0), (50, 60.0)]
    assert bench.consistent("1.1.0")
    assert len(bench.running) == 2
    assert bench.state.previous is not None
    assert bench.rollout().rollback()
    assert bench.consistent("1.0.0")
    assert bench.tried == [(10, 300.0), (50, 60.0)]
    # And forth again, by name: it was kept warm in turn.
    assert bench.rollout().deploy("1.1.0")
    assert bench.consistent("1.1.0")


def test_what_was_warm_long_enough_stops_and_a_rollback_starts_it_again(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    bench.rollout(keep_warm_seconds=0.0).deploy("1.1.0")
    assert len(bench.running) == 1
    assert bench.rollout().rollback()
    assert bench.consistent("1.0.0")


@pytest.mark.parametrize("where", ["ready 1.1.0", "canary 10", "canary 50"])
def test_a_release_that_fails_anywhere_leaves_the_old_one_serving(bench: Bench, where: str) -> None:
    bench.rollout().deploy("1.0.0")
    bench.fails_at = where
    with pytest.raises(RolloutError, match=r"1\.1\.0 was not deployed, 1\.0\.0 serves: "):
        bench.rollout().deploy("1.1.0")
    assert bench.consistent("1.0.0")
    assert len(bench.running) == 1
    assert "1.1.0 was not deployed" in bench.state.last


@pytest.mark.parametrize("phase", ["starting", "canary at 10 %", "canary at 50 %"])
def test_whatever_a_killed_deployment_left_is_undone(bench: Bench, phase: str) -> None:
    bench.rollout().deploy("1.0.0")
    old = bench.state.promoted
    assert old
    bench.release("1.1.0")
    new = assemble.make(bench.layout, bench.host, "1.1.0")
    bench.running.add(new.name)
    state = bench.state
    state.deploying = Unfinished(version="1.1.0", instance=new.name, phase=phase)
    deployment.save(bench.layout.state, state)
    engine = bench.rollout()
    if phase != "starting":
        shares = [("stable", Instance(bench.layout, old.instance), 90), ("canary", new, 10)]
        traffic.Traffic(bench.layout, bench.host).show(shares)
    assert engine.settle()
    assert bench.consistent("1.0.0")
    assert bench.running == {old.instance}
    assert not new.folder.exists()


def test_killed_right_after_the_promotion_the_new_one_serves(bench: Bench) -> None:
    """The commit is deployment.json: endpoint.yml and units follow, whenever the next run comes."""
    bench.rollout().deploy("1.0.0")
    bench.release("1.1.0")
    new = assemble.make(bench.layout, bench.host, "1.1.0")
    bench.running.add(new.name)
    bench.enabled.add(new.name)
    state = bench.state
    state.previous, state.promoted = state.promoted, Place(version="1.1.0", instance=new.name)
    state.warm_until = time.time() + 100
    deployment.save(bench.layout.state, state)
    assert bench.rollout().unsettled()
    assert bench.rollout().settle()
    assert bench.consistent("1.1.0")
    assert not bench.rollout().unsettled()


def test_an_interrupted_trial_is_rolled_back(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    stop = Stop()
    bench.ask = stop.ask
    engine = bench.rollout()
    bench.on_canary = lambda: stop.tell("SIGTERM")
    with pytest.raises(Stopped):
        engine.deploy("1.1.0")
    assert bench.consistent("1.0.0")
    assert bench.state.last == "1.1.0 was not deployed, 1.0.0 serves: told to stop (SIGTERM)"


def test_a_changed_configuration_is_another_instance_and_no_trial(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    before = bench.state.promoted
    bench.layout.unit.write_text("[Service]\nMemoryMax=1G")
    assert bench.rollout().deploy(None)
    assert bench.consistent("1.0.0")
    assert bench.state.promoted != before
    assert bench.state.previous is None
    assert len(bench.running) == 1
    assert bench.tried == []


def test_a_shadow_comes_stays_is_promoted_and_goes(bench: Bench) -> None:
    mirrored = {"shadow": ShadowRule(release="1.1.0", sample_percent=20)}

    def shadow() -> Any:
        return yaml.safe_load(bench.layout.endpoint.read_text())["shadow"]

    bench.rollout().deploy("1.0.0")
    assert bench.rollout(**mirrored).deploy(None)
    assert (shadow()["release"], shadow()["sample_percent"]) == ("1.1.0", 20)
    assert bench.variants() == [("stable", "1.0.0", 100)]
    assert bench.enabled == bench.running
    assert len(bench.running) == 2
    assert not bench.rollout(**mirrored).deploy(None)
    bench.running.clear()  # both come back
    assert bench.rollout(**mirrored).deploy(None)
    assert len(bench.running) == 2
    assert bench.rollout(**mirrored).deploy("1.1.0")
    assert bench.consistent("1.1.0")
    assert shadow() is None
    bench.fails_at = "ready 1.2.0"
    with pytest.raises(RolloutError, match=r"1\.1\.0 serves, without its shadow: its weights are missing"):
        bench.rollout(shadow=ShadowRule(release="1.2.0")).deploy(None)
    assert not bench.rollout().deploy(None)  # the failed shadow left nothing
    assert bench.consistent("1.1.0")


def test_others_serve_beside_with_their_shares_and_a_trial_has_its_part(bench: Bench) -> None:
    other = Beside(name="other", release="2.0.0", weight=30, workers=2)
    abreast = {"beside": (other,), "weight": 70}
    bench.rollout().deploy("1.0.0")
    assert bench.rollout(**abreast).deploy(None)
    assert bench.variants() == [("stable", "1.0.0", 7000), ("other", "2.0.0", 3000)]
    assert bench.enabled == bench.running
    assert len(bench.running) == 2
    assert not bench.rollout(**abreast).deploy(None)
    bench.running.clear()  # both come back
    assert bench.rollout(**abreast).deploy(None)
    assert len(bench.running) == 2
    seen: list[list[tuple[str, str, int]]] = []
    bench.on_canary = lambda: seen.append(bench.variants())
    assert bench.rollout(**abreast, keep_warm_seconds=0.0).deploy("1.1.0")
    assert seen[0] == [("stable", "1.0.0", 6300), ("canary", "1.1.0", 700), ("other", "2.0.0", 3000)]
    assert bench.variants() == [("stable", "1.1.0", 7000), ("other", "2.0.0", 3000)]
    lighter = {"beside": (other.model_copy(update={"weight": 0}),), "weight": 70}
    assert bench.rollout(**lighter).deploy(None)
    assert bench.variants() == [("stable", "1.1.0", 7000), ("other", "2.0.0", 0)]
    with pytest.raises(RolloutError, match=r"variant other is release 1\.1\.0 on 1 workers, as another"):
        bench.rollout(beside=(Beside(name="other", release="1.1.0"),)).deploy(None)
    bench.fails_at = "ready 3.0.0"
    with pytest.raises(RolloutError, match=r"1\.1\.0 serves, without what is to be beside it: its weights"):
        bench.rollout(beside=(Beside(name="other", release="3.0.0"),)).deploy(None)
    assert bench.variants() == [("stable", "1.1.0", 7000), ("other", "2.0.0", 0)]
    assert bench.rollout().deploy(None)
    assert bench.consistent("1.1.0")


def test_a_shadow_whose_folder_is_gone_keeps_nothing_from_being_put_right(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    mirrored = {"shadow": ShadowRule(release="1.1.0", sample_percent=20)}
    bench.rollout(**mirrored).deploy(None)
    place = bench.state.shadow
    assert place
    shutil.rmtree(bench.layout.instances / place.instance)
    assert bench.rollout().settle()
    assert yaml.safe_load(bench.layout.endpoint.read_text())["shadow"] is None
    assert bench.rollout(**mirrored).deploy(None)
    assert yaml.safe_load(bench.layout.endpoint.read_text())["shadow"]["release"] == "1.1.0"
    assert not bench.rollout(**mirrored).deploy(None)


def test_only_so_many_releases_stay_on_disk(bench: Bench) -> None:
    for n, version in enumerate(("1.0.0", "1.1.0", "1.2.0", "1.3.0")):
        bench.rollout().deploy(version)
        os.utime(bench.layout.releases / version, (n, n))
    (bench.layout.releases / "1.9.0.part").mkdir()  # a fetch was killed
    (bench.layout.releases / "notes.txt").write_text("somebody's")
    bench.rollout().tidy()
    kept = {path.name for path in bench.layout.releases.iterdir()}
    assert kept == {"1.1.0", "1.2.0", "1.3.0", "notes.txt"}


def test_a_release_of_another_torch_is_refused_by_name(bench: Bench) -> None:
    bench.release("1.0.0", torch="2.12.0+cu126")
    with pytest.raises(InstanceError, match=r"built with torch 2\.12\.0\+cu126"):
        bench.rollout().deploy("1.0.0")


def test_another_torch_on_the_host_leaves_what_serves_and_the_way_back_to_it(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    before = bench.state.promoted
    bench.runtime("w2", "2.14.0+cu130")
    assert bench.plan() == []
    assert not bench.rollout().deploy(None)
    assert bench.state.promoted == before
    assert "1.0.0 goes on as it is: release 1.0.0 was built with torch 2.13.0" in bench.said[-1]
    bench.release("1.1.0", torch="2.14.0+cu130")
    assert bench.rollout().deploy("1.1.0")
    assert bench.rollout().rollback()
    assert bench.consistent("1.0.0")
    # Once it is no longer up, it cannot come back.
    bench.rollout().deploy("1.1.0")
    assert before
    bench.running.discard(before.instance)
    with pytest.raises(InstanceError, match=r"release 1\.0\.0 was built with torch 2\.13\.0"):
        bench.rollout().rollback()
    assert bench.consistent("1.1.0")


def test_a_full_disk_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.rollout().deploy("1.0.0")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(assemble, "make", full)
    with pytest.raises(RolloutError, match=r"1\.0\.0 serves: the disk is full .*: free or enlarge it"):
        bench.rollout().deploy("1.1.0")
    assert bench.consistent("1.0.0")


def test_a_plan_changes_nothing(bench: Bench) -> None:
    bench.rollout().deploy("1.0.0")
    bench.release("1.1.0")
    before = {path: path.stat().st_mtime_ns for path in bench.layout.root.rglob("*")}
    wider = bench.host.model_copy(update={"allowed_buckets": ("dives",)})
    assert bench.plan("1.1.0")[-1] == "have 1.1.0 serve, if it proves itself"
    assert bench.plan() == []
    assert bench.plan(host=wider) == [f"write {bench.layout.endpoint}"]
    assert {path: path.stat().st_mtime_ns for path in bench.layout.root.rglob("*")} == before


def outcomes(bench: Bench) -> dict[str, float]:
    text = (bench.layout.figures / "springboard.prom").read_text()
    return {kind: float(n) for kind, n in re.findall(r'_deployments_total{outcome="(\w+)"} (\S+)', text)}


def test_how_deployments_ended_is_told_to_whoever_watches(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.rollout().deploy("1.0.0")
    assert not bench.layout.figures.exists(), "nobody watches"
    bench.layout.figures.mkdir(parents=True)
    bench.rollout().deploy("1.1.0")
    assert outcomes(bench) == {"promoted": 1, "failed": 0, "rolled_back": 0}
    bench.rollout().rollback()
    assert outcomes(bench) == {"promoted": 1, "failed": 0, "rolled_back": 1}

    def broken(*_: object) -> float:
        raise InstanceError("scores wrongly")

    monkeypatch.setattr(Instance, "warm_up", broken)
    with pytest.raises(RolloutError):
        bench.rollout().deploy("1.1.0", in_place=True)
    assert outcomes(bench) == {"promoted": 1, "failed": 1, "rolled_back": 1}
    text = (bench.layout.figures / "springboard.prom").read_text()
    assert len(re.findall(r"_last_timestamp_seconds{outcome=\"\w+\"} \d{10}", text)) == 3
    assert (bench.layout.figures / "springboard.prom").stat().st_mode & 0o777 == 0o644


def test_what_serves_can_be_checked_by_its_golden_clip(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RolloutError, match="nothing is deployed"):
        proof.prove(bench.layout, bench.host, bench.said.append)
    bench.rollout().deploy("1.0.0")
    proof.prove(bench.layout, bench.host, bench.said.append)
    assert bench.said[-1].startswith("1.0.0 scores its golden clip 50.00")

    def off(*_: object) -> float:
        raise InstanceError("gives the golden clip 10 points")

    monkeypatch.setattr(Instance, "warm_up", off)
    with pytest.raises(InstanceError, match="10 points"):
        proof.prove(bench.layout, bench.host, bench.said.append)
