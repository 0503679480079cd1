"""The queue on AWS: SQS, standard or FIFO. Dead letters go where the queue's own redrive policy says."""

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from springboard.jobs.job import Job
from springboard.jobs.queue import Backlog, Claim, DeadLetter, LeaseLost, QueueAway

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# SQS holds a receive open for at most so long.
_LONGEST_WAIT = 20
_CONFIG = Config(connect_timeout=3, read_timeout=30, retries={"total_max_attempts": 2, "mode": "standard"})
# Where a receipt handle is given: InvalidParameterValue is SQS' word for much else, too.
_LOST = ("MessageNotInflight", "ReceiptHandleIsInvalid", "InvalidParameterValue")
_LONGEST_REASON = 1000
# Who looks at dead letters has them for so long at most.
_HELD_SECONDS = 60


class SqsQueue:
    """A `JobQueue` at an SQS queue's URL; credentials are boto3's own."""

    patience = 10.0

    def __init__(self, url: str, lease_seconds: float = 30.0) -> None:
        """`url` as SQS tells it; another SQS than Amazon's is asked at its host."""
        self._url = url
        self._lease = ceil(lease_seconds)
        self._fifo = {"fifo"} if url.endswith(".fifo") else set[str]()

    @cached_property
    def _client(self) -> "SQSClient":
        parts = urlsplit(self._url)
        named = re.match(r"sqs\.([a-z0-9-]+)\.", parts.hostname or "")
        return boto3.client(
            "sqs",
            endpoint_url=f"{parts.scheme}://{parts.netloc}",
            region_name=named[1] if named else boto3.Session().region_name or "us-east-1",
            config=_CONFIG,
        )

    def put(self, job: Job) -> None:
        """See `JobQueue`."""
        self._send(self._url, job.written(), f"{job.run}/{job.id}")

    def claim(self, wait_seconds: float) -> Claim | None:
        """See `JobQueue`."""
        with self._explained():
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=min(ceil(wait_seconds), _LONGEST_WAIT),
                VisibilityTimeout=self._lease,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        for message in answer.get("Messages", []):
            attempt = int(message["Attributes"]["ApproximateReceiveCount"])
            return Claim(message["Body"].encode(), attempt, message["ReceiptHandle"])
        return None

    def extend(self, claim: Claim, seconds: float) -> None:
        """See `JobQueue`."""
        with self._explained(_LOST):
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=str(claim.receipt), VisibilityTimeout=ceil(seconds)
            )

    def done(self, claim: Claim) -> None:
        """See `JobQueue`."""
        with self._explained(_LOST):
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=str(claim.receipt))

    def dead(self, claim: Claim, reason: str) -> None:
        """See `JobQueue`; without dead letters of the queue's own it is only taken out."""
        if self._dead_letters:
            self._send(self._dead_letters, claim.message, hashlib.sha256(claim.message).hexdigest(), reason)
        self.done(claim)

    def backlog(self) -> Backlog:
        """See `JobQueue`; SQS does not tell how old its oldest message is, CloudWatch does."""
        dead = self._counts(self._dead_letters) if self._dead_letters else (0, 0)
        waiting, leased = self._counts(self._url)
        return Backlog(waiting, leased, sum(dead), None)

    @contextmanager
    def dead_letters(self, most: int) -> Iterator[list[DeadLetter]]:
        """See `JobQueue`; SQS shows a message only by hiding it from others, here until this ends."""
        found: dict[str, tuple[DeadLetter, str]] = {}
        try:
            while self._dead_letters and len(found) < most and (more := self._hold(most - len(found))):
                found |= more
            yield [letter for letter, _ in found.values()]
        finally:
            for _, receipt in found.values():
                with suppress(LeaseLost), self._explained(_LOST):  # what was dropped meanwhile
                    self._client.change_message_visibility(
                        QueueUrl=self._dead_letters, ReceiptHandle=receipt, VisibilityTimeout=0
                    )

    def _hold(self, most: int) -> dict[str, tuple[DeadLetter, str]]:
        with self._explained():
            answer = self._client.receive_message(
                QueueUrl=self._dead_letters,
                MaxNumberOfMessages=min(most, 10),
                WaitTimeSeconds=1,  # a short look asks only some of SQS' machines
                VisibilityTimeout=_HELD_SECONDS,
                MessageAttributeNames=["reason"],
            )
        held = {}
        for one in answer.get("Messages", []):
            told: Any = one.get("MessageAttributes", {})
            reason = told.get("reason", {}).get("StringValue", "")
            drop = partial(self._drop, one["ReceiptHandle"])
            letter = DeadLetter(one["MessageId"], one["Body"].encode(), reason, drop)
            held[letter.name] = (letter, one["ReceiptHandle"])
        return held

    def _drop(self, receipt: str) -> None:
        with self._explained(_LOST):
            self._client.delete_message(QueueUrl=self._dead_letters, ReceiptHandle=receipt)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    @cached_property
    def _dead_letters(self) -> str:
        """The URL of the queue for dead letters, empty where there is none."""
        with self._explained():
            asked = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["RedrivePolicy"])
            policy = json.loads(asked.get("Attributes", {}).get("RedrivePolicy", "{}"))
            if not (arn := policy.get("deadLetterTargetArn")):
                return ""
            account, name = arn.split(":")[4:6]
            url: str = self._client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
            return url

    def _counts(self, url: str) -> tuple[int, int]:
        with self._explained():
            told = self._client.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )["Attributes"]
        waiting, leased = told["ApproximateNumberOfMessages"], told["ApproximateNumberOfMessagesNotVisible"]
        return int(waiting), int(leased)

    def _send(self, url: str, message: bytes, once: str, reason: str = "") -> None:
        more: dict[str, Any] = {}
        if self._fifo:
            # Each job by itself: none waits for another.
            digest = hashlib.sha256(once.encode()).hexdigest()
            more = {"MessageGroupId": digest, "MessageDeduplicationId": digest}
        if reason:
            more["MessageAttributes"] = {
                "reason": {"DataType": "String", "StringValue": reason[:_LONGEST_REASON]}
            }
        with self._explained():
            self._client.send_message(QueueUrl=url, MessageBody=message.decode(), **more)

    @contextmanager
    def _explained(self, lost: Collection[str] = ()) -> Iterator[None]:
        """Raise `QueueAway` for faults, `LeaseLost` for those codes that say so of a receipt handle."""
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "").rpartition(".")[2]
            if code in lost:
                raise LeaseLost(f"{code}: {error}") from error
            raise QueueAway(f"SQS refused the queue {self._url} ({code}): {error}") from error
        except BotoCoreError as error:
            raise QueueAway(f"SQS cannot be reached for {self._url}: {error}") from error
