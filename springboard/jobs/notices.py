"""What SNS and the webhook are told of a job's end, as SageMaker words it.

docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html
"""

import json
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from localqueue import LocalQueueError

from springboard.endpoint.asynchronous import Async
from springboard.jobs.job import Job, located
from springboard.jobs.webhook import Hooks

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = logging.getLogger("springboard.jobs")

_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 4, "mode": "standard"})


class Notices:
    """Tells topics and the webhook. A result does not wait for a topic that is away: that is logged."""

    def __init__(self, settings: Async, hooks: Hooks | None = None) -> None:
        """Topics as `settings` name them, each in the region that its name says; `hooks` for the webhook."""
        self._settings = settings
        self._hooks = hooks
        self._region = (boto3.Session().region_name or "") if hooks else ""
        self._clients: dict[str, SNSClient] = {}

    def completed(self, job: Job) -> None:
        """Tell of a result."""
        response = {"contentType": "application/json", "outputLocation": located(job.output)}
        self._tell(self._settings.success_topic, job, "Completed", {"responseParameters": response})

    def failed(self, job: Job, reason: str) -> None:
        """Tell of a failure."""
        self._tell(self._settings.error_topic, job, "Failed", {"failureReason": reason})

    def close(self) -> None:
        """Close its connections."""
        for client in self._clients.values():
            client.close()

    def _tell(self, topic: str | None, job: Job, status: str, more: dict[str, Any]) -> None:
        if topic:
            self._publish(topic, job, status, more)
        if self._hooks:
            try:
                self._hooks.tell(document(job, status, self._region, more), f"{job.run}/{job.id}/{status}")
            except (LocalQueueError, OSError, RuntimeError) as error:
                log.error("the webhook will not be told of job %s: %s", job.id, error)

    def _publish(self, topic: str, job: Job, status: str, more: dict[str, Any]) -> None:
        region = topic.split(":")[3]
        message = document(job, status, region, more)
        try:
            client = self._clients.get(region)
            if client is None:
                client = self._clients[region] = boto3.client("sns", region_name=region, config=_CONFIG)
            # A FIFO topic wants to know what belongs together: nothing does.
            fifo: Any = {"MessageGroupId": job.id, "MessageDeduplicationId": f"{job.id}/{job.run}/{status}"}
            client.publish(
                TopicArn=topic, Message=json.dumps(message), **(fifo if topic.endswith(".fifo") else {})
            )
        except (BotoCoreError, ClientError) as error:
            log.error("%s was not told of job %s: %s", topic, job.id, error)


def document(job: Job, status: str, region: str, more: dict[str, Any]) -> dict[str, Any]:
    """Return SageMaker's message; `more` are the parts that depend on how the job ended."""
    asked = {
        "accept": job.accept,
        "contentType": job.content_type,
        "endpointName": job.endpoint,
        "inputLocation": located(job.input) if job.input else "",
    }
    return {
        "awsRegion": region,
        "eventTime": _told(time.time()),
        "receivedTime": _told(job.received),
        "invocationStatus": status,
        "requestParameters": asked,
        **more,
        "inferenceId": job.id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def _told(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
