"""A burst of S3's messages of new objects: each object has one answer, whatever else comes with them.

`python -m bench.drops [OBJECTS]` puts videos into a bucket and S3's messages of them on SQS, in no order, the
first fifth twice, once more by SNS and by EventBridge, with test messages between. S3 is SeaweedFS, SQS
moto's, TorchServe the real one with a model that answers at once. Fails where an object has no answer,
another's or two, or a message is left.
"""

import json
import logging
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

import boto3

from bench.jobs_stage import Stage, stage
from tests.stands.waiting import wait_until

_AT = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
_TEST = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": _AT, "Bucket": "dives"}


def main(count: str = "500") -> None:
    """Run it and print what came of it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name, stage("sqs", Path(name)) as one:
        keys = [f"in/heat {number % 7}/{number:03}ä.mp4" for number in range(int(count))]
        tags = {
            key: one.s3.put_object(Bucket="dives", Key=key, Body=b"score=%d" % number)["ETag"].strip('"')
            for number, key in enumerate(keys)
        }
        told = [_message(key, tags[key]) for key in keys]
        twice = told[: len(keys) // 5]
        by_sns = {
            "Type": "Notification",
            "TopicArn": "arn:aws:sns:us-east-1:1:dives",
            "Message": json.dumps(told[0]),
        }
        messages = [*told, *twice, by_sns, _by_eventbridge(keys[0], tags[keys[0]]), *[_TEST] * 5]
        random.Random(7).shuffle(messages)
        began = time.monotonic()
        _send(one, messages)
        wait_until(lambda: len(_answers(one)) >= len(keys) and not _left(one), "all answers", 600)
        seconds, answers = time.monotonic() - began, _answers(one)
        scores = sorted(
            json.loads(one.s3.get_object(Bucket="scores", Key=key)["Body"].read())["score"] for key in answers
        )
        dead = one.queue.backlog().dead
    print(
        f"{len(messages)} messages of {len(keys)} objects, {seconds:.0f} s: "
        f"{len(answers)} answers, {dead} dead letters"
    )
    if dead or scores != [float(number) for number in range(len(keys))]:
        sys.exit(1)


def _message(key: str, tag: str) -> dict[str, Any]:
    told = {"bucket": {"name": "dives"}, "object": {"key": quote_plus(key), "size": 9, "eTag": tag}}
    said = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": _AT,
        "eventName": "ObjectCreated:Put",
    }
    return {"Records": [{**said, "s3": told}]}


def _by_eventbridge(key: str, tag: str) -> dict[str, Any]:
    detail = {"bucket": {"name": "dives"}, "object": {"key": key, "etag": tag}, "reason": "PutObject"}
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": _AT,
        "detail": detail,
    }


def _send(one: Stage, messages: list[dict[str, Any]]) -> None:
    parts = urlsplit(one.settings.queue)
    sqs = boto3.client("sqs", endpoint_url=f"{parts.scheme}://{parts.netloc}")
    for first in range(0, len(messages), 10):
        some = messages[first : first + 10]
        entries: Any = [{"Id": str(n), "MessageBody": json.dumps(message)} for n, message in enumerate(some)]
        assert not sqs.send_message_batch(QueueUrl=one.settings.queue, Entries=entries).get("Failed")
    sqs.close()


def _answers(one: Stage) -> list[str]:
    pages = one.s3.get_paginator("list_objects_v2").paginate(Bucket="scores", Prefix="out/in/")
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def _left(one: Stage) -> int:
    backlog = one.queue.backlog()
    return backlog.waiting + backlog.leased


if __name__ == "__main__":
    main(*sys.argv[1:])
