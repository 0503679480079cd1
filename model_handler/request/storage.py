"""Video objects from S3, bounded in size and time, from buckets on an allow-list only."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from urllib3.exceptions import HTTPError

from model_handler.request.errors import (
    AccessDenied,
    BucketNotAllowed,
    InvalidRequest,
    LimitExceeded,
    ObjectNotFound,
    StorageError,
)
from model_handler.request.source import S3Object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK_BYTES = 1 << 20
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)


_making_client = threading.Lock()


def default_client() -> "S3Client":
    """Return the process's S3 client; credentials, region and endpoint come from boto3's own settings."""
    with _making_client:  # a client may be shared by threads, but not made by two at once
        return _make_client()


@cache
def _make_client() -> "S3Client":
    config = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
    return boto3.client("s3", config=config)


def fetch(
    source: S3Object,
    allowed_buckets: Sequence[str],
    max_bytes: int,
    *,
    timeout_s: float = 30,
    client: "S3Client | None" = None,
) -> bytes:
    """Return the object's bytes, at most `max_bytes` of them, within about `timeout_s` seconds.

    Encrypted objects come decrypted where the credentials may use their key. S3 names the size ahead of the
    body, so an object over the limit is refused before any of it is downloaded. Raises `StorageError` and its
    kinds, `InvalidRequest` for a version S3 cannot read, `LimitExceeded`.
    """
    return b"".join(stream(source, allowed_buckets, max_bytes, timeout_s=timeout_s, client=client))


def stream(
    source: S3Object,
    allowed_buckets: Sequence[str],
    max_bytes: int,
    *,
    timeout_s: float = 30,
    client: "S3Client | None" = None,
) -> Iterator[bytes]:
    """Yield the object in chunks of at most 1 MiB; as `fetch`, which says what it raises."""
    if source.bucket not in allowed_buckets:
        raise BucketNotAllowed(
            f"This server may not read bucket {source.bucket!r}. Its operator lists the buckets it may read."
        )
    deadline = time.monotonic() + timeout_s
    version: dict[str, Any] = {"VersionId": source.version_id} if source.version_id else {}
    try:
        answer = (client or default_client()).get_object(Bucket=source.bucket, Key=source.key, **version)
        with closing(answer["Body"]) as body:
            size = answer["ContentLength"]
            if size > max_bytes:
                raise LimitExceeded(
                    "max_bytes", max_bytes, f"{source} has {size} bytes", "Shorten or re-encode the clip."
                )
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                if time.monotonic() > deadline:
                    raise StorageError(f"{source} did not arrive within {timeout_s:g} s. Try again later.")
                yield chunk
    except ClientError as error:
        raise _refusal(source, error) from error
    except ParamValidationError as error:
        raise InvalidRequest(f"{source} is not an address S3 accepts.") from error
    except _NO_CREDENTIALS as error:
        raise AccessDenied(
            f"{source} cannot be read: this server has no AWS credentials. Its operator must give it some."
        ) from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise StorageError(
            f"S3 could not be reached for {source} ({type(error).__name__}). Try again later."
        ) from error


def _refusal(source: S3Object, error: ClientError) -> StorageError | InvalidRequest:
    code = error.response.get("Error", {}).get("Code", "unknown")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status == 404:
        which = f" version {source.version_id}" if source.version_id else ""
        return ObjectNotFound(f"S3 has no object {source}{which} ({code}).")
    if status in (401, 403):
        return AccessDenied(
            f"S3 refused this server access to {source}, or to the key that encrypts it ({code})."
        )
    if code.startswith("KMS"):
        return AccessDenied(f"The key that encrypts {source} cannot be used by this server ({code}).")
    if status == 400:
        return InvalidRequest(f"S3 cannot read the address {source}, version {source.version_id} ({code}).")
    return StorageError(f"S3 answered {status} {code} for {source}. Try again later.")
