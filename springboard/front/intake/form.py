"""The field of a multipart form that holds the video, found without copying or parsing what it holds."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

from model_handler.request.encoded import Hold, decode
from model_handler.request.errors import InvalidRequest
from model_handler.request.source import pick_name

_MAX_PARTS = 32
_MAX_HEAD_BYTES = 4096
_MAX_BOUNDARY_BYTES = 256  # RFC 2046 allows 70
_MAX_TYPE_BYTES = 4096  # `email` reads parameters in time that grows by the square
_MAX_NEAR_BOUNDARIES = 1000
_LINE_END = re.compile(rb"[ \t]{0,64}\r\n")


@dataclass(frozen=True)
class _Part:
    """One field: its name, whether it came as a file, its content's place in the body and encoding."""

    name: str
    is_file: bool
    start: int
    end: int
    encoding: str


def is_form(content_type: str | None) -> bool:
    """Whether a body of this type is a form of several parts."""
    return (content_type or "").strip().lower().startswith("multipart/")


def field(body: bytes, content_type: str, hold: Hold) -> bytes:
    """Return the content of the field that `pick_name` says, telling `hold` of its length.

    Raises `InvalidRequest` for what is no form, has too many parts, or has that field twice.
    """
    parts = list(_parts(body, _boundary(content_type)))
    name = pick_name([part.name for part in parts], [part.name for part in parts if part.is_file])
    chosen = [part for part in parts if part.name == name]
    if len(chosen) > 1:
        raise InvalidRequest(
            f"The form has the field {name[:40]} {len(chosen)} times; send one video a request."
        )
    (part,) = chosen
    if part.encoding == "base64":
        return decode(body[part.start : part.end], hold)
    if part.encoding not in ("", "binary", "8bit", "7bit"):
        raise InvalidRequest(f"Content-Transfer-Encoding {part.encoding[:40]} is not read; send it as it is.")
    hold(part.end - part.start)
    return body[part.start : part.end]


@contextmanager
def _refusing_headers() -> Iterator[None]:
    """Refuse parameters at which `email` itself fails: RFC 2231's pieces mixed up, a charset that is none."""
    try:
        yield
    except (TypeError, ValueError, LookupError):
        raise InvalidRequest("The form cannot be read: a header's parameters make no sense.") from None


def _boundary(content_type: str) -> bytes:
    if len(content_type) > _MAX_TYPE_BYTES:
        raise InvalidRequest(f"The form's Content-Type has more than {_MAX_TYPE_BYTES:,} bytes.")
    message = Message()
    message["Content-Type"] = content_type
    with _refusing_headers():
        boundary = (message.get_boundary() or "").encode(errors="replace")
    if not 0 < len(boundary) <= _MAX_BOUNDARY_BYTES:
        raise InvalidRequest(
            f"The Content-Type is multipart, but names no boundary of 1 to {_MAX_BOUNDARY_BYTES} bytes."
        )
    return boundary


def _parts(body: bytes, boundary: bytes) -> Iterator[_Part]:
    """Yield each part; RFC 2046, 5.1."""
    delimiter = b"\r\n--" + boundary
    # The first one may open the body; what stands before it is not part of the form.
    at = len(delimiter) - 2 if body.startswith(delimiter[2:]) else _next(body, delimiter, 0)[1]
    count = 0
    while body[at : at + 2] != b"--":
        count += 1
        if count > _MAX_PARTS:
            raise InvalidRequest(f"The form has more than {_MAX_PARTS} parts; one with the video is enough.")
        line_end = _LINE_END.match(body, at)
        if line_end is None:
            raise InvalidRequest("The form cannot be read: a boundary is not followed by a line break.")
        # A part without headers begins with an empty line.
        start = body.find(b"\r\n\r\n", line_end.end() - 2, line_end.end() + _MAX_HEAD_BYTES)
        if start < 0:
            raise InvalidRequest(
                f"The form cannot be read: a part's headers have no end within {_MAX_HEAD_BYTES} bytes."
            )
        head, start = body[line_end.end() : start], start + 4
        # The line break after the headers may be the one before the next boundary.
        end, at = _next(body, delimiter, start - 2)
        yield _part(head, start, max(start, end))


def _next(body: bytes, delimiter: bytes, at: int) -> tuple[int, int]:
    """Return where the next delimiter line begins, and where it goes on behind the boundary."""
    for _ in range(_MAX_NEAR_BOUNDARIES):
        begins = body.find(delimiter, at)
        if begins < 0:
            raise InvalidRequest("The form is cut off, or its boundary is not the one of its Content-Type.")
        at = begins + len(delimiter)
        if body[at : at + 2] == b"--" or _LINE_END.match(body, at):
            return begins, at
    raise InvalidRequest("The form cannot be read: its boundary stands in what it holds.")


def _part(head: bytes, start: int, end: int) -> _Part:
    headers = BytesParser(policy=compat32).parsebytes(head + b"\r\n\r\n", headersonly=True)
    with _refusing_headers():
        name = headers.get_param("name", "", header="content-disposition")
        is_file = headers.get_filename() is not None
    encoding = str(headers.get("content-transfer-encoding", "")).strip().lower()
    return _Part(_text(name), is_file, start, end, encoding)


def _text(name: object) -> str:
    """Return a name as text: email keeps bytes beyond ASCII as surrogates, RFC 2231's as a triple."""
    name = name[2] if isinstance(name, tuple) else str(name)
    return str(name).encode(errors="surrogateescape").decode(errors="replace")
