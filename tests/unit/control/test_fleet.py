"""Hosts of a fleet that share their documents: one tries what is asked for, the others follow the channel."""

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from springboard.control import hosted
from springboard.control.documents import Documents
from springboard.control.errors import ControlError
from springboard.control.fleet import FleetAgent, FleetEndpoints
from springboard.control.lease import Lease
from springboard.deploy import settings
from springboard.deploy import state as deployment
from springboard.torchserve import settings as torchserve
from tests.unit.control.fleets import CANARY, KEY, NAME, Fleet, Killed
from tests.unit.control.hosts import IDENTITY


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setattr(torchserve, "_LONGEST", 500)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(hosted, "_AGAIN_SECONDS", 0)
    monkeypatch.setattr(Lease, "_keep", lambda *_: None)
    fleet = Fleet(tmp_path, monkeypatch)
    monkeypatch.setattr("springboard.releases.bucket.boto3.client", lambda *_, **__: fleet.objects)
    return fleet


def test_what_one_host_has_tried_the_others_follow_by_their_own_trials(fleet: Fleet) -> None:
    with fleet.host("one") as one:
        fleet.create("1.0.0", SPRINGBOARD_WORKERS="3")
        one.work()
        assert one.serves("1.0.0")
        fleet.update("1.1.0", DeploymentConfig=CANARY)
        seen: list[str] = []
        one.bench.on_canary = lambda: seen.append(fleet.channel["release"])
        one.work()
        assert seen == ["1.0.0"], "the channel moves last"
        assert one.serves("1.1.0")
        assert fleet.told()["EndpointConfigName"] == "m1-1-0"
        assert one("follow") == "1.1.0 serves, as the channel says\nunchanged\n"
        assert not one.place.followed.exists()
    with fleet.host("two") as two:
        assert two("follow").endswith("changed\n")  # a new one
        assert two.serves("1.1.0")
        fleet.update("1.2.0", DeploymentConfig=CANARY)
        with fleet.host("three") as three:
            three.work()
            assert three.serves("1.2.0")
        assert two("follow").endswith("changed\n")
        assert two.serves("1.2.0")
        assert two.bench.tried == [(20, 60.0)]
        two.look()
        assert two("tidy").endswith("unchanged\n")
    assert fleet.told()["EndpointStatus"] == "InService"


def test_workers_shadow_and_weights_are_the_channel_s_too_and_go_with_their_document(fleet: Fleet) -> None:
    first, second = fleet.make("1.0.0", SPRINGBOARD_WORKERS="3"), fleet.make("1.1.0")
    variants = [
        {"VariantName": name, "ModelName": model, "InitialVariantWeight": weight}
        for name, model, weight in (("Old", first, 3), ("New", second, 1))
    ]
    shadow = {"VariantName": "Next", "ModelName": fleet.make("1.2.0"), "InitialVariantWeight": 0.3}
    fleet.call(
        "CreateEndpointConfig",
        EndpointConfigName="both",
        ProductionVariants=variants,
        ShadowProductionVariants=[shadow],
    )
    fleet.call("CreateEndpoint", EndpointName=NAME, EndpointConfigName="both")
    with fleet.host("one") as one:
        one.work()
        assert sorted(one.bench.variants()) == [("New", "1.1.0", 250_000), ("Old", "1.0.0", 750_000)]
        assert one("follow").endswith("unchanged\n")
    with fleet.host("two") as two:
        two("follow")
        host = settings.here(two.place)
        assert (host.variant, host.worker.workers, host.weight) == ("Old", 3, 7500)
        assert host.shadow
        assert host.shadow.release == "1.2.0"
        assert sorted(two.bench.variants()) == [("New", "1.1.0", 250_000), ("Old", "1.0.0", 750_000)]
        fleet.update("1.3.0")
        with fleet.host("three") as three:
            three.work()
        two("follow")
        assert two.serves("1.3.0")
        assert settings.here(two.place).shadow is None


def test_what_fails_on_one_host_no_other_hears_of(fleet: Fleet) -> None:
    fleet.create("1.0.0")
    with fleet.host("one") as one:
        one.work()
        before = fleet.objects.held[KEY]
        one.bench.broken = {"canary 20"}
        fleet.update("1.1.0", DeploymentConfig=CANARY)
        one.work()
        assert one.serves("1.0.0")
        assert one("follow").endswith("unchanged\n")
    told = fleet.told()
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", "m1-0-0")
    assert told["FailureReason"] == "1.1.0 was not deployed, 1.0.0 serves: error ratio: high"
    assert fleet.objects.held[KEY] == before


def test_of_a_holder_that_is_killed_anywhere_another_does_it_anew(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.create("1.0.0")
    with fleet.host("first") as first:
        first.work()
    number = 0
    while True:
        version = f"2.{number}.0"
        with fleet.host(f"dies-{number}") as dies:
            dies("follow")
            begin = len(dies.bench.acts)

            def kill(act: int, at: int = begin + number) -> None:
                if act == at:
                    raise Killed

            dies.bench.on_act = kill
            fleet.update(version, DeploymentConfig=CANARY)
            change = Lease._change
            monkeypatch.setattr(Lease, "_change", lambda *_: None)
            try:
                dies.work()
            except Killed:
                dies.bench.on_act = lambda _: None
                monkeypatch.setattr(Lease, "_change", change)
            else:
                break
            with fleet.host(f"heals-{number}") as heals:
                heals("follow")
                heals.look()
                assert fleet.told()["EndpointStatus"] != "InService", "it is not dead for long enough"
                fleet.expire()
                heals.work()
                assert heals.serves(version), f"killed at {dies.bench.acts[begin + number]}"
            assert fleet.channel["release"] == version
            assert fleet.told()["EndpointConfigName"] == f"m2-{number}-0"
            # Back again it is one that follows.
            dies.look()
            dies("tidy")
            dies("follow")
            assert dies.serves(version)
        number += 1
    assert number > 10, "it was to be killed in every act"


def test_one_that_dies_on_its_way_back_is_told_as_it_would_have(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.create("1.0.0")
    monkeypatch.setattr(Lease, "_change", lambda *_: None)
    with fleet.host("one") as one:
        one.work()
        fleet.expire()
        one.bench.broken = {"canary 20"}
        fleet.update("1.1.0", DeploymentConfig=CANARY)

        def kill(_: int) -> None:
            if fleet.told()["EndpointStatus"] == "RollingBack":
                raise Killed

        one.bench.on_act = kill
        with pytest.raises(Killed):
            one.work()
    with fleet.host("two") as two:
        two("follow")
        two.look()
        fleet.expire()
        two.work()
        assert two.serves("1.0.0")
    told = fleet.told()
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", "m1-0-0")
    assert told["FailureReason"] == "1.1.0 was not deployed, 1.0.0 serves: error ratio: high"


def test_who_loses_the_lease_in_its_trial_goes_back_and_tells_nothing(fleet: Fleet) -> None:
    fleet.create("1.0.0")
    with fleet.host("one") as one:
        one.work()
        fleet.update("1.1.0", DeploymentConfig=CANARY)

        taken = ExitStack()
        one.bench.on_canary = lambda: taken.enter_context(fleet.taken_over())
        one.work(lambda: bool(one.bench.tried) and not one.bench.state.deploying)
        assert one.serves("1.0.0")
        assert fleet.told()["EndpointStatus"] == "Updating"
        assert fleet.channel["release"] == "1.0.0"
    with fleet.host("two") as two:
        two("follow")
        two.look()
        fleet.expire()
        two.work()
        assert two.serves("1.1.0")
    assert fleet.channel["release"] == "1.1.0"


def test_who_loses_the_lease_before_the_channel_moved_goes_back_too(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.create("1.0.0")
    with fleet.host("one") as one:
        one.work()
        fleet.update("1.1.0", DeploymentConfig=CANARY)
        move = FleetAgent._move

        def lose(*asked: Any, **more: Any) -> None:
            taken.enter_context(fleet.taken_over())
            move(*asked, **more)

        monkeypatch.setattr(FleetAgent, "_move", lose)
        with ExitStack() as taken:
            one.work(lambda: bool(one.bench.tried))
            assert one.serves("1.1.0")
            assert fleet.channel["release"] == "1.0.0"
            assert one("follow").endswith("changed\n")
            assert one.serves("1.0.0")


def test_what_ansible_rolls_over_the_fleet_describe_tells_once_the_channel_moved(fleet: Fleet) -> None:
    fleet.move("1.0.0", canary={"bake_seconds": 7, "steps": []})
    with fleet.host("one") as one:
        one("follow")
        one.work(lambda: bool(fleet.store.every("endpoint")))
        assert one.serves("1.0.0", "stable")
        assert fleet.told()["EndpointConfigName"] == "dive-1-0-0"
        fleet.update("1.1.0", DeploymentConfig=CANARY)
        one.work()
        one("deploy", "1.2.0")
        one.look()
        assert fleet.told()["EndpointConfigName"] == "m1-1-0", "in the middle of a roll"
        assert "1.2.0 was deployed here" in one("follow")
        fleet.move("1.2.0", canary={"bake_seconds": 7, "steps": []})
        one.work()
        assert fleet.told()["EndpointConfigName"] == "dive-1-2-0"
        assert fleet.channel["canary"] == {"bake_seconds": 7, "steps": []}
        assert fleet.channel["settings"]["variant"] == "AllTraffic"
        assert one("follow").endswith("unchanged\n")
        assert one.serves("1.2.0")


def test_settings_that_ansible_writes_leave_the_document_its_own(fleet: Fleet) -> None:
    fleet.create("1.0.0", SPRINGBOARD_WORKERS="3")
    with fleet.host("one") as one:
        one.work()
        fleet.move("1.0.0", settings={"ready_timeout_seconds": 60, "shadow": {"release": "1.6.0"}})
        one.look()
    told = fleet.channel["settings"]
    assert (told["variant"], told["workers"]) == ("AllTraffic", 3)
    assert (told["ready_timeout_seconds"], "shadow" in told) == (60, False)
    assert fleet.told()["EndpointConfigName"] == "m1-0-0"


def test_what_drove_a_host_by_documents_of_its_own_does_so_no_more(fleet: Fleet) -> None:
    fleet.move("1.0.0")
    with fleet.host("one") as one:
        driven = settings.Driven(endpoint="dives", variant="Old", weight=1, beside=())
        one.place.driven.parent.mkdir(parents=True, exist_ok=True)
        one.place.driven.write_text(driven.model_dump_json())
        assert one("follow").endswith("changed\n")
        assert one.serves("1.0.0", "stable")


def test_hosts_without_an_agent_any_more_are_driven_by_nothing_once_the_channel_is_ansible_s(
    fleet: Fleet,
) -> None:
    fleet.create("1.0.0")
    with fleet.host("one") as one:
        one.work()
        one.configure(follow={})
        one.place.driven.unlink()
        assert one("follow").endswith("unchanged\n")  # before Ansible comes to the channel
        assert not one.place.driven.exists()
        fleet.move("1.0.0")
        assert one("follow").endswith("changed\n")
        assert one.serves("1.0.0", "stable")


def test_a_model_that_no_host_can_have_ends_the_update(fleet: Fleet) -> None:
    fleet.create("1.0.0")
    with fleet.host("one") as one:
        one.work()
        fleet.update("1.1.0", DeploymentConfig=CANARY)
        one.bench.broken = {"fetch"}
        one.work()
        assert fleet.told()["FailureReason"] == "S3 could not be reached"
        assert one.serves("1.0.0")


def test_a_host_that_somebody_deploys_to_leaves_it_to_others(fleet: Fleet) -> None:
    fleet.create("1.0.0")
    with fleet.host("one") as one:
        one.place.lock.parent.mkdir(parents=True, exist_ok=True)
        with deployment.alone(one.place.lock, "springboard deploy", wait=False):
            one.look()
            assert fleet.told()["EndpointStatus"] == "Creating"
        one.work()
        assert one.serves("1.0.0")


def test_what_a_fleet_has_not_is_refused(fleet: Fleet) -> None:
    config = fleet.make("1.0.0")
    with pytest.raises(ControlError, match=r"serve one endpoint, scores \(springboard_endpoint\)"):
        fleet.call("CreateEndpoint", EndpointName="dives", EndpointConfigName=config)
    fleet.call("CreateEndpoint", EndpointName=NAME, EndpointConfigName=config)
    with pytest.raises(ControlError, match="Cannot create already existing endpoint"):
        fleet.call("CreateEndpoint", EndpointName=NAME, EndpointConfigName=config)
    with fleet.host("one") as one:
        one.work()
    with pytest.raises(ControlError, match="The endpoint of a fleet is not deleted while it serves"):
        fleet.call("DeleteEndpoint", EndpointName=NAME)
    waits = {"OutputConfig": {"S3OutputPath": "s3://scores/out"}}
    variants = [{"VariantName": "AllTraffic", "ModelName": config}]
    fleet.call(
        "CreateEndpointConfig",
        EndpointConfigName="waits",
        ProductionVariants=variants,
        AsyncInferenceConfig=waits,
    )
    with pytest.raises(ControlError, match="AsyncInferenceConfig is not offered in a fleet"):
        fleet.call("UpdateEndpoint", EndpointName=NAME, EndpointConfigName="waits")


def test_of_two_who_create_it_at_once_through_two_fronts_one_is_told(fleet: Fleet) -> None:
    asked = {"EndpointName": NAME, "EndpointConfigName": fleet.make("1.0.0")}
    other = FleetEndpoints(Documents(fleet.store, IDENTITY, registry="s3://models"), name=NAME)

    def quicker() -> None:
        fleet.objects.before_put = lambda: None
        other.operations["CreateEndpoint"]({**asked})

    fleet.objects.before_put = quicker  # once the first has seen that there is none
    with pytest.raises(ControlError, match="Cannot create already existing endpoint"):
        fleet.call("CreateEndpoint", **asked)
    assert [one["slot"] for one in fleet.store.every("endpoint")] == [0]


def test_an_endpoint_that_never_served_is_deleted(fleet: Fleet) -> None:
    fleet.create("1.0.0")
    with fleet.host("one") as one:
        one.bench.broken = {"fetch"}
        one.work(lambda: fleet.told()["EndpointStatus"] == "Failed")
        assert fleet.channel == {}
        fleet.call("DeleteEndpoint", EndpointName=NAME)
        one.work()
        assert fleet.store.every("endpoint") == []
