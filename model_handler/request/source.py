"""A request's body -> where its video is: the bytes themselves, or an object in S3. The front uses it too."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_handler.request.errors import EmptyBody, InvalidRequest

_FORMS = (
    'Send the video itself, or {"aqa_data": {"bucket_name": "B", "object_key": "K"}}, '
    'or {"s3_uri": "s3://B/K", "version_id": "optional"}.'
)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
_MAX_KEY_BYTES = 1024  # S3's own limit
_MAX_POINTER_BYTES = 8192


@dataclass(frozen=True)
class S3Object:
    """One object, and its version where the caller names one."""

    bucket: str
    key: str
    version_id: str | None = None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse(body: bytes | str | dict[str, Any], content_type: str | None = None) -> bytes | S3Object:
    """Return the video's bytes or the S3 object that the body names.

    `body` may already be text or JSON: TorchServe decodes those content types itself. JSON is recognised by
    its content or its content type, so that `curl -d` works too. Raises `EmptyBody` or `InvalidRequest`.
    """
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, dict):
        return _pointer(body)
    body = bytes(body)
    if not body:
        raise EmptyBody(f"The body is empty. {_FORMS}")
    declared_json = (content_type or "").split(";")[0].strip().lower() == "application/json"
    if declared_json or (len(body) <= _MAX_POINTER_BYTES and body.lstrip()[:1] == b"{"):
        try:
            parsed = json.loads(body)
        except ValueError as error:
            raise InvalidRequest(f"The body is not valid JSON ({error}). {_FORMS}") from error
        return _pointer(parsed)
    return body


def pick_field(fields: Mapping[str, Any]) -> Any:
    """Return the one field of a form that holds the video or the pointer.

    A form of one field may give it any name; among several, it is `video`, `file`, `data` or `body`.
    Raises `InvalidRequest` where none or more than one could be meant.
    """
    if not fields:
        raise EmptyBody(f"The form has no field. {_FORMS}")
    if len(fields) == 1:
        return next(iter(fields.values()))
    named = [name for name in ("video", "file", "data", "body") if name in fields]
    if len(named) != 1:
        raise InvalidRequest(
            f"The form has the fields {sorted(fields)}; put the video into one named `video`."
        )
    return fields[named[0]]


def _pointer(parsed: object) -> S3Object:
    if not isinstance(parsed, dict) or ("aqa_data" in parsed) == ("s3_uri" in parsed):
        raise InvalidRequest(f"The JSON body names no video. {_FORMS}")
    if "s3_uri" in parsed:
        uri = _text(parsed, "s3_uri")
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket or not key:
            raise InvalidRequest(f"s3_uri is {uri!r}; it should look like s3://bucket/key.")
        version = _text(parsed, "version_id") if parsed.get("version_id") is not None else None
    else:
        data = parsed["aqa_data"]
        if not isinstance(data, dict):
            raise InvalidRequest(f"aqa_data should be an object. {_FORMS}")
        bucket, key = _text(data, "bucket_name"), _text(data, "object_key")
        version = None
    if not _BUCKET.fullmatch(bucket):
        raise InvalidRequest(f"{bucket!r} is not a bucket name.")
    if len(key.encode()) > _MAX_KEY_BYTES:
        raise InvalidRequest(f"The object key has {len(key.encode())} bytes; S3 allows {_MAX_KEY_BYTES}.")
    return S3Object(bucket, key, version)


def _text(parsed: Mapping[str, object], name: str) -> str:
    value = parsed.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{name} should be a non-empty string. {_FORMS}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{name} is not valid Unicode text.") from error
    return value
