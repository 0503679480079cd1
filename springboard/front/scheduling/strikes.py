"""Bodies in which workers died, so that no video ends one worker after the other."""

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict

_SAMPLE_BYTES = 1 << 14


class Strikes:
    """Remembers for a while, by SHA-256, the bodies in which workers died; bounded, oldest out first.

    Of each, how many died of which release.
    """

    def __init__(self, memory_seconds: float = 600.0, size: int = 1000) -> None:
        self._seconds = memory_seconds
        self._size = size
        self._strikes: OrderedDict[bytes, tuple[Counter[str], float]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._strikes)

    def count(self, digest: bytes) -> Counter[str]:
        """Return how many workers of each release died of this body since its last success."""
        strikes, at = self._strikes.get(digest, (Counter[str](), 0.0))
        if strikes and time.monotonic() - at > self._seconds:
            del self._strikes[digest]
            return Counter()
        return strikes

    def add(self, digest: bytes, release: str) -> None:
        """Count one more death."""
        self._strikes[digest] = (self.count(digest) + Counter([release]), time.monotonic())
        self._strikes.move_to_end(digest)
        while len(self._strikes) > self._size:
            self._strikes.popitem(last=False)

    def clear(self, digest: bytes) -> None:
        """Forget this body: a worker lived through it."""
        self._strikes.pop(digest, None)


async def digest_of(body: bytes) -> bytes:
    """Return the SHA-256 of a body, off the event loop: 25 MB take tens of milliseconds."""
    return await asyncio.to_thread(lambda: hashlib.sha256(body).digest())


def mark_of(body: bytes) -> bytes:
    """Return what tells this video from others well enough to compare releases, in some 50 microseconds.

    Its size, and BLAKE2b over 16 KiB of its beginning, middle and end: all of 25 MB would take tens of ms.
    """
    digest = hashlib.blake2b(len(body).to_bytes(8, "big"), digest_size=16)
    for start in (0, max(len(body) // 2 - _SAMPLE_BYTES // 2, 0), max(len(body) - _SAMPLE_BYTES, 0)):
        digest.update(body[start : start + _SAMPLE_BYTES])
    return digest.digest()
