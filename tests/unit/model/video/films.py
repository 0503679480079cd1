"""Videos with what phones, editors and recorders add: their own times, colours, display matrix and sound."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from tests.clips import Frames, moving_frames

TICKS = 90_000  # a second
# H.273's numbers: transfer, primaries, matrix.
HLG, PQ, BT2020, DISPLAY_P3, BT709 = (18, 9, 9), (16, 9, 9), (14, 9, 9), (1, 12, 1), (1, 1, 1)
RATE = 48_000


def even(count: int, fps: float, start_s: float = 0.0) -> list[float]:
    """Times of a camera that never hesitates."""
    return [start_s + i / fps for i in range(count)]


def film(
    times: Sequence[float],
    frames: Frames | None = None,
    codec: str = "libx264",
    container: str = "mp4",
    *,
    pix_fmt: str = "yuv420p",
    colours: tuple[int, int, int] | None = None,
    full_range: bool = False,
    matrix: Sequence[int] | None = None,
    sound_s: float = 0.0,
    metadata: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    **options: str,
) -> bytes:
    """Encode `frames` (count, height, width, 3), uint8 or uint16 R'G'B', to be shown at `times`."""
    pictures = moving_frames(len(times)) if frames is None else frames
    if codec == "libx265":
        options.setdefault("x265-params", "log-level=error")
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=muxing) as output:
        output.metadata.update(metadata or {})
        stream = add_video(output, codec, pictures.shape[2], pictures.shape[1], pix_fmt, options)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        sound = output.add_stream("aac", rate=RATE, layout="mono") if sound_s else None
        if colours or full_range:
            context = stream.codec_context
            context.color_trc, context.color_primaries, context.colorspace = colours or (2, 2, 2)
            context.color_range = 2 if full_range else 1
        for time, picture in zip(times, pictures, strict=True):
            output.mux(stream.encode(_frame(picture, time, pix_fmt, colours, full_range)))
        output.mux(stream.encode())
        if sound:
            add_sound(output, sound, sound_s)
    return file.getvalue()


def add_video(
    output: OutputContainer, codec: str, width: int, height: int, pix_fmt: str, options: dict[str, str]
) -> VideoStream:
    """Add a stream that takes frames at any time."""
    stream = cast(VideoStream, output.add_stream(codec, rate=30, options=options))
    stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
    # MPEG-4's clock has 16 bits.
    stream.codec_context.time_base = Fraction(1, 60_000 if codec == "mpeg4" else TICKS)
    return stream


def add_sound(output: OutputContainer, sound: AudioStream, seconds: float) -> None:
    """Add silence."""
    for at in range(0, int(seconds * RATE), 1024):
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts, silence.time_base = RATE, at, Fraction(1, RATE)
        output.mux(sound.encode(silence))
    output.mux(sound.encode())


def _frame(
    picture: Frames, time: float, pix_fmt: str, colours: tuple[int, int, int] | None, full_range: bool
) -> av.VideoFrame:
    source = "rgb48le" if picture.dtype == np.uint16 else "rgb24"
    wanted: dict[str, Any] = {"format": pix_fmt, "dst_color_range": 2 if full_range else 1}
    if colours:
        wanted["dst_colorspace"] = colours[2]
    frame = av.VideoFrame.from_ndarray(picture, source).reformat(**wanted)
    if colours:
        frame.color_trc, frame.color_primaries, frame.colorspace = colours
    frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
    return frame
