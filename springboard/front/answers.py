"""Answers that were given before: the same bytes at the same release are scored once. Off by default.

Answers are kept by SHA-256 of the video, by who gave them (release, archive, instance) and by what was asked
for; the oldest in use goes first. Only scores are kept: an error may be another one next time.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from springboard.endpoint.document import Served
from springboard.torchserve.client import Answer

# Of an answer, beside its body: its key, its place, the objects that hold them.
_ENTRY_BYTES = 1000
# Videos above this are hashed on a thread: 256 KiB take about 0.2 ms.
_HASH_INLINE_BYTES = 1 << 18


@dataclass(frozen=True)
class Asked:
    """A video, by its bytes, and what its answer shall hold beside the score."""

    digest: bytes
    include: str


class Answers:
    """At most `max_bytes` of answers; 0 keeps none. For one event loop."""

    def __init__(self, max_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, Answer] = OrderedDict()
        self.size = 0

    @property
    def on(self) -> bool:
        """Whether answers are kept."""
        return self._max_bytes > 0

    def use(self, max_bytes: int) -> None:
        """Keep that much from now on."""
        self._max_bytes = max_bytes
        self._shrink()

    async def asked(self, video: bytes, include: str | None) -> Asked:
        """Return what tells this request's answer from others."""
        if len(video) > _HASH_INLINE_BYTES:
            digest = await asyncio.to_thread(_digest, video)
        else:
            digest = _digest(video)
        return Asked(digest, include or "")

    def get(self, served: Served, asked: Asked) -> Answer | None:
        """Return the answer that this very release gave, None where it has to be asked."""
        key = _key(served, asked)
        if (answer := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
        return answer

    def put(self, served: Served, asked: Asked, answer: Answer) -> None:
        """Keep a score; leaves all else, and what is larger than all that may be kept."""
        key = _key(served, asked)
        if not self.on or answer.score is None or key in self._kept:
            return
        if _size(answer) > self._max_bytes:
            return
        self._kept[key] = answer
        self.size += _size(answer)
        self._shrink()

    def _shrink(self) -> None:
        while self.size > self._max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.size -= _size(oldest)


def _key(served: Served, asked: Asked) -> Hashable:
    # The address is an instance's, which is never edited: what configures it is in its name.
    return served.release, served.sha256, served.address, asked


def _size(answer: Answer) -> int:
    return len(answer.body) + _ENTRY_BYTES


def _digest(video: bytes) -> bytes:
    return hashlib.sha256(video).digest()
