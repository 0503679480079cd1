"""Whole lives of endpoints by boto3 as it is, on `springboard serve --control` with children that score."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from springboard.control.place import Place
from springboard.control.store import Folder
from springboard.releases.registry import Registry
from tests.stands.plane import ARN, Machine, plane
from tests.stands.release import publish
from tests.stands.seaweedfs import ObjectStore
from tests.stands.waiting import at_work, wait_until

# One process has them both: `machine` publishes to the store of all tests of a process, where releases never
# change.
pytestmark = pytest.mark.xdist_group("control-lives")

ALIAS = "aqa-2021"


def policy(seconds: int) -> dict[str, Any]:
    """A canary on half of the traffic for so long."""
    routing = {
        "Type": "CANARY",
        "WaitIntervalInSeconds": seconds,
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
    }
    blue_green = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 0}
    return {"BlueGreenUpdatePolicy": blue_green}


@pytest.fixture(scope="module")
def machine(object_store: ObjectStore) -> Iterator[Machine]:
    registry = Registry("s3://models", object_store.client)
    writer = {"AWS_ACCESS_KEY_ID": "admin", "AWS_SECRET_ACCESS_KEY": "admin-secret"}
    environment = {**object_store.environment, **writer}
    with plane(environment, "--allow-bucket", "dives", alias=ALIAS) as one:
        for version, fault in (("7.0.0", ""), ("7.1.0", ""), ("7.2.0", "raises")):
            archive = publish(registry, one.folder / "made", version, fault=fault)
            for path in (archive, archive.with_suffix(".json"), archive.with_name("golden.txt")):
                object_store.client.upload_file(str(path), "models", f"archives/{path.name}")
        yield one


def released(version: str) -> str:
    return f"s3://models/releases/dive/{version}/"


def test_an_endpoint_lives_from_its_creation_to_its_end(machine: Machine, object_store: ObjectStore) -> None:
    sagemaker, s3 = machine.client(), object_store.client
    with pytest.raises(ClientError, match=r"Endpoint dives of account 123456789012 not found\."):
        machine.invoke()
    for version in ("7.0.0", "7.2.0"):
        machine.create(f"dive-{version[2]}", released(version))
    machine.create("dive-1", "s3://models/archives/dive-7.1.0.mar")
    made = sagemaker.create_endpoint(EndpointName="dives", EndpointConfigName="dive-0", Tags=[])
    assert made["EndpointArn"] == f"{ARN}:endpoint/dives"
    told = sagemaker.describe_endpoint(EndpointName="dives")
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("Creating", "dive-0")
    with pytest.raises(ClientError, match=f'Cannot update in-progress endpoint "{ARN}:endpoint/dives"'):
        sagemaker.delete_endpoint(EndpointName="dives")
    told = machine.wait("endpoint_in_service")
    assert told["ProductionVariants"][0]["VariantName"] == "AllTraffic"
    answer = machine.invoke()
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert b'"score": 70.5' in answer["Body"].read()
    assert b'"score": 70.5' in machine.invoke(ALIAS)["Body"].read()

    _others_live_beside(machine)
    _jobs_are_taken_and_requests_captured_as_configured(machine, s3)
    _a_transform_job_begins(machine, s3, "some-bad", b"status=422 code=not_a_dive")
    _what_is_good_takes_over_step_by_step(machine)
    _a_bad_one_goes_back_by_itself(machine)
    _a_transform_job_ends(machine, s3, "some-bad", "Failed", 7)
    told = sagemaker.describe_transform_job(TransformJobName="some-bad")
    assert told["FailureReason"].startswith("1 of 8 objects were not scored (not_a_dive 1), the others were.")
    before = _scored(machine)
    _a_transform_job_begins(machine, s3, "healed", b"score=7")
    wait_until(lambda: _scored(machine) > before, "the first to be scored", 120)
    _what_served_serves_after_kill_9(machine)
    _a_transform_job_ends(machine, s3, "healed", "Completed", 8)

    sagemaker = machine.client()
    for model in ("dive-0", "dive-2"):
        sagemaker.delete_endpoint_config(EndpointConfigName=model)
        sagemaker.delete_model(ModelName=model)
    for config in ("both", "watched", "plain"):
        sagemaker.delete_endpoint_config(EndpointConfigName=config)
    for name in ("dives", "others"):
        sagemaker.delete_endpoint(EndpointName=name)
    for name in ("dives", "others"):
        machine.wait("endpoint_deleted", name)
        with pytest.raises(ClientError, match=f'Could not find endpoint "{ARN}:endpoint/{name}"'):
            sagemaker.describe_endpoint(EndpointName=name)
        with pytest.raises(ClientError, match=rf"Endpoint {name} of account 123456789012 not found\."):
            machine.invoke(name)


def _others_live_beside(machine: Machine) -> None:
    """Another endpoint, of two variants and a shadow."""
    sagemaker = machine.client()
    variants = [
        {"VariantName": name, "ModelName": model, "InitialInstanceCount": 1, "InitialVariantWeight": 1}
        for name, model in (("New", "dive-1"), ("Old", "dive-0"))
    ]
    shadow = {**variants[0], "VariantName": "Next", "ModelName": "dive-2"}
    sagemaker.create_endpoint_config(
        EndpointConfigName="both", ProductionVariants=variants, ShadowProductionVariants=[shadow]
    )
    sagemaker.create_endpoint(EndpointName="others", EndpointConfigName="both")
    machine.wait("endpoint_in_service", "others")
    told = sagemaker.list_endpoints(StatusEquals="InService")["Endpoints"]
    assert {one["EndpointName"] for one in told} == {"dives", "others"}
    machine.until_ready("others")
    served: set[str] = set()

    def both_serve() -> bool:  # the endpoint is ready when one of them is
        served.add(machine.invoke("others")["InvokedProductionVariant"])
        return served == {"New", "Old"}

    wait_until(both_serve, "both variants to answer")
    copies = re.compile(r'springboard_shadow_requests_total{.*release="7\.2\.0".*} [1-9]')
    wait_until(lambda: bool(copies.search(machine.metrics("others"))), "copies to be scored")
    (told,) = sagemaker.describe_endpoint(EndpointName="others")["ShadowProductionVariants"]
    assert told["VariantName"] == "Next"
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="others",
        DesiredWeightsAndCapacities=[{"VariantName": "New", "DesiredWeight": 0}],
    )
    told = machine.wait("endpoint_in_service", "others")
    weights = {one["VariantName"]: one["CurrentWeight"] for one in told["ProductionVariants"]}
    assert weights == {"New": 0.0, "Old": 1.0}
    assert {machine.invoke("others")["InvokedProductionVariant"] for _ in range(10)} == {"Old"}
    pinned = machine.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="others", Body=b"score=60.5", TargetVariant="New"
    )
    assert b'"score": 60.5' in pinned["Body"].read()
    assert b'"score": 60.5' in machine.invoke("dives", b"score=60.5")["Body"].read()
    of_an_archive = 'release="0.0.0-m'
    assert of_an_archive in machine.metrics("others")
    assert of_an_archive not in machine.metrics("dives")


def _jobs_are_taken_and_requests_captured_as_configured(machine: Machine, s3: Any) -> None:
    """AsyncInferenceConfig and DataCaptureConfig, until a configuration comes without them."""
    sagemaker, runtime = machine.client(), machine.client("sagemaker-runtime")
    s3.put_object(Bucket="dives", Key="lives/dive.mp4", Body=b"score=61.5")
    variant = {"VariantName": "Old", "ModelName": "dive-0", "InitialInstanceCount": 1}
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://dives/lives/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    }
    asynchronous = {"OutputConfig": {"S3OutputPath": "s3://dives/lives/scores"}}
    for name, more in (
        ("watched", {"AsyncInferenceConfig": asynchronous, "DataCaptureConfig": capture}),
        ("plain", {}),
    ):
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **more)
    sagemaker.update_endpoint(EndpointName="others", EndpointConfigName="watched")
    told = machine.wait("endpoint_in_service", "others")
    assert told.get("AsyncInferenceConfig") == asynchronous, told
    assert told["DataCaptureConfig"]["CaptureStatus"] == "Started"
    given = {"EndpointName": "others", "InputLocation": "s3://dives/lives/dive.mp4", "InferenceId": "heat-3"}
    where = runtime.invoke_endpoint_async(**given)["OutputLocation"]
    assert where == "s3://dives/lives/scores/heat-3.out"
    wait_until(lambda: bool(_found(s3, "lives/scores/heat-3.out")), "the result", 60)
    assert json.loads(_found(s3, "lives/scores/heat-3.out")["heat-3.out"])["score"] == 61.5

    sagemaker.update_endpoint(EndpointName="others", EndpointConfigName="plain")
    told = machine.wait("endpoint_in_service", "others")
    assert not {"AsyncInferenceConfig", "DataCaptureConfig"} & told.keys()
    with pytest.raises(ClientError, match="This server has no asynchronous inference"):
        runtime.invoke_endpoint_async(**given)
    machine.invoke("others")
    wait_until(lambda: bool(_found(s3, "lives/captured/others/")), "what was captured", 60)
    (lines,) = _found(s3, "lives/captured/others/Old/").values()
    (line,) = map(json.loads, lines.splitlines())
    assert line["eventMetadata"]["inferenceId"] == "heat-3"
    assert json.loads(line["captureData"]["endpointOutput"]["data"])["score"] == 61.5


def _found(s3: Any, prefix: str) -> dict[str, bytes]:
    """Return the objects of the bucket dives below a prefix, by the last step of their names."""
    found = s3.list_objects_v2(Bucket="dives", Prefix=prefix).get("Contents", [])
    keys = [one["Key"] for one in found]
    return {key.rpartition("/")[2]: s3.get_object(Bucket="dives", Key=key)["Body"].read() for key in keys}


def _a_transform_job_begins(machine: Machine, s3: Any, name: str, last: bytes) -> None:
    """Of eight videos; another one that waits for its turn is stopped at once."""
    for number in range(7):
        s3.put_object(
            Bucket="dives", Key=f"lives/{name}/{number}", Body=b"score=%d sleep=0.5" % (60 + number)
        )
    s3.put_object(Bucket="dives", Key=f"lives/{name}/7", Body=last)
    sagemaker = machine.client()
    for job in (name, f"not-{name}"):
        sagemaker.create_transform_job(
            TransformJobName=job,
            ModelName="dive-0",
            TransformInput={
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://dives/lives/{name}/"}
                }
            },
            TransformOutput={"S3OutputPath": f"s3://dives/lives/{job}-scores"},
            TransformResources={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        )
    sagemaker.stop_transform_job(TransformJobName=f"not-{name}")
    _ended(machine, f"not-{name}", "Stopped")
    told = sagemaker.describe_transform_job(TransformJobName=name)
    assert told["TransformJobStatus"] == "InProgress"


def _scored(machine: Machine) -> int:
    return sum("job scored" in line for line in machine.server.log)


def _a_transform_job_ends(machine: Machine, s3: Any, name: str, status: str, results: int) -> None:
    _ended(machine, name, status)
    found = _found(s3, f"lives/{name}-scores/")
    assert {name: json.loads(result)["score"] for name, result in found.items()} == {
        f"{number}.out": 60 + number if number < 7 else 7 for number in range(results)
    }


def _ended(machine: Machine, name: str, status: str) -> None:
    waiter = machine.client().get_waiter("transform_job_completed_or_stopped")
    with suppress(WaiterError):  # of a failed one
        waiter.wait(TransformJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    told = machine.client().describe_transform_job(TransformJobName=name)
    assert told["TransformJobStatus"] == status, told


def _what_is_good_takes_over_step_by_step(machine: Machine) -> None:
    sagemaker = machine.client()
    size = {"Type": "CAPACITY_PERCENT", "Value": 40}
    routing = {"Type": "LINEAR", "WaitIntervalInSeconds": 2, "LinearStepSize": size}
    linear = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    rolling = {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 2}}
    for before, config, given in (("dive-0", "dive-1", linear), ("dive-1", "dive-0", rolling)):
        seen: set[tuple[str, str, float]] = set()
        sagemaker.update_endpoint(EndpointName="dives", EndpointConfigName=config, DeploymentConfig=given)
        assert sagemaker.describe_endpoint(EndpointName="dives")["EndpointConfigName"] == before

        def settled(seen: set[tuple[str, str, float]] = seen) -> bool:
            told = sagemaker.describe_endpoint(EndpointName="dives")
            for one in told.get("PendingDeploymentSummary", {}).get("ProductionVariants", []):
                status = one["VariantStatus"][0]["Status"]
                seen.add((told["EndpointStatus"], status, round(one["CurrentWeight"], 3)))
            return bool(told["EndpointStatus"] == "InService")

        wait_until(settled, "it to be promoted", 120)
        assert {("Updating", "Baking", 0.4), ("Updating", "Baking", 0.8)} < seen
        told = sagemaker.describe_endpoint(EndpointName="dives")
        assert told["EndpointConfigName"] == config
        assert "FailureReason" not in told
        assert told["LastDeploymentConfig"] == given
        _what_it_replaced_goes_as_terraform_has_it(machine, before)
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="dives",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 3}],
    )
    told = machine.wait("endpoint_in_service")
    assert told["ProductionVariants"][0]["CurrentWeight"] == 3.0


def _what_it_replaced_goes_as_terraform_has_it(machine: Machine, before: str) -> None:
    """create_before_destroy: what replaces it is there and in service, and only then the old one goes."""
    sagemaker = machine.client()
    serves = sagemaker.describe_endpoint(EndpointName="dives")["EndpointConfigName"]
    sagemaker.delete_endpoint_config(EndpointConfigName=before)
    sagemaker.delete_model(ModelName=before)
    with pytest.raises(ClientError, match=f'Could not find model "{ARN}:model/{before}"'):
        sagemaker.describe_model(ModelName=before)
    told = sagemaker.describe_endpoint(EndpointName="dives")
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", serves)
    assert b'"score": 70.5' in machine.invoke()["Body"].read()
    if before == "dive-0":
        machine.create(before, released("7.0.0"))


def _a_bad_one_goes_back_by_itself(machine: Machine) -> None:
    patient = policy(60)
    sagemaker = machine.client()
    runtime = machine.client("sagemaker-runtime")
    sagemaker.update_endpoint(EndpointName="dives", EndpointConfigName="dive-2", DeploymentConfig=patient)
    calls = 0

    def settled() -> bool:
        nonlocal calls
        for _ in range(20):
            calls += 1  # a failure would be raised: a second try goes to the old one
            runtime.invoke_endpoint(EndpointName="dives", Body=f"score=50 call={calls}".encode())
        return bool(sagemaker.describe_endpoint(EndpointName="dives")["EndpointStatus"] == "InService")

    wait_until(settled, "the canary to be rolled back", 120)
    told = sagemaker.describe_endpoint(EndpointName="dives")
    assert told["EndpointConfigName"] == "dive-0"
    assert "7.2.0 was not deployed, 7.0.0 serves: error ratio: " in told["FailureReason"]
    assert told["LastDeploymentConfig"] == patient


def _what_served_serves_after_kill_9(machine: Machine) -> None:
    machine.kill()
    machine.begin()
    told = machine.client().describe_endpoint(EndpointName="dives")
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", "dive-0")
    for name in ("dives", "others"):
        machine.until_ready(name)
        assert b'"score": 70.5' in machine.invoke(name)["Body"].read()


def test_who_dies_in_any_state_goes_on_to_one_that_describe_tells(machine: Machine) -> None:
    for version in ("7.0.0", "7.2.0"):
        machine.create(f"again-{version[2]}", released(version))
    machine.client().create_endpoint(EndpointName="dives", EndpointConfigName="again-0")
    _dies_when(machine, "Creating", lambda: _said(machine, "starting torchserve@"))
    assert machine.wait("endpoint_in_service")["EndpointConfigName"] == "again-0"

    machine.client().update_endpoint(
        EndpointName="dives", EndpointConfigName="again-2", DeploymentConfig=policy(60)
    )
    _dies_when(machine, "Updating", lambda: _said(machine, "7.2.0 gets 50 % of the traffic"))
    # It is tried anew, and that ends by what it does to callers, who see nothing of it.
    wait_until(lambda: _said(machine, "7.2.0 gets 50 % of the traffic"), "the trial to go on", 120)
    with at_work(_caller(machine)):
        _dies_when(machine, "RollingBack", lambda: _status(machine) == "RollingBack")
    told = machine.wait("endpoint_in_service")
    assert told["EndpointConfigName"] == "again-0"
    assert "7.2.0 was not deployed, 7.0.0 serves: error ratio: " in told["FailureReason"]
    machine.until_ready("dives")
    assert b'"score": 70.5' in machine.invoke()["Body"].read()

    machine.client().delete_endpoint(EndpointName="dives")
    _dies_when(machine, "Deleting", lambda: True)
    machine.wait("endpoint_deleted")
    assert machine.client().list_endpoints()["Endpoints"] == []
    for model in ("again-0", "again-2"):
        machine.client().delete_endpoint_config(EndpointConfigName=model)
        machine.client().delete_model(ModelName=model)


def _dies_when(machine: Machine, status: str, then: Callable[[], bool]) -> None:
    """kill -9 as soon as that is so; another begins where the endpoint was in this state."""
    wait_until(then, status, 120)
    machine.kill()
    assert _status(machine) == status
    machine.begin()


def _said(machine: Machine, what: str) -> bool:
    return any(what in line for line in machine.server.log)


def _status(machine: Machine) -> str:
    """What is written down: a call takes as long on a busy machine as some states do."""
    found = Folder(Place(machine.folder / "c").documents).read("endpoint", "dives")
    assert found
    return str(found[0]["status"])


def _caller(machine: Machine) -> Callable[[], None]:
    runtime, numbers = machine.client("sagemaker-runtime"), itertools.count()

    def call() -> None:
        with suppress(BotoCoreError):  # while the server is dead
            runtime.invoke_endpoint(EndpointName="dives", Body=b"score=50 call=%d" % next(numbers))

    return call
