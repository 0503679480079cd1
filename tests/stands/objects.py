"""A bucket in memory, as boto3's client of S3 shows it: reads, lists, and writes under conditions."""

import hashlib
import io
import itertools
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError


def refused(status: int, code: str) -> ClientError:
    """Return what boto3 raises where S3 answers so."""
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutObject")


class _Held(UserDict[str, bytes]):
    """What there is, and when each was written: no two in the same second."""

    def __init__(self, held: Mapping[str, bytes]) -> None:
        self.written: dict[str, datetime] = {}
        self._seconds = itertools.count(1_700_000_000)
        super().__init__(held)

    def __setitem__(self, key: str, body: bytes) -> None:
        super().__setitem__(key, body)
        self.written[key] = datetime.fromtimestamp(next(self._seconds), UTC)


class Objects:
    """The objects by key. While `away` nobody reaches it; `before_put` is called before each write.

    With `loses_answer` that of the next write does not arrive, and boto3 asks once more by itself.
    """

    def __init__(self, held: Mapping[str, bytes] = MappingProxyType({})) -> None:
        self.held = _Held(held)
        self.away = self.loses_answer = False
        self.before_put: Callable[[], None] = lambda: None

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self._reach()
        if Key not in self.held:
            raise refused(404, "NoSuchKey")
        body, written = io.BytesIO(self.held[Key]), self.held.written[Key]
        return {"Body": body, "ETag": self._tag(Key), "LastModified": written}

    def put_object(
        self,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Body: bytes,  # noqa: N803
        ContentType: str,  # noqa: N803
        IfMatch: str | None = None,  # noqa: N803
        IfNoneMatch: str | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        self._reach()
        self.before_put()
        assert (IfMatch is None) != (IfNoneMatch is None), "nothing is written without a condition"
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        if IfMatch is not None and Key not in self.held:
            raise refused(404, "NoSuchKey")
        if (IfNoneMatch == "*" and Key in self.held) or (IfMatch is not None and IfMatch != self._tag(Key)):
            raise refused(412, "PreconditionFailed")
        self.held[Key] = Body
        if self.loses_answer:
            self.loses_answer = False
            return self.put_object(Bucket, Key, Body, ContentType, IfMatch, IfNoneMatch)
        return {"ETag": self._tag(Key)}

    def get_paginator(self, _: str) -> "Objects":
        return self

    def paginate(self, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        self._reach()
        yield {"Contents": [{"Key": key} for key in self.held if key.startswith(Prefix)]}

    def _reach(self) -> None:
        if self.away:
            raise EndpointConnectionError(endpoint_url="https://s3.amazonaws.com/")

    def _tag(self, key: str) -> str:
        return f'"{hashlib.md5(self.held[key], usedforsecurity=False).hexdigest()}"'
