"""AWS's event stream, as InvokeEndpointWithResponseStream answers: one PayloadPart with the whole answer.

The encoding: docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html; botocore/eventstream.py.
"""

import struct
import zlib

from starlette.responses import Response

_STRING = 7
_ABOUT = {
    ":message-type": "event",
    ":event-type": "PayloadPart",
    ":content-type": "application/octet-stream",
}


def respond(whole: Response) -> Response:
    """Return an answer as a stream of one event; its own type goes where boto3 looks for it."""
    headers = {name: value for name, value in whole.headers.items() if name != "content-length"}
    headers["X-Amzn-SageMaker-Content-Type"] = headers.pop("content-type")
    return Response(
        message(bytes(whole.body)), whole.status_code, headers, "application/vnd.amazon.eventstream"
    )


def message(payload: bytes) -> bytes:
    """Return one PayloadPart: lengths, their CRC-32, headers, payload, and the CRC-32 of all."""
    headers = b"".join(_header(name, value) for name, value in _ABOUT.items())
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    begun = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return begun + struct.pack(">I", zlib.crc32(begun))


def _header(name: str, value: str) -> bytes:
    return struct.pack(
        f">B{len(name)}sBH{len(value)}s", len(name), name.encode(), _STRING, len(value), value.encode()
    )
