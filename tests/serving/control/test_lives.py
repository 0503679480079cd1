"""Whole lives of endpoints by boto3 as it is, on `springboard serve --control` with children that score."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from springboard.releases.registry import Registry
from springboard.system.processes import Child
from tests.stands.plane import ARN, Machine, plane
from tests.stands.release import publish
from tests.stands.seaweedfs import ObjectStore
from tests.stands.waiting import wait_until

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
    with plane(object_store.environment, alias=ALIAS) as one:
        for version, fault in (("7.0.0", ""), ("7.1.0", ""), ("7.2.0", "raises")):
            publish(registry, one.folder / "made", version, fault=fault)
        yield one


def released(version: str) -> str:
    return f"s3://models/releases/dive/{version}/"


def test_an_endpoint_lives_from_its_creation_to_its_end(machine: Machine) -> None:
    sagemaker = machine.client()
    with pytest.raises(ClientError, match=r"Endpoint dives of account 123456789012 not found\."):
        machine.invoke()
    for version in ("7.0.0", "7.1.0", "7.2.0"):
        machine.create(f"dive-{version[2]}", released(version))
    made = sagemaker.create_endpoint(EndpointName="dives", EndpointConfigName="dive-0", Tags=[])
    assert made["EndpointArn"] == f"{ARN}:endpoint/dives"
    told = sagemaker.describe_endpoint(EndpointName="dives")
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("Creating", "dive-0")
    with pytest.raises(ClientError, match=f'Cannot update in-progress endpoint "{ARN}:endpoint/dives"'):
        sagemaker.delete_endpoint(EndpointName="dives")
    with pytest.raises(ClientError, match="service limit 'Number of endpoints on this server' is 1"):
        sagemaker.create_endpoint(EndpointName="others", EndpointConfigName="dive-0")
    told = machine.wait("endpoint_in_service")
    assert told["ProductionVariants"][0]["VariantName"] == "AllTraffic"
    answer = machine.invoke()
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert b'"score": 70.5' in answer["Body"].read()
    assert b'"score": 70.5' in machine.invoke(ALIAS)["Body"].read()

    _a_good_canary_takes_over(machine)
    _a_bad_one_goes_back_by_itself(machine)
    _what_served_serves_after_kill_9(machine)

    sagemaker = machine.client()
    for model in ("dive-0", "dive-1", "dive-2"):  # Terraform's order: nothing needs them any more
        sagemaker.delete_endpoint_config(EndpointConfigName=model)
        sagemaker.delete_model(ModelName=model)
    sagemaker.delete_endpoint(EndpointName="dives")
    machine.wait("endpoint_deleted")
    with pytest.raises(ClientError, match=f'Could not find endpoint "{ARN}:endpoint/dives"'):
        sagemaker.describe_endpoint(EndpointName="dives")
    with pytest.raises(ClientError, match=r"Endpoint dives of account 123456789012 not found\."):
        machine.invoke()


def _a_good_canary_takes_over(machine: Machine) -> None:
    sagemaker = machine.client()
    seen: set[tuple[str, str]] = set()

    def settled() -> bool:
        told = sagemaker.describe_endpoint(EndpointName="dives")
        for one in told.get("PendingDeploymentSummary", {}).get("ProductionVariants", []):
            seen.add((told["EndpointStatus"], one["VariantStatus"][0]["Status"]))
        return bool(told["EndpointStatus"] == "InService")

    given = policy(3)
    sagemaker.update_endpoint(EndpointName="dives", EndpointConfigName="dive-1", DeploymentConfig=given)
    assert sagemaker.describe_endpoint(EndpointName="dives")["EndpointConfigName"] == "dive-0"
    wait_until(settled, "the canary to be promoted", 120)
    assert ("Updating", "Baking") in seen
    told = sagemaker.describe_endpoint(EndpointName="dives")
    assert told["EndpointConfigName"] == "dive-1"
    assert "FailureReason" not in told
    assert told["LastDeploymentConfig"] == given
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="dives",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 3}],
    )
    told = machine.wait("endpoint_in_service")
    assert told["ProductionVariants"][0]["CurrentWeight"] == 3.0


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
    assert told["EndpointConfigName"] == "dive-1"
    assert "7.2.0 was not deployed, 7.1.0 serves: error ratio: " in told["FailureReason"]
    assert told["LastDeploymentConfig"] == patient


def _what_served_serves_after_kill_9(machine: Machine) -> None:
    child: Child = machine.server._child
    child.process.kill()
    child.process.wait()
    machine.server.__exit__()
    machine.begin()
    told = machine.client().describe_endpoint(EndpointName="dives")
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", "dive-1")
    machine.server.wait_ready()
    assert b'"score": 70.5' in machine.invoke()["Body"].read()
