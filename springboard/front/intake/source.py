"""What a body holds: a video, packed, in a form or in base64 perhaps, or the address of one in S3."""

import asyncio
from concurrent.futures import Executor

from model_handler.request.encoded import MAX_JSON_BYTES
from model_handler.request.source import S3Object, is_encoded, is_json, parse
from springboard.front.errors import DeadlineExceeded
from springboard.front.intake import form
from springboard.front.intake.admission import Seat
from springboard.front.intake.unpack import unpack

# So many at a time: while one is taken apart it is in memory twice.
THREADS = 2


class Sources:
    """Takes bodies apart on threads of their own, so that a large one delays neither the others nor /ping."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads

    async def read(self, body: "Body", seat: Seat, seconds: float) -> bytes | S3Object:
        """Return the video or its address within `seconds`; `seat` then holds what is returned and no more.

        Takes the bytes out of `body`. Raises `InvalidRequest` and its kinds, `BodyTooLarge`, `Overloaded`,
        `DeadlineExceeded`.
        """
        if body.is_plain():
            return body.read(seat)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                source = await loop.run_in_executor(self._threads, body.read, seat)
        except TimeoutError:
            raise DeadlineExceeded(f"The body could not be taken apart within {seconds:g} s.") from None
        seat.keep(len(source) if isinstance(source, bytes) else 0)
        return source


class Body:
    """A body that is here, and what its headers say of it. Nobody else keeps its bytes."""

    def __init__(
        self, content: bytes, content_type: str | None, coding: str, allowed: int, any_base64: bool
    ) -> None:
        """`coding`: as `unpack.coding_of`; `allowed`: greatest length, packed or not."""
        self._content = content
        self._content_type = content_type
        self._coding = coding
        self._allowed = allowed
        self._any_base64 = any_base64

    def take(self) -> bytes:
        """Return the bytes and forget them."""
        content, self._content = self._content, b""
        return content

    def is_plain(self) -> bool:
        """Whether it is a video as it is, or so short that reading it takes no time worth a thread."""
        if self._coding or form.is_form(self._content_type):
            return False
        return len(self._content) <= MAX_JSON_BYTES or not (
            is_json(self._content, self._content_type) or is_encoded(self._content, self._any_base64)
        )

    def read(self, seat: Seat) -> bytes | S3Object:
        """Unpack it, take the field of a form, decode base64, or read the address; for a thread."""
        content = self.take()
        if self._coding:
            content = unpack(content, self._coding, self._allowed, seat.hold)
        if form.is_form(self._content_type):
            assert self._content_type  # noqa: S101 - else it were no form
            content = form.field(content, self._content_type, seat.hold)
            return parse(content, any_base64=self._any_base64, hold=seat.hold)
        return parse(content, self._content_type, any_base64=self._any_base64, hold=seat.hold)
