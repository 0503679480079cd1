"""Getting the video here: a request's body, bounded while it streams in, and objects from S3."""

import asyncio
from concurrent.futures import Executor
from contextlib import suppress
from email.message import Message
from typing import Any

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from starlette.requests import ClientDisconnect, Request

from model_handler.request.errors import InvalidRequest, StorageError
from model_handler.request.source import S3Object, parse, pick_field
from model_handler.request.storage import stream
from springboard.endpoint.document import Endpoint, Limits
from springboard.front.errors import BodyTooLarge, ClientGone, UploadTooSlow
from springboard.front.intake.admission import Seat

# How much of a refused body is read and dropped, so that its sender gets to read the refusal.
_DISCARD_BYTES = 200_000_000
_DISCARD_SECONDS = 5.0
# boto3's clients may be used by many threads, but not be made by them at the same time.


async def read_body(request: Request, seat: Seat, limits: Limits) -> bytes:
    """Return the whole body, held by `seat` as it comes in.

    Raises `BodyTooLarge` (before reading, where Content-Length tells), `Overloaded`, `UploadTooSlow`,
    `ClientGone`.
    """
    if int(request.headers.get("Content-Length", 0)) > limits.max_body_bytes:
        raise BodyTooLarge(limits.max_body_bytes)
    clock = asyncio.get_running_loop().time
    end = clock() + limits.upload_seconds
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(limits.upload_idle_seconds) as patience:
            async for chunk in request.stream():
                if seat.bytes + len(chunk) > limits.max_body_bytes:
                    raise BodyTooLarge(limits.max_body_bytes)
                seat.hold(len(chunk))
                chunks.append(chunk)
                patience.reschedule(min(clock() + limits.upload_idle_seconds, end))
    except TimeoutError:
        raise UploadTooSlow(
            f"The body stalled for {limits.upload_idle_seconds:g} s or took over {limits.upload_seconds:g} s "
            f"(upload_idle_seconds, upload_seconds); {seat.bytes:,} bytes came."
        ) from None
    except ClientDisconnect:
        raise ClientGone from None
    return b"".join(chunks)


async def discard(request: Request) -> None:
    """Read and drop a refused body, within bounds, so that a client still sending gets more than a reset."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        return  # it asks before it sends
    left = _DISCARD_BYTES
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while left > 0:
                message = await request.receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return


async def client_gone(request: Request) -> None:
    """Return when the client closes its connection; only after its body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def read_source(body: bytes, content_type: str | None) -> bytes | S3Object:
    """Return what the body holds: a video, or where one is in S3. Raises `InvalidRequest` and its kinds."""
    if content_type and content_type.lower().startswith("multipart/"):
        return parse(pick_field(await asyncio.to_thread(_form_fields, body, content_type)))
    return parse(body, content_type)


def _form_fields(body: bytes, content_type: str) -> dict[str, bytes]:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if not boundary:
        raise InvalidRequest("The Content-Type is multipart, but names no boundary.")
    fields: dict[str, bytes] = {}

    def on_field(field: Any) -> None:
        fields[field.field_name.decode(errors="replace")] = field.value or b""

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        fields[file.field_name.decode(errors="replace")] = file.file_object.read()

    try:
        # The body is in memory already: nothing of it goes to disk.
        parser = FormParser(
            "multipart/form-data",
            on_field,
            on_file,
            boundary=boundary.encode(),
            config={"MAX_MEMORY_FILE_SIZE": len(body) + 1},
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidRequest(f"The form cannot be read: {error}") from error
    return fields


class Downloads:
    """Fetches videos from S3 on threads of their own, so that a stalled one delays only its caller."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads

    async def fetch(self, source: S3Object, endpoint: Endpoint, seat: Seat, seconds: float) -> bytes:
        """Return the object's bytes within `seconds`, held by `seat` as they come in.

        Raises what `model_handler.request.storage.stream` does, and `Overloaded`.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._threads, _download, source, endpoint, seat, seconds)
        except TimeoutError:
            raise StorageError(f"{source} did not arrive within {seconds:g} s. Try again later.") from None


def _download(source: S3Object, endpoint: Endpoint, seat: Seat, seconds: float) -> bytes:
    chunks = []
    for chunk in stream(
        source, endpoint.allowed_buckets, endpoint.limits.max_object_bytes, timeout_s=seconds
    ):
        seat.hold(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)
