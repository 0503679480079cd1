"""A host's endpoints after its first, beside what Ansible deploys, on the bench."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from springboard.cli.app import app
from springboard.control import further
from springboard.control.errors import ControlError
from springboard.control.store import Folder
from springboard.deploy import memory
from springboard.deploy import state as deployment
from springboard.endpoint import document as endpoints
from springboard.endpoint.document import Endpoint, EndpointFileError
from springboard.system.gpu import GpuError
from tests.unit.control.hosts import Control
from tests.unit.control.test_hosted import CANARY, Killed

AT_ONCE = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
JOBS = {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://scores/out"}}}


@pytest.fixture
def both(control: Control) -> Control:
    """A host with a second endpoint beside its first."""
    control.create("1.0.0")
    control.work()
    control.create("2.0.0", "others")
    control.work_further()
    return control


def served(control: Control, slot: int = 1) -> list[tuple[str, str]]:
    """Return the name and the releases that a further front is told."""
    found = endpoints.load(control.place.at(slot).endpoint)
    return [(found.endpoint, one.release) for one in found.variants]


def serves(control: Control, version: str, slot: int = 1) -> bool:
    """Whether documents, units and endpoint.yml say that this is what others serves."""
    told, place = control.told("others"), control.place.at(slot)
    state = deployment.load(place.state)
    if state.promoted is None:
        return False
    mine = {name for name in control.bench.running if name.endswith(f"-{slot}")}
    return (
        (told["EndpointStatus"], state.promoted.version, state.deploying) == ("InService", version, None)
        and served(control, slot) == [("others", version)]
        and mine == {state.promoted.instance} == {n for n in control.bench.enabled if n.endswith(f"-{slot}")}
    )


def after(condition: Callable[[], bool], looks: int = 5) -> Callable[[], bool]:
    """Return whether that is so and an agent has asked some times since."""
    asked = 0

    def done() -> bool:
        nonlocal asked
        asked = asked + 1 if condition() else 0
        return asked > looks

    return done


def left(control: Control, slot: int = 1) -> list[Path]:
    """Return what there is of a further endpoint."""
    place = control.place.at(slot)
    found = [place.own, place.endpoint, *place.instances.glob(f"*-{slot}")]
    units = control.bench.running | control.bench.enabled
    return [one for one in found if one.exists()] + [Path(one) for one in units if one.endswith(f"-{slot}")]


def test_two_endpoints_live_side_by_side_and_neither_touches_the_other(both: Control) -> None:
    bench = both.bench
    assert serves(both, "2.0.0")
    assert bench.variants() == [("AllTraffic", "1.0.0", 100)]
    second = both.place.at(1)
    assert (second.own / "releases" / "2.0.0").is_dir()
    assert not (both.place.releases / "2.0.0").exists()

    for words in (["deploy", "1.1.0"], ["tidy"], ["rollback"]):  # as Ansible and the timer do
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        assert serves(both, "2.0.0"), words
    both.work()
    assert bench.variants() == [("AllTraffic", "1.0.0", 100)]

    both.update("2.1.0", "others", DeploymentConfig=CANARY)
    both.work_further()
    assert serves(both, "2.1.0")
    assert bench.tried == [(10, 300.0), (50, 60.0), (20, 60.0)]
    bench.broken = {"canary 20"}
    both.update("2.2.0", "others", DeploymentConfig=CANARY)
    both.work_further()
    assert serves(both, "2.1.0")
    assert both.told("others")["FailureReason"] == "2.2.0 was not deployed, 2.1.0 serves: error ratio: high"
    assert bench.variants() == [("AllTraffic", "1.0.0", 100)]

    both.call("DeleteEndpoint", EndpointName="others")
    both.work_further(done=lambda: False)
    assert left(both) == []
    assert [one["name"] for one in both.store.every("endpoint")] == ["dives"]
    assert len(bench.running) == len(bench.enabled) + 1 == 2  # what the rollback left is warm


def test_the_first_goes_and_the_next_one_takes_its_place(both: Control) -> None:
    both.call("DeleteEndpoint", EndpointName="dives")
    both.work()
    assert serves(both, "2.0.0")
    assert both.bench.variants() == []
    both.create("1.1.0", "next")
    both.work(lambda: both.told("next")["EndpointStatus"] == "InService")
    assert both.bench.variants() == [("AllTraffic", "1.1.0", 100)]
    assert serves(both, "2.0.0")


def test_what_ansible_deploys_under_a_name_that_a_further_one_has_is_said(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    control.create("1.0.0")
    control.work()
    control.create("2.0.0", "scores")  # as host.yml calls the first
    control.work_further()
    control.call("DeleteEndpoint", EndpointName="dives")
    control.work(lambda: len(control.store.every("endpoint")) == 1)
    control.deploy("1.1.0")
    said = "1.1.0 was deployed as scores, and another endpoint of that name is here already"
    control.work(lambda: said in caplog.text)
    assert control.bench.variants() == [("stable", "1.1.0", 100)]


def test_an_agent_that_is_killed_anywhere_heals_and_leaves_the_first_alone(both: Control) -> None:
    bench, first = both.bench, both.bench.state
    number = 0
    while True:
        begin, version = len(bench.acts), f"3.{number}.0"

        def kill(act: int, at: int = begin + number) -> None:
            if act == at:
                raise Killed

        bench.on_act = kill
        both.update(version, "others", DeploymentConfig=CANARY)
        try:
            both.work_further()
        except Killed:
            bench.on_act = lambda _: None
        else:
            break
        assert CliRunner().invoke(app, ["tidy"]).exit_code == 0
        both.work_further()
        assert serves(both, version), f"killed at {bench.acts[begin + number]}"
        assert bench.state == first
        assert first.promoted
        assert first.promoted.instance in bench.running
        number += 1
    assert number > 10, "it was to be killed in every act"


@pytest.mark.parametrize("status", ["Creating", "Deleting"])
def test_one_that_is_killed_as_an_endpoint_comes_or_goes_leaves_it_to_the_next(
    control: Control, status: str
) -> None:
    control.create("1.0.0")
    control.work()
    for number in range(100):
        control.create(f"2.{number}.0", "others")
        if status == "Deleting":
            control.work_further()
            control.call("DeleteEndpoint", EndpointName="others")
        begin = len(control.bench.acts)

        def kill(act: int, at: int = begin + number) -> None:
            if act == at:
                raise Killed

        control.bench.on_act = kill
        killed = False
        try:
            control.work_further(done=(lambda: False) if status == "Deleting" else None)
        except Killed:
            killed = True
        control.bench.on_act = lambda _: None
        if killed:
            assert control.told("others")["EndpointStatus"] == status
        if status == "Creating":
            control.work_further()
            assert serves(control, f"2.{number}.0")
            control.call("DeleteEndpoint", EndpointName="others")
        control.work_further(done=lambda: False)
        assert left(control) == []
        if not killed:
            break
    assert number > 3, "it was to be killed in every act"


def test_what_is_kept_warm_is_stopped_when_that_is_over(both: Control) -> None:
    kept = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": AT_ONCE, "TerminationWaitInSeconds": 600}
    }
    both.update("2.1.0", "others", DeploymentConfig=kept)
    both.work_further()
    place = both.place.at(1)
    state = deployment.load(place.state)
    assert state.previous
    assert state.previous.instance in both.bench.running
    deployment.save(place.state, state.model_copy(update={"warm_until": 1.0}))
    both.work_further(done=after(lambda: serves(both, "2.1.0")))


def test_what_configure_changes_is_followed_beside_what_serves(
    both: Control, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def instance() -> str:
        promoted = deployment.load(both.place.at(1).state).promoted
        assert promoted
        return promoted.instance

    before, tried = instance(), both.bench.acts.count("make")
    both.bench.runtime("w2", "2.13.0+cu130")
    both.bench.fails_at = "ready 2.0.0"
    said = "2.0.0 was not deployed, 2.0.0 serves: its weights are missing"
    both.work_further(done=after(lambda: said in caplog.text, 20))
    assert (instance(), both.bench.acts.count("make") - tried) == (before, 1)
    assert before in both.bench.running
    monkeypatch.setattr(further, "_AGAIN_SECONDS", 0.0)
    both.bench.fails_at = "ready 2.0.0"  # and what was in the way passes
    both.work_further(done=after(lambda: instance() != before and serves(both, "2.0.0")))
    both.configure(limits={"deadline_seconds": 30})
    both.work_further(done=after(lambda: serves(both, "2.0.0")))
    assert endpoints.load(both.place.at(1).endpoint).limits.deadline_seconds == 30
    both.bench.runtime("w3", "2.99.0")  # on which the release cannot run
    now = instance()
    both.work_further(done=after(lambda: True, 20))
    assert instance() == now
    both.bench.runtime("w2", "2.13.0+cu130")
    both.place.at(1).state.unlink()
    both.work_further(done=after(lambda: serves(both, "2.0.0")))


def test_what_host_yml_has_for_the_first_alone_is_no_others(both: Control) -> None:
    both.configure(
        **{
            "async": {"output": "s3://theirs/out"},
            "aliases": ["aqa-2021"],
            "shadow": {"release": "9.0.0"},
            "allowed_buckets": ["dives"],
        }
    )

    def found() -> Endpoint:
        return endpoints.load(both.place.at(1).endpoint)

    both.work_further(done=after(lambda: found().allowed_buckets == ("dives",)))
    assert (found().aliases, found().asynchronous, found().shadow) == ((), None, None)


def test_asynchronous_requests_are_the_first_ones(both: Control) -> None:
    config = both.make("2.1.0", JOBS)
    with pytest.raises(ControlError, match="AsyncInferenceConfig is the first endpoint's of a host"):
        both.call("UpdateEndpoint", EndpointName="others", EndpointConfigName=config)
    # Nor does root take it from a front that was taken over.
    found = both.store.read("endpoint", "others")
    assert found
    wanted = {**found[0]["wanted"], "async": JOBS["AsyncInferenceConfig"]}
    both.store.write("endpoint", "others", {**found[0], "status": "Updating", "wanted": wanted}, found[1])
    both.work_further()
    assert serves(both, "2.0.0")
    assert both.told("others")["FailureReason"] == further.NO_WORKER


def test_what_memory_does_not_hold_is_a_failed_endpoint(
    control: Control, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    control.create("1.0.0")
    control.work()
    control.create("2.0.0", "others")
    asked: list[int] = []

    def holds(running: Any, more: int) -> bool:
        asked.append(len(list(running)))
        if len(asked) > 1:
            raise GpuError("the driver is away")
        return False

    monkeypatch.setattr(memory, "holds", holds)
    control.work_further()
    told = control.told("others")
    assert (told["EndpointStatus"], told["FailureReason"]) == ("Failed", further.NO_MEMORY)
    assert control.bench.running == control.bench.enabled
    control.call("DeleteEndpoint", EndpointName="others")
    control.work_further(done=lambda: False)
    assert left(control) == []
    control.create("2.1.0", "others")
    control.work_further()
    assert serves(control, "2.1.0")
    assert (asked, "whether another endpoint fits cannot be seen: the driver is away" in caplog.text) == (
        [1, 1],
        True,
    )


def test_what_has_lost_its_document_leaves_nothing(both: Control, folder: Folder) -> None:
    (folder._folder / "endpoint" / "others.json").unlink()
    both.work_further(done=lambda: False)
    assert left(both) == []
    assert both.serves("1.0.0")


def test_another_one_in_the_place_of_one_that_is_gone_begins_anew(both: Control, folder: Folder) -> None:
    (folder._folder / "endpoint" / "others.json").unlink()
    both.create("3.0.0", "third")
    both.work_further()
    assert served(both) == [("third", "3.0.0")]
    assert {path.name.partition("_")[0] for path in both.place.instances.glob("*-1")} == {"3.0.0"}


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")])
def test_what_is_left_of_one_whose_name_is_lost_takes_no_name_of_the_first(
    control: Control, folder: Folder, damage: Callable[[Path], None]
) -> None:
    control.create("1.0.0", "scores")  # as host.yml calls the first
    control.work()
    control.create("2.0.0", "others")
    control.work_further()
    (folder._folder / "endpoint" / "others.json").unlink()
    path = control.place.at(1).endpoint
    damage(path)
    told: set[str] = set()

    def look(_: int) -> None:
        with suppress(EndpointFileError):
            told.add(endpoints.load(path).endpoint)

    control.bench.on_act = look
    control.work_further(done=lambda: False)
    assert (told, left(control)) == (set(), [])
    assert control.serves("1.0.0")
