"""One bucket's objects, whose faults are told as `ReleaseError`; nothing is written over what nobody read."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.exceptions import HTTPError

from springboard.releases.manifest import ReleaseError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK_BYTES = 1 << 20
# Above any document's size; who may write to the bucket takes no reader's memory.
_SMALL_BYTES = 32 << 20


class Bucket:
    """The models' bucket. Credentials, region and endpoint are boto3's own business."""

    def __init__(self, models: str, client: "S3Client | None" = None) -> None:
        """`models` is `s3://BUCKET`."""
        self.name = models.removeprefix("s3://").rstrip("/")
        if not models.startswith("s3://") or not self.name or "/" in self.name:
            raise ReleaseError(f"the registry should look like s3://my-bucket, found {models!r}")
        self._given = client

    @cached_property
    def _client(self) -> "S3Client":
        """Made when first asked: a profile or a region may be wrong, which `_explained` tells."""
        config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3})
        try:
            return boto3.client("s3", config=config) if self._given is None else self._given
        except (BotoCoreError, ValueError) as error:
            raise ReleaseError(
                f"S3 cannot be asked with these AWS settings: {error}. Look at AWS_PROFILE, "
                "AWS_DEFAULT_REGION and AWS_ENDPOINT_URL_S3, and at ~/.aws/config"
            ) from error

    def url(self, key: str) -> str:
        """Return an object's address, for messages."""
        return f"s3://{self.name}/{key}"

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys of all objects below a prefix."""
        with self._explained(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            for page in pages:
                yield from (item["Key"] for item in page.get("Contents", []))

    def read(self, key: str) -> tuple[bytes, str] | None:
        """Return a small object's contents and its version, None where there is none.

        That is S3's ETag and when it was written: one that was another meanwhile has the same ETag again.
        """
        try:
            with self._explained(key):
                answer = self._client.get_object(Bucket=self.name, Key=key)
                body = answer["Body"].read(_SMALL_BYTES + 1)
                tag, written = answer["ETag"].strip('"'), answer["LastModified"].timestamp()
        except _NotThere:
            return None
        if len(body) > _SMALL_BYTES:
            raise ReleaseError(f"{self.url(key)} has more than {_SMALL_BYTES:,} bytes, as no document has")
        return body, f"{tag}@{written:.0f}"

    def stream(self, key: str) -> Generator[bytes, None, None]:
        """Yield an object in chunks; raise where it is not there."""
        with self._explained(key):
            answer = self._client.get_object(Bucket=self.name, Key=key)
            with closing(answer["Body"]) as body:
                yield from body.iter_chunks(_CHUNK_BYTES)

    def write(self, key: str, body: "bytes | BinaryIO", version: str | None = None) -> bool:
        """Write an object; False, and no change, unless it is `version` now, None: not there."""
        condition: dict[str, Any] = {"IfNoneMatch": "*"}
        if version is not None:
            condition = {"IfMatch": f'"{version.partition("@")[0]}"'}
        kind = "application/json" if key.endswith(".json") else "binary/octet-stream"
        try:
            with self._explained(key):
                self._client.put_object(Bucket=self.name, Key=key, Body=body, ContentType=kind, **condition)
        except _Conflict:
            return False
        except _NotThere:
            if version is None:
                raise
            return False  # it was deleted meanwhile
        return True

    def holds(self, key: str, body: bytes) -> bool:
        """Return whether an object is exactly this. One that `write` refuses may be the writer's own.

        boto3 writes again where an answer is lost, and then meets what it wrote.
        """
        found = self.read(key)
        return found is not None and found[0] == body

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        url = self.url(key)
        try:
            yield
        except ClientError as error:
            raise self._told(error, url, key.partition("/")[0]) from error
        except NoCredentialsError as error:
            raise ReleaseError(
                f"there are no AWS credentials for {url}: give a host an instance role, elsewhere run: "
                "aws configure"
            ) from error
        except (BotoCoreError, HTTPError) as error:
            raise ReleaseError(f"S3 could not be reached for {url}: {error}") from error

    def _told(self, error: ClientError, url: str, folder: str) -> Exception:
        code = error.response.get("Error", {}).get("Code", "unknown")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in ("PreconditionFailed", "ConditionalRequestConflict") or status in (409, 412):
            return _Conflict(url)
        if code == "NoSuchBucket":
            return ReleaseError(f"there is no bucket {self.name}; run playbooks/provision.yml")
        if status == 404:
            return _NotThere(f"{url} is missing, though its manifest names it")
        if status in (401, 403):
            return ReleaseError(
                f"S3 refused {url} ({code}): check the credentials, and what they may do in "
                f"s3://{self.name}/{folder}/"
            )
        return ReleaseError(f"S3 answered {status} {code} for {url}")


class _Conflict(Exception):
    """The object is not, or no longer, what the writer took it for."""


class _NotThere(ReleaseError):
    """The object is not there."""
