"""Jobs that hosts are given: handing them in, and what came of them."""

import json
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ENDPOINT = "/endpoints/dive-scoring"


def hand_in(client: httpx.Client, name: str, video: str = "good.mp4") -> None:
    """Have a video of the bucket `dives` scored, as a job of this name."""
    headers = {
        "X-Amzn-SageMaker-InputLocation": f"s3://dives/{video}",
        "X-Amzn-SageMaker-Inference-Id": name,
    }
    taken = client.post(f"{ENDPOINT}/async-invocations", headers=headers)
    assert taken.status_code == 202, taken.text


def results(s3: "S3Client", prefix: str) -> dict[str, str]:
    """When each result of the jobs `heat-...` was written, and what it is, by its key."""
    found = s3.list_objects_v2(Bucket="scores", Prefix=f"{prefix}/heat-").get("Contents", [])
    return {one["Key"]: f"{one['LastModified']} {one['ETag']}" for one in found}


def scores(s3: "S3Client", keys: dict[str, str]) -> list[float]:
    """Return the scores of these results."""
    return [json.loads(s3.get_object(Bucket="scores", Key=key)["Body"].read())["score"] for key in keys]


def nothing_left(client: httpx.Client, host: str = "") -> bool:
    """Whether no job waits, is at work or was given up, as its own host or this one tells."""
    jobs = client.get(f"{host}{ENDPOINT}").json()["jobs"]
    return [jobs[where] for where in ("waiting", "at_work", "dead")] == [0, 0, 0]
