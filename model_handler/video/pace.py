"""How often a video's frames come, by its packets' times, its bitstream and its headers, in this order."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from model_handler.network import CLIP_FRAMES
from model_handler.video.ahead import Seen
from model_handler.video.streams import announced_rate

_FASTEST_FPS = 1000
# A rate is measured over this many frames at once, so that a camera's jitter evens out.
_SPAN = 8
# Where a packet may hold one field of a frame, as camcorders write them; the decoder puts them together.
_BY_FIELD = ("mpegts", "mpeg", "h264", "hevc")


@dataclass(frozen=True)
class Pace:
    """`interval_s` lies between frames, as a rule, and `quickest_s` where a clip's length of them is fastest.

    `timed` says whether the file's times tell of it. `times` are the frames' in s, as far as packets were
    read and in any order; where not `timed`, they are made up. A frame takes `packets`: 1, or 2 of fields.
    """

    interval_s: float
    quickest_s: float
    timed: bool
    times: Sequence[float]
    packets: int


def pace(container: InputContainer, stream: VideoStream, seen: Seen) -> Pace:
    """Return the pace of a stream of which `seen` was read."""
    rate, name = announced_rate(stream), container.format.name
    fields = name in _BY_FIELD and abs(2 * seen.duration_s * rate - 1) < 0.1
    shown: Sequence[float] = seen.shown
    measured = interval(shown)
    if fields and measured and measured * rate < 0.75:
        shown, measured = sorted(shown)[::2], measured * 2
    # Times that would make it faster than any camera say nothing.
    timed = measured is not None and measured > 1 / _FASTEST_FPS
    # An AVI numbers its packets; with B-frames FFmpeg makes times of that which are not the frames'.
    if name == "avi" and measured:
        timed = timed and round((max(shown) - min(shown)) / measured) >= len(shown)
    packets = 2 if fields else 1
    if measured and timed:
        return Pace(measured, quickest(shown) or measured, True, shown, packets)
    step = 1 / rate
    return Pace(step, step, False, [i * step for i in range(seen.pictures // packets)], packets)


def interval(times: Sequence[float]) -> float | None:
    """Return the usual time in s between frames of these times, in any order; None where they say nothing.

    The median over spans of 8 frames, which a pause or a jump does not change; then the mean of the spans
    like it, which evens out that a container rounds to milliseconds.
    """
    ordered = sorted(set(times))
    span = min(_SPAN, len(ordered) - 1)
    if span < 1:
        return None
    spans = [b - a for a, b in zip(ordered, ordered[span:], strict=False)]
    middle = median(spans)
    return fmean(s for s in spans if abs(s - middle) <= 0.1 * middle) / span


def quickest(times: Sequence[float]) -> float | None:
    """Return the shortest interval in s that three quarters of a clip's frames in a row keep.

    So frames that come late and then all at once do not count. None for less than a clip.
    """
    gaps = np.diff(np.unique(times))
    if len(gaps) < CLIP_FRAMES:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(gaps, CLIP_FRAMES)
    kept = CLIP_FRAMES * 3 // 4
    return float(np.partition(windows, kept - 1, axis=1)[:, kept - 1].min())
