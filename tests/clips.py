"""Videos for tests: a moving scene encoded in memory with PyAV."""

import io
import os
import struct
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def moving_frames(count: int, width: int = 320, height: int = 240, seed: int = 0) -> Frames:
    """A bright block that falls over a coloured gradient, (count, height, width, 3) RGB."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    ground = np.stack([x * 200 // width, y * 200 // height, np.full_like(x, rng.integers(40, 200))], axis=-1)
    frames = np.repeat(ground[None].astype(np.uint8), count, axis=0)
    for i in range(count):
        top = i * (height - height // 6) // max(1, count - 1)
        frames[i, top : top + height // 6, width // 3 : width // 2] = (250, 220, 30)
    return frames


_PIXELS = {"gif": "rgb8", "mjpeg": "yuvj420p", "prores_ks": "yuv422p10le", "huffyuv": "yuv422p"}


def encode(
    frames: Frames,
    codec: str = "libx264",
    container: str = "mp4",
    fps: int = 25,
    audio: bool = False,
    **options: str,
) -> bytes:
    """Encode frames as a video file."""
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=container) as output:
            sound = output.add_stream("aac", rate=44100, layout="mono") if audio else None
            if codec:
                if codec == "libx265":
                    options.setdefault("x265-params", "log-level=error")
                stream = cast(VideoStream, output.add_stream(codec, rate=fps, options=options))
                stream.height, stream.width = frames.shape[1:3]
                stream.pix_fmt = _PIXELS.get(codec, "yuv420p")
                for frame in frames:
                    output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
                output.mux(stream.encode())
            if sound:
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                silence.sample_rate, silence.pts = 44100, 0
                output.mux(sound.encode(silence))
                output.mux(sound.encode())
    finally:
        if codec == "libsvtav1":
            # It makes root's threads real-time ones, its caller's too, and what that starts: two such
            # processes leave nobody else a core, each other neither.
            for thread in (0, os.getpid()):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
    return file.getvalue()


def rotate_by_tag(mp4: bytes, degrees: int) -> bytes:
    """Set the display matrix of an mp4's first track, as phones do: `degrees` clockwise."""
    header = mp4.index(b"tkhd")
    version = mp4[header + 4]
    # ISO/IEC 14496-12, 8.3.2: the matrix follows the times, ids, layer, group and volume.
    start = header + 4 + (4 + 20 + 16 if version == 0 else 4 + 32 + 16)
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    one, unity = 1 << 16, 1 << 30
    matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, unity)
    return mp4[:start] + matrix + mp4[start + 36 :]
