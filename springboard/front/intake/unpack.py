"""Bodies with a Content-Encoding: unpacked within the limits, so that no bomb fills the memory."""

import io
import zlib
from collections.abc import Callable, Sequence

from model_handler.request.errors import InvalidRequest
from springboard.front.errors import BodyTooLarge, UnsupportedEncoding

_STEP_BYTES = 1 << 18
# bgzip and pigz write a member for each piece of a file; more than that is made to cost time.
_MAX_MEMBERS = 10_000
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
ACCEPTED = "gzip, deflate, identity"


def coding_of(headers: Sequence[str]) -> str:
    """Return the one coding that Content-Encoding headers name, empty for none.

    Raises `UnsupportedEncoding` for others, and for more than one.
    """
    named = [name.strip().lower() for header in headers for name in header.split(",")]
    codings = [name for name in named if name not in ("", "identity")]
    if len(codings) > 1 or (codings and codings[0] not in ("gzip", "x-gzip", "deflate")):
        raise UnsupportedEncoding(", ".join(headers))
    return codings[0].removeprefix("x-") if codings else ""


def unpack(body: bytes, coding: str, allowed: int, hold: Callable[[int], None]) -> bytes:
    """Return the body unpacked, at most `allowed` bytes of it, telling `hold` of each piece.

    Raises `BodyTooLarge` as soon as there is more, `InvalidRequest` for what is no such data, or cut off.
    """
    unpacked, at = io.BytesIO(), 0
    end = len(body.rstrip(b"\0"))
    for member in range(_MAX_MEMBERS):
        if member and at >= end:
            return unpacked.getvalue()  # tapes and some tools fill up with zeros
        stream = zlib.decompressobj(_format(body, coding))
        try:
            at = _unpack_stream(stream, body, at, unpacked, allowed, hold)
        except zlib.error as error:
            raise InvalidRequest(
                f"The body is not {coding}, as its Content-Encoding says ({error})."
            ) from None
        if at == len(body):
            return unpacked.getvalue()
    raise InvalidRequest(f"The {coding} body has more than {_MAX_MEMBERS:,} members.")


def _format(body: bytes, coding: str) -> int:
    if coding == "gzip":
        return _GZIP
    # RFC 9110 means zlib's format by deflate; some clients send it without zlib's two bytes (RFC 1950, 2.2).
    head = int.from_bytes(body[:2])
    return _ZLIB if head >> 8 & 0x0F == 8 and head % 31 == 0 else _RAW


def _unpack_stream(
    stream: "zlib._Decompress",
    body: bytes,
    at: int,
    unpacked: io.BytesIO,
    allowed: int,
    hold: Callable[[int], None],
) -> int:
    """Unpack one stream; return where it ended."""
    while not stream.eof:
        packed = body[at : at + _STEP_BYTES]
        if not packed:
            raise InvalidRequest("The packed body is cut off.")
        at += len(packed)
        more = True
        while more:
            piece = stream.decompress(packed, _STEP_BYTES)
            packed = stream.unconsumed_tail
            more = not stream.eof and (bool(packed) or len(piece) == _STEP_BYTES)
            if unpacked.tell() + len(piece) > allowed:
                raise BodyTooLarge(allowed)
            hold(len(piece))
            unpacked.write(piece)
    return at - len(stream.unused_data)
