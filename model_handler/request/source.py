"""A request's body -> where its video is: the bytes themselves, or an object in S3. The front uses it too."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_handler.request import encoded
from model_handler.request.encoded import MAX_JSON_BYTES, Hold, Text, hold_nothing
from model_handler.request.errors import EmptyBody, InvalidRequest

_FORMS = (
    'Send the video itself, or {"aqa_data": {"bucket_name": "B", "object_key": "K"}}, '
    'or {"s3_uri": "s3://B/K", "version_id": "optional"}, or {"video": "its base64"}.'
)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
_MAX_KEY_BYTES = 1024  # S3's own limit
# Where base64 stands in JSON: our own, TensorFlow Serving's and KServe's, a form's, API Gateway's.
_ENCODED = ("video", "instances", "inputs", "file", "data", "body", "b64", "base64")
_MAX_DEPTH = 6
_BOM = b"\xef\xbb\xbf"
_CONTROL = bytes(sign for sign in range(32) if sign not in b"\t\n\r")


@dataclass(frozen=True)
class S3Object:
    """One object, and its version where the caller names one."""

    bucket: str
    key: str
    version_id: str | None = None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse(
    body: bytes | str | dict[str, Any] | list[Any] | float | None,
    content_type: str | None = None,
    *,
    any_base64: bool = False,
    hold: Hold = hold_nothing,
) -> bytes | S3Object:
    """Return the video's bytes or the S3 object that the body names.

    `body` may already be text or JSON: TorchServe decodes those content types itself. JSON is recognised by
    its content, whatever its content type, so that `curl -d` works too and a video declared as JSON is one.
    `any_base64`: a bare body of base64 is decoded, whatever it holds; else only where it is surely a video.
    `hold` is told of memory as it is taken. Raises `EmptyBody` or `InvalidRequest`.
    """
    if not isinstance(body, bytes | bytearray | memoryview | str):
        return _find(body, {}, hold)  # a number too, of which bytes() would make as many zeros
    body = _bytes(body) if isinstance(body, str) else bytes(body)
    if not body:
        raise EmptyBody(f"The body is empty. {_FORMS}")
    if is_json(body, content_type):
        return _read_json(body, hold)
    if is_encoded(body, any_base64):
        return encoded.decode(body, hold)
    return body


def is_json(body: bytes, content_type: str | None = None) -> bool:
    """Whether a body is JSON, or means to be."""
    media_type = (content_type or "").split(";")[0].strip().lower()
    declared = media_type == "application/json" or media_type.endswith("+json")
    head = body[:256].removeprefix(_BOM).lstrip()
    if len(head) != len(head.translate(None, _CONTROL)):  # no text, or UTF-16
        return declared and len(body) <= MAX_JSON_BYTES and _parses(body)
    if head[:1] == b"{" or (head[:1] in (b"[", b'"') and declared):
        return True
    return declared and len(body) <= MAX_JSON_BYTES and _is_utf8(body)


def is_encoded(body: bytes, any_base64: bool = False) -> bool:
    """Whether a body that is no JSON is a data URL or bare base64."""
    return encoded.is_data_url(body) or encoded.is_base64(body, of_video=not any_base64)


def pick_field(fields: Mapping[str, Any]) -> Any:
    """Return the one field of a form that holds the video or the pointer; as `pick_name`."""
    return fields[pick_name(list(fields))]


def pick_name(names: Sequence[str], files: Sequence[str] = ()) -> str:
    """Return the name of a form's field that holds the video or the pointer; `files` are fields with a file.

    It is `video`; else the one of `file`, `data` and `body`; else the only field, or the only file. Raises
    `InvalidRequest` where none or more than one could be meant.
    """
    if not names:
        raise EmptyBody(f"The form has no field. {_FORMS}")
    if "video" in names:
        return "video"
    likely: Collection[str]
    for likely in ([name for name in ("file", "data", "body") if name in names], set(names), set(files)):
        if len(likely) == 1:
            return next(iter(likely))
    shown = ", ".join(sorted({name[:40] for name in names})[:8])
    raise InvalidRequest(f"The form has the fields {shown}; put the video into one named `video`.")


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("The body is not valid Unicode text.") from error


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parses(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _read_json(body: bytes, hold: Hold) -> bytes | S3Object:
    texts: dict[str, Text] = {}
    if len(body) > MAX_JSON_BYTES:
        body, texts = encoded.cut(body)
    try:
        parsed = json.loads(body)
    except RecursionError:
        raise InvalidRequest(f"The JSON body is nested too deeply. {_FORMS}") from None
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON ({error}). {_FORMS}") from error
    return _find(parsed, texts, hold)


def _find(value: object, texts: Mapping[str, Text], hold: Hold, depth: int = 0) -> bytes | S3Object:
    """Return what a JSON value holds; `texts` are the long strings by what stands in their place."""
    if isinstance(value, str):
        return _read_string(value, texts, hold)
    if isinstance(value, list) and len(value) > 1:
        raise InvalidRequest(f"The JSON body has {len(value)} instances; send one video a request.")
    if depth < _MAX_DEPTH and isinstance(value, list) and value:
        return _find(value[0], texts, hold, depth + 1)
    if isinstance(value, dict):
        if "aqa_data" in value or "s3_uri" in value:
            return _pointer(value)
        named = [name for name in _ENCODED if name in value]
        if depth < _MAX_DEPTH and (len(named) == 1 or "video" in named):
            return _find(value["video" if "video" in named else named[0]], texts, hold, depth + 1)
    raise InvalidRequest(f"The JSON body names no video. {_FORMS}")


def _read_string(value: str, texts: Mapping[str, Text], hold: Hold) -> bytes | S3Object:
    if value in texts:
        return encoded.decode(texts[value], hold)
    if value.startswith("s3://"):
        return _pointer({"s3_uri": value})
    return encoded.decode(_bytes(value), hold)


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
