"""Hosts' control plane, as an administrator's boto3 calls it."""

from typing import Any

AGENT = "springboard-agent.service"


def canary(seconds: int) -> dict[str, Any]:
    """On half of the traffic for so long."""
    size = {"Type": "CAPACITY_PERCENT", "Value": 50}
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": seconds, "CanarySize": size}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 0}}


class Plane:
    """An endpoint, by boto3's SageMaker; `made` are models and configurations that are there."""

    def __init__(self, sagemaker: Any, endpoint: str, made: set[str] | None = None) -> None:
        self.sagemaker, self._endpoint = sagemaker, endpoint
        self._made = set[str]() if made is None else made

    def beside(self, endpoint: str) -> "Plane":
        """Return another endpoint of the same hosts."""
        return Plane(self.sagemaker, endpoint, self._made)

    def make(self, version: str, **more: Any) -> str:
        """Have a model of a release, and a configuration of the same name, unless they are there."""
        name = f"puppet-{version.replace('.', '-')}"
        if name not in self._made:
            self._made.add(name)
            data = {"ModelDataUrl": f"s3://models/releases/dive/{version}/"}
            self.sagemaker.create_model(ModelName=name, PrimaryContainer=data)
            variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1}
            self.sagemaker.create_endpoint_config(
                EndpointConfigName=name, ProductionVariants=[variant], **more
            )
        return name

    def update(self, version: str, **more: Any) -> str:
        """Have the endpoint serve a release; return its configuration."""
        config = self.make(version)
        self.sagemaker.update_endpoint(EndpointName=self._endpoint, EndpointConfigName=config, **more)
        return config

    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=self._endpoint)
        return told

    def serves(self, config: str) -> dict[str, Any]:
        """Wait until the endpoint is in service; assert that this serves, and return what is told of it."""
        self.sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName=self._endpoint, WaiterConfig={"Delay": 1, "MaxAttempts": 600}
        )
        told = self.told()
        assert told["EndpointConfigName"] == config, told
        return told
