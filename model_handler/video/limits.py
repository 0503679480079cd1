"""What one video may cost, and how it is said that it costs more."""

import time
from dataclasses import dataclass
from typing import NoReturn

from model_handler.request.errors import LimitExceeded

_CUT = "Cut the video to the dive itself"
_ADVICE = {
    "max_bytes": f"{_CUT}, or send it smaller: ffmpeg -i INPUT -vf scale=-2:480 -an OUTPUT.mp4",
    "max_pixels": "Send it smaller: ffmpeg -i INPUT -vf scale=-2:720 OUTPUT.mp4",
    "max_frames": f"{_CUT}; if it was made in slow motion, send it at real speed.",
    "max_duration_s": f"{_CUT}; if it was made in slow motion, send it at real speed.",
    "max_decode_s": "Send it smaller or in a simpler codec such as H.264 at 720p.",
}


@dataclass(frozen=True)
class Limits:
    """What one video may cost. `max_frames` is the published 400 after padding, which always adds some.

    Frames count once they are taken (`thinning`); the duration is the picture's, as sent.
    """

    max_bytes: int = 100_000_000
    max_pixels: int = 4096 * 2304
    max_frames: int = 399
    max_duration_s: float = 60
    max_decode_s: float = 10


class Meter:
    """Checks one video against its limits as it is read; the time runs from the start."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._started = time.monotonic()

    def refuse(self, limit: str, found: str) -> NoReturn:
        """Raise `LimitExceeded` for `limit`, a name in `Limits`, with what was found."""
        raise LimitExceeded(limit, getattr(self.limits, limit), found, _ADVICE[limit])

    def check_bytes(self, count: int) -> None:
        """Refuse a body that is too large."""
        if count > self.limits.max_bytes:
            self.refuse("max_bytes", f"The video has {count} bytes")

    def check_pixels(self, width: int, height: int) -> None:
        """Refuse a picture that is too large."""
        if width * height > self.limits.max_pixels:
            self.refuse("max_pixels", f"The video has {width}x{height} = {width * height} pixels")

    def check_duration(self, seconds: float) -> None:
        """Refuse a picture that lasts too long."""
        if seconds > self.limits.max_duration_s:
            self.refuse("max_duration_s", f"The video lasts {seconds:.1f} s")

    def check_time(self, frames: int) -> None:
        """Refuse a video whose decoding, `frames` so far, takes too long."""
        if self.is_over:
            self.refuse("max_decode_s", f"Decoding took {self._spent:.1f} s for {frames} frames")

    @property
    def is_over(self) -> bool:
        """Say whether decoding took too long."""
        return self._spent > self.limits.max_decode_s

    @property
    def _spent(self) -> float:
        return time.monotonic() - self._started
