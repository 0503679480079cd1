"""Videos that are dropped somewhere: S3's messages of new objects, and what is found in a folder, as jobs.

docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html, ev-events.html
"""

import hashlib
import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from springboard.jobs.desk import Desk
from springboard.jobs.job import Job, NoJob

# Nobody said how soon: as long as SQS keeps a message.
TTL_SECONDS = 14 * 86400.0
WORK_SECONDS = 900.0
# Of a result's path, in S3 and in a folder; what is longer has the job's id for a name.
_LONGEST_KEY, _LONGEST_STEP = 900, 220
_TEST = "s3:TestEvent"


@dataclass(frozen=True)
class Dropped:
    """A video that was put somewhere: `key` is its path there, `version` tells it from others there."""

    place: str
    key: str
    version: str
    at: float

    def job(self, desk: Desk) -> Job:
        """Return the job that scores it; the same video twice is one."""
        told = json.dumps([self.place, self.version]).encode()
        digest = hashlib.sha256(told).hexdigest()
        job_id = f"drop-{digest[:32]}"
        output, failure = desk.place(job_id)
        steps = "/".join(map(_step, self.key.split("/")))
        longest = max(len(step.encode()) for step in steps.split("/"))
        if len(steps.encode()) <= _LONGEST_KEY and longest <= _LONGEST_STEP:
            name = f"{steps}.{digest[:8]}"
            output, _ = desk.place(job_id, filename=f"{name}.out")
            failure = f"{desk.settings.failures}/{name}-error.out"
        return Job(
            id=job_id,
            endpoint=desk.endpoint,
            input=self.place,
            received=self.at,
            expires=self.at + TTL_SECONDS,
            timeout=WORK_SECONDS,
            output=output,
            failure=failure,
        )


def read(message: bytes) -> list[Dropped]:
    """Return the objects that a message tells of, none for S3's test and other events; raise `NoJob`."""
    try:
        return _objects(json.loads(message))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoJob(f"neither a job nor an event of S3 ({type(error).__name__}: {error})") from None


def take_in(desk: Desk, dropped: Dropped) -> Job | None:
    """Put a video on the queue; None where it is a result of ours, which may lie in the same bucket.

    What was put where `POST /endpoints/{name}/uploads` said is the job that it promised.
    """
    settings = desk.settings
    for ours in (settings.output.rstrip("/"), settings.failures):
        if dropped.place.startswith(f"{ours}/"):
            return None
    if settings.uploads and dropped.place.startswith(f"{settings.uploads.rstrip('/')}/"):
        promised = desk.find(unquote(dropped.place.rpartition("/")[2]))
        if promised and promised.job.input == dropped.place:
            return desk.accept(promised.job)
    return desk.accept(dropped.job(desk))


def _objects(told: Any) -> list[Dropped]:
    if told.get("Type") == "Notification" and "TopicArn" in told:  # SNS, without raw delivery
        told = json.loads(told["Message"])
    if told.get("Event") == _TEST:
        return []
    if told.get("source") == "aws.s3":  # EventBridge, whose keys are as they are
        if told["detail-type"] != "Object Created":
            return []
        return [_dropped(told["detail"], told["detail"]["object"]["key"], told["time"])]
    return [
        _dropped(one["s3"], unquote_plus(one["s3"]["object"]["key"]), one["eventTime"])
        for one in told["Records"]
        if one["eventSource"] == "aws:s3" and one["eventName"].startswith("ObjectCreated:")
    ]


def _dropped(told: dict[str, Any], key: str, at: str) -> Dropped:
    found = told["object"]
    # Each has one of these; the ETag is the same for the same bytes put again.
    version = found.get("eTag") or found.get("etag") or found.get("sequencer") or ""
    when = datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()
    return Dropped(
        f"s3://{told['bucket']['name']}/{key}", key, str(version).strip('"'), min(when, time.time())
    )


def _step(step: str) -> str:
    """Return a step of a path that climbs nowhere, the same as it was where it can be."""
    if step.strip(".") and step.isprintable():
        return step
    return quote(step, safe="").replace(".", "%2E") or "%"
