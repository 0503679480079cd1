"""Videos written as text: base64, as it is, as a data URL, or as a string in JSON.

JSON of the length of a video is never parsed whole: `cut` takes its long strings out by searching for quotes,
and what is left has at most `MAX_JSON_BYTES`. So no body costs more than a few passes at memory's speed.
"""

import binascii
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from model_handler.request.errors import EmptyBody, InvalidRequest

MAX_JSON_BYTES = 8192
_LONG_BYTES = 1024
_MAX_STRINGS = 1000
_STEP_BYTES = 1 << 20
_MAX_BACKSLASHES = 64
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITESPACE = b" \t\r\n\f\v"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
# How base64 of a video begins: MP4 and MOV (a box's length), MPEG, Matroska, AVI, GIF and MPEG-TS, ASF, FLV.
_MAGIC = (b"AAAA", b"AAAB", b"GkXf", b"UklG", b"R0", b"MCay", b"RkxW")

Hold = Callable[[int], None]


def hold_nothing(_: int) -> None:
    """Count no memory: where nobody bounds it further than the body's own length."""


@dataclass(frozen=True)
class Text:
    """A long string of a body, not yet read: `body[start:end]`, with JSON's escapes in it."""

    body: bytes
    start: int
    end: int


def cut(body: bytes) -> tuple[bytes, dict[str, Text]]:
    """Return JSON with a mark in place of each long string, and the strings by their marks.

    Raises `InvalidRequest` where more than `MAX_JSON_BYTES` are left.
    """
    left, texts, at = bytearray(), dict[str, Text](), 0
    for _ in range(_MAX_STRINGS):
        opening = body.find(b'"', at)
        if (opening if opening >= 0 else len(body)) - at + len(left) > MAX_JSON_BYTES:
            break
        if opening < 0:
            return bytes(left + body[at:]), texts
        closing = _closing(body, opening + 1)
        left += body[at:opening]
        if closing - opening > _LONG_BYTES:
            mark = f"text {len(texts)}"
            texts[mark] = Text(body, opening + 1, closing)
            left += b'"%s"' % mark.encode()
        else:
            left += body[opening : closing + 1]
        at = closing + 1
    raise InvalidRequest(
        f"The JSON body has more than {MAX_JSON_BYTES:,} bytes beside a video's base64; "
        "the address of a video in S3 is shorter."
    )


def _closing(body: bytes, at: int) -> int:
    """Return where the string that began before `at` ends."""
    for _ in range(_MAX_STRINGS):
        quote = body.find(b'"', at)
        if quote < 0:
            raise InvalidRequest("The body is not valid JSON: a string has no end.")
        before = body[max(at, quote - _MAX_BACKSLASHES) : quote]
        backslashes = len(before) - len(before.rstrip(b"\\"))
        if backslashes == _MAX_BACKSLASHES:
            break
        if backslashes % 2 == 0:
            return quote
        at = quote + 1
    raise InvalidRequest("The JSON body has a string that is no base64: too many quotes or backslashes.")


def is_data_url(body: bytes) -> bool:
    """Whether a text is a data URL."""
    return body[:5].lower() == b"data:"


def is_base64(body: bytes, of_video: bool) -> bool:
    """Whether a body's beginning and end are base64; `of_video`: of a container that videos come in."""
    if of_video and not body.startswith(_MAGIC):
        return False
    if of_video and len(body) < _LONG_BYTES:
        return False
    beginning, end = body[:4096], body[-4096:].rstrip(b"=" + _WHITESPACE)
    if len(body) <= len(beginning):
        beginning = end
    return bool(beginning) and not (beginning + end).translate(None, _ALPHABET + _WHITESPACE)


def decode(text: Text | bytes, hold: Hold) -> bytes:
    """Return the bytes that base64 or a data URL stands for, calling `hold` with each piece's length.

    Takes both alphabets, line breaks, and missing padding. Raises `InvalidRequest`, `EmptyBody`.
    """
    escaped = isinstance(text, Text)
    if not isinstance(text, Text):
        text = Text(text, 0, len(text))
    video, rest, padded = io.BytesIO(), b"", False
    for piece in _pieces(text, escaped):
        rest += piece.translate(_URL_SAFE, _WHITESPACE)
        whole = len(rest) - len(rest) % 4
        padded = _write(video, rest[:whole], padded, hold)
        rest = rest[whole:]
    _write(video, rest + b"=" * (-len(rest) % 4), padded, hold)
    if not video.tell():
        raise EmptyBody("The video's base64 is empty.")
    return video.getvalue()  # no copy


def _write(video: io.BytesIO, quartets: bytes, padded: bool, hold: Hold) -> bool:
    """Add whole groups of four; return whether they end with padding, after which nothing may come."""
    if not quartets:
        return padded
    try:
        if padded:
            raise binascii.Error("data after the padding")
        decoded = binascii.a2b_base64(quartets, strict_mode=True)
    except binascii.Error as error:
        raise InvalidRequest(
            f"The video's base64 cannot be read ({error}, near byte {video.tell():,} of the video)."
        ) from None
    hold(len(decoded))
    video.write(decoded)
    return quartets.endswith(b"=")


def _pieces(text: Text, escaped: bool) -> Iterator[bytes]:
    """Yield a text in pieces without a data URL's beginning and without JSON's escapes."""
    body, at, end = text.body, text.start, text.end
    head = body[at : min(end, at + _LONG_BYTES)]
    if is_data_url(head):
        about, comma, _ = head.partition(b",")
        if not comma or not about.rstrip().lower().endswith(b";base64"):
            raise InvalidRequest("The data URL is not base64: it should begin like data:video/mp4;base64,")
        at += len(about) + 1
    while at < end:
        piece = body[at : min(end, at + _STEP_BYTES)]
        if escaped and b"\\" in piece:
            # No escape is longer than six bytes, and none may be cut in two.
            backslash = piece.rfind(b"\\", -6)
            if backslash > 0 and at + len(piece) < end:
                piece = piece[: backslash - (piece[backslash - 1 : backslash] == b"\\")]
            at += len(piece)
            piece = _unescaped(piece)
        else:
            at += len(piece)
        yield piece


def _unescaped(piece: bytes) -> bytes:
    for written, meant in ((b"\\/", b"/"), (b"\\n", b"\n"), (b"\\r", b"\r"), (b"\\t", b"\t")):
        piece = piece.replace(written, meant)
    for sign in b"+/=-_":
        for code in (b"\\u%04x" % sign, b"\\u%04X" % sign):
            piece = piece.replace(code, bytes([sign]))
    return piece
