"""A control plane as a process: `springboard serve --control`, and AWS's clients of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import httpx
from botocore.config import Config

from springboard.auth import keys
from springboard.system.tls import authorities
from tests.stands.front import FrontProcess
from tests.stands.waiting import wait_until

REGION, ACCOUNT = "eu-west-1", "123456789012"
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"


@dataclass
class Machine:
    """A server with a control plane; started again it has the same folder."""

    folder: Path
    environment: dict[str, str]
    key: keys.AccessKey
    alias: str
    more: tuple[str, ...]
    server: FrontProcess

    def client(self, service: str = "sagemaker") -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.server.url,
            region_name=REGION,
            aws_access_key_id=self.key.access_key_id,
            aws_secret_access_key=self.key.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    @property
    def client_environment(self) -> dict[str, str]:
        """What points any AWS client here."""
        return {
            "AWS_ENDPOINT_URL_SAGEMAKER": self.server.url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": self.server.url,
            "AWS_ACCESS_KEY_ID": self.key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.key.secret_access_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "HOME": str(self.folder),
        }

    def begin(self) -> None:
        self.server = FrontProcess(
            *("--control", self.folder / "c", "--control-as", f"{REGION}:{ACCOUNT}"),
            *("--alias", self.alias, "--auth", "sigv4", "--keys-file", self.folder / "keys.json"),
            *("--drain-seconds", "0", *self.more),
            environment=self.environment,
        )
        self.server.__enter__()

    def kill(self) -> None:
        """As -9 does: nothing of it can be told."""
        self.server.process.kill()
        self.server.process.wait()
        self.server.__exit__()

    def metrics(self, endpoint: str) -> str:
        """An endpoint's own figures."""
        return httpx.get(f"{self.server.url}/endpoints/{endpoint}/front/metrics", verify=authorities()).text

    def until_ready(self, endpoint: str) -> None:
        """Return when an endpoint can answer."""
        url = f"{self.server.url}/endpoints/{endpoint}/front/ping"

        def ready() -> bool:
            return httpx.get(url, verify=authorities()).status_code == 200

        wait_until(ready, f"{endpoint} to be ready", 120)

    def create(self, model: str, where: str, **environment: str) -> None:
        """Have a model, and a configuration of the same name."""
        sagemaker = self.client()
        container = {"Image": "image", "ModelDataUrl": where, "Environment": environment}
        sagemaker.create_model(ModelName=model, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        variant = {"VariantName": "AllTraffic", "ModelName": model, "InitialInstanceCount": 1}
        variant |= {"InstanceType": "ml.m5.xlarge", "InitialVariantWeight": 1}
        sagemaker.create_endpoint_config(EndpointConfigName=model, ProductionVariants=[variant])

    def wait(self, waiter: str, endpoint: str = "dives") -> dict[str, Any]:
        patience = {"Delay": 1, "MaxAttempts": 120}
        self.client().get_waiter(waiter).wait(EndpointName=endpoint, WaiterConfig=patience)
        if waiter == "endpoint_deleted":
            return {}
        told: dict[str, Any] = self.client().describe_endpoint(EndpointName=endpoint)
        return told

    def invoke(self, endpoint: str = "dives", body: bytes = b"score=70.5") -> dict[str, Any]:
        told: dict[str, Any] = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint, Body=body, ContentType="video/mp4"
        )
        return told


@contextmanager
def plane(environment: dict[str, str], *more: str, alias: str = "aqa-2021") -> Iterator[Machine]:
    """Yield a machine whose server has begun; `environment` is how it reads S3, `more` its options."""
    # TorchServe's sockets are below it, whose paths are short.
    with TemporaryDirectory(prefix="sb-") as name:
        folder = Path(name)
        key = keys.create_access_key(folder / "keys.json", "ops", "admin")
        environment = {"STATE_DIRECTORY": str(folder / "state"), **environment}
        one = Machine(folder, environment, key, alias, more, FrontProcess())
        one.begin()
        try:
            yield one
        finally:
            one.server.__exit__()
