"""Videos from S3, held as they come in."""

import asyncio
from concurrent.futures import Executor

from model_handler.request.errors import StorageError
from model_handler.request.source import S3Object
from model_handler.request.storage import stream
from springboard.endpoint.document import Endpoint
from springboard.front.intake.admission import Seat


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
