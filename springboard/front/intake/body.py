"""A body: bounded while it streams in; and whether its sender left."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from springboard.endpoint.document import Limits
from springboard.front.errors import BodyTooLarge, ClientGone, UploadTooSlow
from springboard.front.intake.admission import Seat


def check_length(request: Request, limits: Limits) -> None:
    """Raise `BodyTooLarge` before anything is read, where Content-Length tells."""
    if int(request.headers.get("Content-Length", 0)) > limits.max_body_bytes:
        raise BodyTooLarge(limits.max_body_bytes)


async def read_body(request: Request, seat: Seat, limits: Limits) -> bytes:
    """Return the whole body, held by `seat` as it comes in.

    Raises `BodyTooLarge`, `Overloaded`, `UploadTooSlow`, `ClientGone`.
    """
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


async def client_gone(request: Request) -> None:
    """Return when the client closes its connection; only after its body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
