"""A host that the control plane's documents drive, beside `springboard deploy`, on the bench."""

import itertools
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import pytest
from mypy_boto3_s3 import S3Client
from typer.testing import CliRunner

from springboard.cli.app import app
from springboard.control.errors import ControlError
from springboard.control.store import Folder, Prefix
from springboard.deploy import settings
from springboard.endpoint import document as endpoints
from springboard.endpoint.asynchronous import Async
from tests.stands.objects import Objects
from tests.unit.control.hosts import IDENTITY, Control
from tests.unit.control.test_agent import blue_green

CANARY = blue_green("CANARY", CanarySize={"Type": "CAPACITY_PERCENT", "Value": 20})


class Killed(BaseException):
    """As by -9: nobody catches it."""


@pytest.mark.parametrize("shared", [False, True])
def test_an_endpoint_lives_from_its_creation_to_its_end(control: Control, shared: bool) -> None:
    if shared:
        control = Control(control.bench, Prefix("s3://documents/gpu1", cast("S3Client", Objects())))
    control.create("1.0.0")
    assert control.told()["EndpointStatus"] == "Creating"
    control.work()
    assert control.serves("1.0.0")
    control.update("1.1.0", DeploymentConfig=CANARY)
    seen: list[str] = []
    control.bench.on_canary = lambda: seen.append(control.told()["EndpointStatus"])
    control.work()
    assert control.serves("1.1.0")
    assert control.bench.tried == [(20, 60.0)]
    assert seen == ["Updating"]
    assert control.told()["LastDeploymentConfig"] == CANARY

    control.bench.broken = {"canary 20"}
    control.update("1.2.0", DeploymentConfig=CANARY)
    control.work()
    assert control.serves("1.1.0")
    assert control.told()["FailureReason"] == "1.2.0 was not deployed, 1.1.0 serves: error ratio: high"
    assert control.told()["EndpointConfigName"] == "m1-1-0"

    control.call("DeleteEndpoint", EndpointName="dives")
    control.work()
    assert control.store.every("endpoint") == []
    assert (control.bench.variants(), control.bench.running, control.bench.enabled) == ([], set(), set())
    assert settings.here(control.place).endpoint == "scores"


def test_what_a_host_served_before_is_told_under_its_endpoints_name(control: Control) -> None:
    control.configure(variant="main")
    control.deploy("1.0.0")
    before = control.bench.layout.endpoint.read_text()
    control.work()
    assert control.serves("1.0.0", "main")
    assert control.bench.layout.endpoint.read_text() == before
    told = control.told("scores")
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", "dive-1-0-0")
    (variant,) = control.call("DescribeEndpointConfig", EndpointConfigName="dive-1-0-0")["ProductionVariants"]
    assert (variant["VariantName"], variant["ModelName"]) == ("main", "dive-1-0-0")
    model = control.call("DescribeModel", ModelName="dive-1-0-0")["PrimaryContainer"]
    assert model["ModelDataUrl"] == "s3://models/releases/dive/1.0.0/"


def test_of_what_served_before_and_what_is_created_meanwhile_one_has_the_place(
    control: Control, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.deploy("1.0.0")
    turn = folder.turn

    def after_another() -> AbstractContextManager[None]:
        monkeypatch.setattr(folder, "turn", turn)
        control.create("1.1.0")
        return turn()

    monkeypatch.setattr(folder, "turn", after_another)
    control.work()
    assert [one["name"] for one in control.store.every("endpoint")] == ["dives"]
    assert control.serves("1.1.0")


def test_what_ansible_deploys_or_rolls_back_describe_tells(control: Control) -> None:
    control.create("1.0.0")
    control.work()
    control.update("1.1.0")
    control.work()
    control.configure(canary={"weight": 30, "steps": []})
    control.deploy("1.2.0")  # by the host's own canary
    assert [weight for weight, _ in control.bench.tried] == [30]
    assert control.told()["EndpointConfigName"] == "m1-1-0"  # it is not known yet
    control.work()
    assert control.serves("1.2.0")
    assert control.told()["EndpointConfigName"] == "dive-1-2-0"
    assert CliRunner().invoke(app, ["rollback"]).exit_code == 0
    control.work()
    assert control.serves("1.1.0")
    assert control.told()["EndpointConfigName"] == "dive-1-1-0"
    # What is asked for next goes back to what serves now, not to what did when it was asked for.
    control.bench.broken = {"ready 1.3.0"}
    control.update("1.3.0")
    control.deploy("1.4.0")
    control.work()
    assert control.serves("1.4.0")
    assert "1.3.0 was not deployed, 1.4.0 serves" in control.told()["FailureReason"]
    control.deploy()  # as configure.yml does
    assert control.serves("1.4.0")


def test_a_configuration_that_is_there_and_other_is_left_alone(control: Control) -> None:
    control.call(
        "CreateModel",
        ModelName="dive-1-0-0",
        PrimaryContainer={"ModelDataUrl": "s3://models/releases/dive/0.9.0/"},
    )
    control.deploy("1.0.0")
    control.work()
    assert control.told("scores")["EndpointConfigName"] == "dive-1-0-0"
    (variant,) = control.call("DescribeEndpointConfig", EndpointConfigName="dive-1-0-0")["ProductionVariants"]
    assert variant["ModelName"] == "dive-1-0-0-2"


@pytest.mark.parametrize("tidies", [False, True])
def test_an_agent_that_is_killed_anywhere_heals_to_what_describe_tells(
    control: Control, tidies: bool
) -> None:
    bench = control.bench
    control.deploy("1.0.0")
    control.work()
    number, version = 0, "1.0.0"
    while True:
        begin, before = len(bench.acts), version
        version = f"2.{number}.0"

        def kill(act: int, at: int = begin + number) -> None:
            if act == at:
                raise Killed

        bench.on_act = kill
        control.call(
            "UpdateEndpoint",
            EndpointName="scores",
            EndpointConfigName=control.make(version),
            DeploymentConfig=CANARY,
        )
        try:
            control.work()
        except Killed:
            bench.on_act = lambda _: None
        else:
            break
        if tidies:
            assert CliRunner().invoke(app, ["tidy"]).exit_code == 0
            promoted = bench.state.promoted
            assert promoted
            assert promoted.version in (before, version)
        control.work()
        assert control.serves(version), f"killed at {bench.acts[begin + number]}"
        number += 1
    assert number > 10, "it was to be killed in every act"


def test_a_machine_that_lost_all_but_its_documents_deploys_what_they_say(control: Control) -> None:
    control.create("1.0.0")
    control.work()
    control.place.state.unlink()
    control.place.driven.unlink()
    control.work()
    assert control.serves("1.0.0")


def test_workers_and_weights_are_the_documents_for_whoever_deploys(control: Control) -> None:
    names = [control.make("1.0.0", SPRINGBOARD_WORKERS="3"), control.make("1.1.0")]
    variants = [
        {"VariantName": name, "ModelName": model, "InitialVariantWeight": weight}
        for name, model, weight in zip(("Old", "New"), names, (3, 1), strict=True)
    ]
    control.call("CreateEndpointConfig", EndpointConfigName="both", ProductionVariants=variants)
    control.call("CreateEndpoint", EndpointName="dives", EndpointConfigName="both")
    control.work()
    host = settings.here(control.place)
    assert (host.endpoint, host.variant, host.weight, host.worker.workers) == ("dives", "Old", 7500, 3)
    assert [(one.name, one.release, one.weight) for one in host.beside] == [("New", "1.1.0", 2500)]
    assert control.bench.plan(host=host) == []
    control.deploy()
    assert sorted(control.bench.variants()) == [("New", "1.1.0", 250_000), ("Old", "1.0.0", 750_000)]


def test_asynchronous_requests_are_the_documents_for_whoever_deploys(control: Control) -> None:
    def served() -> Async | None:
        return endpoints.load(control.bench.layout.endpoint).asynchronous

    def update(version: str, more: dict[str, Any]) -> None:
        config = control.make(version, more)
        control.call("UpdateEndpoint", EndpointName="scores", EndpointConfigName=config)
        control.work()

    control.configure(**{"async": {"output": "s3://theirs/out", "max_concurrent": 7}})
    control.deploy("1.0.0")
    control.work()
    before = served()
    assert before
    assert (before.output, before.queue) == ("s3://theirs/out", "")

    asked = {"OutputConfig": {"S3OutputPath": "s3://scores/out", "S3FailurePath": "s3://scores/not"}}
    update("1.1.0", {"AsyncInferenceConfig": asked})
    now = served()
    assert now
    assert (now.output, now.failures, now.max_concurrent) == ("s3://scores/out", "s3://scores/not", 4)
    assert Path(now.queue).parent == control.place.jobs
    assert control.told("scores")["AsyncInferenceConfig"] == asked
    control.deploy("1.2.0")  # as Ansible does
    assert served() == now
    control.work()
    assert control.told("scores")["AsyncInferenceConfig"] == asked
    config = control.call("DescribeEndpointConfig", EndpointConfigName="dive-1-2-0")
    assert config["AsyncInferenceConfig"] == asked, "it would be lost by an update to this one"

    update("1.3.0", {})
    assert served() == before
    control.bench.broken = {"ready 1.4.0"}
    update("1.4.0", {"AsyncInferenceConfig": asked})  # which goes back with it
    assert served() == before

    Path(now.queue).mkdir(parents=True)  # as the front makes it
    control.call("DeleteEndpoint", EndpointName="scores")
    control.work()
    assert not Path(now.queue).exists()
    assert served() == before


def test_weights_that_are_retained_leave_one_above_zero_or_one_variant(control: Control) -> None:
    a, b, c = (
        {"VariantName": name, "ModelName": control.make(version)}
        for name, version in (("A", "1.0.0"), ("B", "1.1.0"), ("C", "1.2.0"))
    )

    def configure(name: str, *variants: tuple[dict[str, Any], int]) -> None:
        weighed = [{**one, "InitialVariantWeight": weight} for one, weight in variants]
        control.call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=weighed)

    def update(name: str) -> None:
        control.call(
            "UpdateEndpoint", EndpointName="dives", EndpointConfigName=name, RetainAllVariantProperties=True
        )

    configure("both", (a, 0), (b, 1))
    configure("two", (a, 1), (c, 0))
    configure("one", (a, 1))
    control.call("CreateEndpoint", EndpointName="dives", EndpointConfigName="both")
    control.work()
    with pytest.raises(ControlError, match=r"At least one variant needs a weight above 0\."):
        update("two")
    assert control.told()["EndpointStatus"] == "InService"
    update("one")  # its weight is 0, and it is all there is
    control.work()
    assert control.serves("1.0.0", "A")
    assert control.told()["ProductionVariants"][0]["DesiredWeight"] == 0
    with pytest.raises(ControlError, match=r"At least one variant needs a weight above 0\."):
        control.call(
            "UpdateEndpointWeightsAndCapacities",
            EndpointName="dives",
            DesiredWeightsAndCapacities=[{"VariantName": "A", "DesiredWeight": 0}],
        )


def test_an_endpoint_that_gets_a_tag_while_it_goes_is_gone_all_the_same(
    control: Control, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    control.create("1.0.0")
    control.work()
    control.call("DeleteEndpoint", EndpointName="dives")
    remove, tags = control.store.remove, iter([{"Key": "team", "Value": "a"}])

    def late(*asked: str) -> None:
        if tag := next(tags, None):
            control.call("AddTags", ResourceArn=IDENTITY.arn("endpoint", "dives"), Tags=[tag])
        remove(*asked)

    monkeypatch.setattr(control.store, "remove", late)
    control.work()
    assert control.store.every("endpoint") == []
    assert "endpoint dives was changed by another" in caplog.text
    assert "bug of ours" not in caplog.text


def test_what_cannot_be_told_is_no_reason_to_go_back(control: Control) -> None:
    objects = Objects()
    control = Control(control.bench, Prefix("s3://documents", cast("S3Client", objects)))
    control.create("1.0.0")
    control.work()
    control.update("1.1.0", DeploymentConfig=CANARY)

    def away() -> None:
        objects.away = True

    control.bench.on_canary = away  # from then on nobody reaches the documents
    looks = itertools.count()

    def back() -> bool:
        objects.away = objects.away and next(looks) < 5
        return not objects.away and control.settled()

    control.work(back)
    assert control.serves("1.1.0")
    assert control.told().get("FailureReason") is None
