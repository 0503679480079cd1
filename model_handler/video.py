"""Video bytes -> upright RGB frames, cropped as C3D wants them.

FFmpeg opens whatever the bytes claim to be, playlists and network sessions among them, so containers and
decoders come from an allow-list, no protocol is allowed, and limits are checked between packets. Everything
stays in memory.
"""

import io
import time
from dataclasses import dataclass
from typing import NoReturn

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from model_handler.network import CLIP_FRAMES, CLIP_SIZE
from model_handler.request.errors import LimitExceeded, UnreadableVideo

# The published pipeline resizes, then crops the centre; its (171 - 112) / 2 is rounded down.
RESIZED_WIDTH, RESIZED_HEIGHT = 171, 128
CROP_TOP, CROP_LEFT = 8, 29

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif"
_DECODERS = (
    "h264,hevc,av1,libdav1d,vp8,vp9,libvpx,libvpx-vp9,mpeg4,msmpeg4v3,msmpeg4v2,h263,mpeg1video,mpeg2video,"
    "mjpeg,gif,prores,dvvideo,rawvideo,ffv1,huffyuv,ffvhuff,vc1,wmv3"
)
_READABLE = "mp4, mov, avi, mkv, webm and gif"
# FFmpeg's name for "no protocol": the bytes are read through callbacks, which are not a protocol.
_NO_PROTOCOL = "none"
_USUAL_FPS = (20, 35)  # MTL-AQA's clips run at 25 to 30 frames/s

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Limits:
    """What one video may cost. `max_frames` is the published 400 after padding, which always adds some."""

    max_bytes: int = 100_000_000
    max_pixels: int = 4096 * 2304
    max_frames: int = 399
    max_duration_s: float = 60
    max_decode_s: float = 10


@dataclass(frozen=True)
class VideoInfo:
    """What an answer says of the video: sizes in pixels as displayed, `fps` as measured over its frames."""

    frames: int
    fps: float
    duration_s: float
    width: int
    height: int


@dataclass(frozen=True)
class Video:
    """`frames` is (T, 112, 112, 3) uint8 RGB with T >= 16; `warnings` are sentences for the caller."""

    frames: Frames
    info: VideoInfo
    warnings: tuple[str, ...]


def decode(data: bytes, limits: Limits) -> Video:
    """Decode every frame of the first video stream.

    What decodes of a damaged file is used, with a warning, if it is at least one clip of 16 frames. Raises
    `UnreadableVideo` or `LimitExceeded`; a decode that hangs inside FFmpeg is left to the server's watchdog.
    """
    if len(data) > limits.max_bytes:
        _refuse_size("max_bytes", limits.max_bytes, f"The video has {len(data)} bytes")
    reader = _Reader(limits)
    try:
        with av.open(
            io.BytesIO(data),
            "r",
            options={
                "format_whitelist": _CONTAINERS,
                "codec_whitelist": _DECODERS,
                "protocol_whitelist": _NO_PROTOCOL,
            },
            metadata_errors="ignore",
            io_open=_refuse_io,
        ) as container:
            if not container.streams.video:
                raise UnreadableVideo("The file holds no video stream.")
            return reader.read(container, container.streams.video[0])
    # PyAV answers damaged headers with these beside its own errors.
    except (FFmpegError, ValueError, OverflowError, EOFError, IndexError) as error:
        reader.check_size()
        raise UnreadableVideo(f"The body is not a video this server can read. Send {_READABLE}.") from error


class _Reader:
    """Decodes one stream: holds what was found so far, so that every limit is checked in one place."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.started = time.monotonic()
        self.frames: list[Frames] = []
        self.first_s: float | None = None
        self.last_s: float | None = None
        self.size = (0, 0)
        self.damaged = 0
        self.stream: VideoStream | None = None

    def read(self, container: InputContainer, stream: VideoStream) -> Video:
        if stream.codec_context is None or stream.codec_context.codec.name not in _DECODERS.split(","):
            raise UnreadableVideo(
                "The video's codec is not one this server decodes. Send H.264, HEVC, VP9 or AV1."
            )
        self.stream = stream
        self.check_size()
        announced_s = container.duration / av.time_base if container.duration else 0.0
        self._check_duration(announced_s)
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"max_pixels": str(self.limits.max_pixels)}
        cut_short = not self._read_packets(container, stream)
        return self._finish(stream, announced_s, cut_short)

    def check_size(self) -> None:
        """Refuse the picture size that the decoder has met, if any."""
        context = self.stream.codec_context if self.stream else None
        if context and context.width * context.height > self.limits.max_pixels:
            _refuse_size(
                "max_pixels",
                self.limits.max_pixels,
                f"The video has {context.width}x{context.height} = {context.width * context.height} pixels",
            )

    def _read_packets(self, container: InputContainer, stream: VideoStream) -> bool:
        """Decode all packets; False where the container breaks off."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return True
            except FFmpegError:
                return False
            self._check_time()
            try:
                decoded = packet.decode()
            except FFmpegError:
                # Players skip a damaged packet and go on with the next; so did the published pipeline.
                self.check_size()
                self.damaged += 1
                continue
            for frame in decoded:
                if isinstance(frame, VideoFrame):
                    self._take(frame)

    def _take(self, frame: VideoFrame) -> None:
        if frame.width * frame.height > self.limits.max_pixels:
            self.check_size()
        if len(self.frames) == self.limits.max_frames:
            announced = self.stream.frames if self.stream else 0
            found = f"it announces {announced}" if announced > self.limits.max_frames else "there are more"
            _refuse_size("max_frames", self.limits.max_frames, f"The video has too many frames: {found}")
        if frame.time is not None:
            self.first_s = frame.time if self.first_s is None else self.first_s
            self.last_s = max(frame.time, self.last_s or frame.time)
            self._check_duration(self.last_s - self.first_s)
        self.damaged += frame.is_corrupt
        self.frames.append(self._prepare(frame))
        self._check_time()

    def _prepare(self, frame: VideoFrame) -> Frames:
        """Return one frame as the network sees it, (112, 112, 3) uint8 RGB.

        As OpenCV's VideoCapture and resize do it: colours by libswscale (bicubic chroma), quarter turns by
        the rotation tag, then bilinear without antialiasing, in OpenCV's fixed-point arithmetic.
        """
        picture = np.asarray(frame.to_ndarray(format="rgb24", interpolation="BICUBIC"), np.uint8)
        if turns := round(frame.rotation / 90) % 4:
            picture = np.ascontiguousarray(np.rot90(picture, turns))
        self.size = (picture.shape[1], picture.shape[0])
        small = cv2.resize(picture, (RESIZED_WIDTH, RESIZED_HEIGHT), interpolation=cv2.INTER_LINEAR)
        return small[CROP_TOP : CROP_TOP + CLIP_SIZE, CROP_LEFT : CROP_LEFT + CLIP_SIZE].astype(np.uint8)

    def _finish(self, stream: VideoStream, announced_s: float, cut_short: bool) -> Video:
        count = len(self.frames)
        if count < CLIP_FRAMES:
            raise UnreadableVideo(
                f"Only {count} frames of the video decode; a score needs at least {CLIP_FRAMES}."
            )
        fps, duration_s = self._timing(stream)
        missing = stream.frames - count
        # Containers without a frame count (mkv, webm) still announce how long they are.
        missing_s = announced_s - duration_s
        warnings = []
        if cut_short or missing > 1 or missing_s > max(1.0, 0.1 * announced_s):
            expected = f"{stream.frames} frames" if stream.frames else f"{announced_s:.1f} s"
            warnings.append(
                f"The file is truncated or damaged: it announces {expected}, {count} frames"
                f" ({duration_s:.1f} s) were decoded and scored."
            )
        elif self.damaged:
            warnings.append(
                f"{self.damaged} of the video's packets or frames are damaged; the score may be off."
            )
        if not _USUAL_FPS[0] <= fps <= _USUAL_FPS[1]:
            warnings.append(
                f"The video runs at {fps:.4g} frames/s; the model knows 25 to 30, so its score may be off."
            )
        info = VideoInfo(count, round(fps, 3), round(duration_s, 3), *self.size)
        return Video(np.stack(self.frames), info, tuple(warnings))

    def _timing(self, stream: VideoStream) -> tuple[float, float]:
        """Return frames per second over what was decoded, and its duration in seconds."""
        count = len(self.frames)
        if self.first_s is not None and self.last_s is not None and self.last_s > self.first_s:
            fps = (count - 1) / (self.last_s - self.first_s)
        else:
            # Without usable timestamps the container's own rate, and failing that the usual one.
            fps = float(stream.average_rate or 25)
        return fps, count / fps

    def _check_duration(self, seconds: float) -> None:
        if seconds > self.limits.max_duration_s:
            _refuse_size("max_duration_s", self.limits.max_duration_s, f"The video lasts {seconds:.1f} s")

    def _check_time(self) -> None:
        spent = time.monotonic() - self.started
        if spent > self.limits.max_decode_s:
            raise LimitExceeded(
                "max_decode_s",
                self.limits.max_decode_s,
                f"Decoding took {spent:.1f} s for {len(self.frames)} frames",
                "Send it smaller or in a simpler codec such as H.264 at 720p.",
            )


def _refuse_size(limit: str, allowed: float, found: str) -> NoReturn:
    raise LimitExceeded(limit, allowed, found, "Cut the video to the dive itself, or send it smaller.")


def _refuse_io(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    """Stand where FFmpeg would open another file or address that the upload names."""
    raise PermissionError("a video may not refer to other files")
