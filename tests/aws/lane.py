"""A host of the deployment `lane`, whose worker has its role alone, and who hears of what it does."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml

from springboard.endpoint.asynchronous import Async
from springboard.system.checkout import ROOT
from springboard.system.processes import Child
from tests.aws.harness import Aws
from tests.stands.scoring import scoring

REGION, ACCOUNT = "eu-west-1", "123456789012"
# The bucket that the stand's front takes videos from.
BUCKET = "dives"


def as_host(aws: Aws, role: dict[str, str], service: str) -> Any:
    make: Any = boto3.client
    keys = dict(
        zip(("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), role.values(), strict=True)
    )
    return make(service, region_name=REGION, endpoint_url=aws.url, **keys)


class Host:
    """A host of the deployment: a front in this process and commands beside it, all with its role."""

    def __init__(self, aws: Aws, role: dict[str, str], folder: Path, settings: Async) -> None:
        self._environment = (
            aws.environment | role | {"AWS_DEFAULT_REGION": REGION, "STATE_DIRECTORY": str(folder)}
        )
        self._file, self._log = folder / "endpoint.yml", folder / "log"
        told = settings.model_dump(exclude_unset=True)
        self._file.write_text(yaml.safe_dump({"variants": [], "allowed_buckets": [BUCKET], "async": told}))

    @contextmanager
    def working(self) -> Iterator[None]:
        with scoring() as model, self._log.open("w") as log:
            model.front.why_not_ready = lambda: ""  # type: ignore[method-assign]
            child = Child(
                self._command("work", "--front", model.url), env=self._environment, stderr=log, cwd=ROOT
            )
            try:
                yield
                child.process.send_signal(signal.SIGTERM)
                assert child.process.wait(60) == 0
            finally:
                child.stop(5)

    def ask(self, *command: str) -> str:
        done = subprocess.run(
            self._command(*command),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "springboard", *words, "--endpoint-file", str(self._file)]


def listener(aws: Aws, topic: str | None) -> str:
    """A queue of somebody who subscribed to a topic."""
    assert topic
    sqs, name = aws.client("sqs", REGION), f"hears-{topic.rpartition(':')[2]}"
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    aws.client("sns", REGION).subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
        Attributes={"RawMessageDelivery": "true"},
    )
    return url


def heard(aws: Aws, url: str) -> list[dict[str, Any]]:
    found = aws.client("sqs", REGION).receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    return [json.loads(one["Body"]) for one in found.get("Messages", [])]
