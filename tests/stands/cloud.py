"""SQS, SNS and S3 of moto in this process, for what needs no policies: a queue or a topic in milliseconds."""

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.secretsmanager.models import secretsmanager_backends
from moto.server import ThreadedMotoServer

from tests.stands import aws_secrets

REGION = "us-east-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
_numbers = itertools.count()


@dataclass
class Cloud:
    """Where it listens; `environment` makes any AWS client call there."""

    url: str
    clients: dict[str, Any] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}

    def client(self, service: str) -> Any:
        if service not in self.clients:
            make: Any = boto3.client  # its types have an overload for each service's own name
            keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
            self.clients[service] = make(service, endpoint_url=self.url, region_name=REGION, **keys)
        return self.clients[service]

    def queue(self, fifo: bool = False) -> tuple[str, str]:
        """Make a queue and its dead letters; return both URLs."""
        sqs, name, kind = self.client("sqs"), f"jobs-{next(_numbers)}", ".fifo" if fifo else ""
        attributes = {"FifoQueue": "true"} if fifo else {}
        dead: str = sqs.create_queue(QueueName=f"{name}-dead{kind}", Attributes=attributes)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "1000"})
        url: str = sqs.create_queue(
            QueueName=f"{name}{kind}", Attributes={**attributes, "RedrivePolicy": policy}
        )["QueueUrl"]
        return url, dead


@contextmanager
def cloud(address: str = "127.0.0.1") -> Iterator[Cloud]:
    """Serve it on a free port of an address of this machine."""
    aws_secrets.correct()
    server = ThreadedMotoServer(address, port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        one = Cloud(f"http://{address}:{port}")
        yield one
        for client in one.clients.values():
            client.close()
    finally:
        server.stop()
        # What moto has outlives its servers: queues and topics have numbers, secrets names that are alike.
        for account in secretsmanager_backends.values():
            account.reset()


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Have these variables while this lasts."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
