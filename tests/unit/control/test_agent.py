"""What an endpoint's document means for the engine; nothing serves here."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from springboard.control import sources
from springboard.control.agent import Agent, host_of, trial_of
from springboard.control.place import Place
from springboard.control.store import Folder
from springboard.deploy import state as deployment
from springboard.deploy.plan import RolloutError
from springboard.deploy.rollout import Rollout
from springboard.deploy.settings import Canary, Host, Worker
from springboard.deploy.state import State, Unfinished
from tests.unit.control.conftest import Plane

PERCENT = {"Type": "CAPACITY_PERCENT", "Value": 20}
ROLLING = {"RollingUpdatePolicy": {"MaximumBatchSize": PERCENT, "WaitIntervalInSeconds": 60}}


def blue_green(kind: str, **size: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": 60, **size}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}


@pytest.mark.parametrize(
    ("policy", "weight", "steps"),
    [
        ({}, 0, ()),
        (blue_green("ALL_AT_ONCE"), 0, ()),
        (blue_green("CANARY", CanarySize=PERCENT), 20, ()),
        (blue_green("LINEAR", LinearStepSize=PERCENT), 20, (40, 60, 80)),
        (ROLLING, 20, (40, 60, 80)),
    ],
)
def test_policies_are_trials_that_end_in_their_time(
    policy: dict[str, Any], weight: int, steps: tuple[int, ...]
) -> None:
    trial = trial_of(policy, Canary())
    assert Canary.model_validate(trial.model_dump()) == trial
    assert (trial.weight, trial.steps) == (weight, steps)
    if weight:
        assert (trial.bake_seconds, trial.hold_bakes, trial.accept_little_traffic) == (60.0, 1.0, True)


JOBS = Path("/jobs/1")
BASE = Host(models="s3://none", worker=Worker(runtime=Path("/w"), workers=0), unproven=True)


def wanted(**environment: str) -> dict[str, Any]:
    model = {"PrimaryContainer": {"ModelDataUrl": "s3://m/a.tar.gz", "Environment": environment}}
    variant = {"name": "AllTraffic", "weight": 2.0, "instances": 1, "model": model, "release": "1.0.0"}
    shadow = {**variant, "name": "next", "weight": 1.0, "release": "1.1.0"}
    return {"config": "c", "deployment": None, "variants": [variant], "shadows": [shadow], "async": None}


def test_a_document_is_the_engines_host() -> None:
    host = host_of(BASE, "dives", wanted(SPRINGBOARD_WORKERS="3"), JOBS)
    assert Host.model_validate(host.model_dump(by_alias=True)) == host
    assert (host.endpoint, host.variant, host.worker.workers) == ("dives", "AllTraffic", 3)
    assert host.shadow
    assert (host.shadow.release, host.shadow.sample_percent) == ("1.1.0", 50.0)
    jobs = {"OutputConfig": {"S3OutputPath": "s3://scores/out"}, "ClientConfig": {}}
    host = host_of(BASE, "dives", {**wanted(), "async": jobs}, JOBS)
    assert host.asynchronous
    assert (host.asynchronous.output, host.asynchronous.queue) == ("s3://scores/out", str(JOBS))


def test_what_is_captured_is_the_configurations() -> None:
    asked = {
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://captured/live",
        "CaptureOptions": [{"CaptureMode": "Output"}],
    }
    capture = host_of(BASE, "dives", {**wanted(), "capture": asked}, JOBS).capture
    assert capture
    assert (capture.destination, capture.sampling_percentage) == ("s3://captured/live", 20)
    assert (capture.input, capture.output) == (False, True)
    asked["CaptureOptions"] = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
    capture = host_of(BASE, "dives", {**wanted(), "capture": asked}, JOBS).capture
    assert capture
    assert (capture.input, capture.output) == (True, True)
    asked["EnableCapture"] = False
    assert host_of(BASE, "dives", {**wanted(), "capture": asked}, JOBS).capture is None


def test_a_first_deployment_that_fails_is_a_failed_endpoint_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RolloutError("1.0.0 was not deployed, nothing serves: its weights are missing")

    monkeypatch.setattr(Rollout, "deploy", fail)
    monkeypatch.setattr(sources, "acquire", lambda *_: "1.0.0")
    store = Folder(tmp_path / "documents")
    document = {"name": "dives", "created": 1.0, "status": "Creating", "wanted": wanted(), "serving": None}
    store.write("endpoint", "dives", document, None)
    Agent("dives", Place(tmp_path), store, BASE).follow(document)
    (told,) = store.every("endpoint")
    assert told["status"] == "Failed"
    assert told["failure"] == "1.0.0 was not deployed, nothing serves: its weights are missing"


def test_what_no_host_can_be_of_is_a_failed_endpoint_that_can_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "acquire", lambda *_: "1.0.0")
    store = Folder(tmp_path / "documents")
    asked = wanted(SPRINGBOARD_WORKERS="many")
    document = {"name": "dives", "created": 1.0, "status": "Creating", "wanted": asked, "serving": None}
    store.write("endpoint", "dives", document, None)
    agent = Agent("dives", Place(tmp_path), store, BASE)
    agent.follow(document)
    (told,) = store.every("endpoint")
    assert (told["status"], "'many'" in told["failure"]) == ("Failed", True)
    agent.follow({**told, "status": "Deleting"})
    assert store.every("endpoint") == []


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The releases that are deployed, in turn; 1.1.0 cannot be."""
    named: list[str] = []

    def deploy(_: Rollout, release: str) -> None:
        named.append(release)
        if release == "1.1.0":
            raise RolloutError("1.1.0 serves, without its shadow: its weights are missing")

    monkeypatch.setattr(Rollout, "deploy", deploy)
    monkeypatch.setattr(sources, "acquire", lambda *_: "1.1.0")
    return named


def updating(folder: Folder, status: str) -> dict[str, Any]:
    asked = {**wanted(), "config": "d"}
    for one in (*asked["variants"], *asked["shadows"]):
        del one["release"]  # it is not known yet
    document = {"name": "dives", "created": 1.0, "status": status, "serving": wanted(), "wanted": asked}
    folder.write("endpoint", "dives", document, None)
    return document


def test_what_fails_after_a_promotion_brings_back_what_served(tmp_path: Path, deployed: list[str]) -> None:
    store = Folder(tmp_path / "documents")
    Agent("dives", Place(tmp_path), store, BASE).follow(updating(store, "Updating"))
    assert deployed == ["1.1.0", "1.0.0"]
    (told,) = store.every("endpoint")
    assert (told["status"], told["serving"]["config"], told["wanted"]["config"]) == ("InService", "c", "c")
    assert told["failure"] == "1.1.0 serves, without its shadow: its weights are missing"


@pytest.mark.parametrize(("status", "phase"), [("RollingBack", ""), ("Updating", "undoing")])
def test_what_died_on_its_way_back_is_not_tried_again(
    tmp_path: Path, deployed: list[str], status: str, phase: str
) -> None:
    store, place = Folder(tmp_path / "documents"), Place(tmp_path)
    cut_off = Unfinished(version="1.1.0", instance="1.1.0_0000000", phase=phase) if phase else None
    deployment.save(place.state, State(deploying=cut_off, last="1.1.0 was not deployed: error ratio: high"))
    agent = Agent("dives", place, store, BASE)
    agent.resume(updating(store, status))
    assert deployed == ["1.0.0"]
    (told,) = store.every("endpoint")
    assert (told["status"], told["failure"]) == ("InService", "1.1.0 was not deployed: error ratio: high")


def test_new_weights_need_no_model_from_elsewhere(
    plane: Plane, deployed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serving = wanted()
    document = {"name": "dives", "created": 1.0, "status": "InService", "serving": serving, "wanted": serving}
    plane.store.write("endpoint", "dives", document, None)
    plane.client().update_endpoint_weights_and_capacities(
        EndpointName="dives", DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 5}]
    )
    monkeypatch.setattr(sources, "acquire", lambda *_: pytest.fail("it is here already"))
    (document,) = plane.store.every("endpoint")
    Agent("dives", Place(tmp_path), plane.store, BASE).follow(document)
    assert deployed == ["1.0.0"]
    (told,) = plane.store.every("endpoint")
    assert (told["status"], told["failure"], told["serving"]["variants"][0]["weight"]) == ("InService", "", 5)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["AllTraffic", "b", "c"],
            'The variant name(s) "b", "c" is/are not present within endpoint configuration "first".',
        ),
        (["AllTraffic", "AllTraffic"], 'The variant name "AllTraffic" was non-unique within the request.'),
    ],
)
def test_weights_of_variants_that_are_not_there_or_twice_are_refused(
    plane: Plane, names: list[str], said: str
) -> None:
    serving = {**wanted(), "config": "first"}
    document = {"name": "dives", "created": 1.0, "status": "InService", "serving": serving, "wanted": serving}
    plane.store.write("endpoint", "dives", document, None)
    weights = [{"VariantName": name, "DesiredWeight": 5} for name in names]
    with pytest.raises(ClientError) as error:
        plane.client().update_endpoint_weights_and_capacities(
            EndpointName="dives", DesiredWeightsAndCapacities=weights
        )
    assert error.value.response["Error"] == {"Code": "ValidationException", "Message": said}
    (told,) = plane.store.every("endpoint")
    assert told["serving"] == serving


def test_weights_are_shares_of_the_whole() -> None:
    first, second = wanted()["variants"][0], {**wanted()["variants"][0], "name": "b", "release": "2.0.0"}
    two = {**wanted(), "shadows": [], "variants": [{**first, "weight": 2.5}, {**second, "weight": 7.5}]}
    host = host_of(BASE, "dives", two, JOBS)
    assert Host.model_validate(host.model_dump(by_alias=True)) == host
    assert (host.weight, host.beside[0].name, host.beside[0].weight) == (2500, "b", 7500)
    two["variants"] = [{**first, "weight": 1e-9}, {**second, "weight": 0}]
    host = host_of(BASE, "dives", two, JOBS)
    assert (host.weight, host.beside[0].weight) == (10_000, 0)
    two["variants"] = [{**first, "weight": 1e-9}, {**second, "weight": 1e9}]
    assert host_of(BASE, "dives", two, JOBS).weight == 1  # what has a weight has some traffic
