"""One file's way: opened, its packets read ahead, its stream decoded, the answer's facts collected."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from model_handler.network import CLIP_FRAMES
from model_handler.request.errors import UnreadableVideo
from model_handler.video import colour, completeness, naming, streams
from model_handler.video.ahead import Packets
from model_handler.video.colour import Frames
from model_handler.video.limits import Limits, Meter
from model_handler.video.orientation import IDENTITY, display_matrix
from model_handler.video.pace import pace
from model_handler.video.thinning import BORDER, USUAL_FPS, Clock, Thinning

FrameRate = Literal["auto", "published"]
FRAME_RATES: tuple[FrameRate, ...] = ("auto", "published")
_UNSPECIFIED = 2  # ITU-T H.273, for transfer and primaries
_LONGEST_GAP_S = 0.5
# Where Android writes the rate that a camera's slow motion was recorded at.
_CAPTURE_RATE = "com.android.capture.fps"


@dataclass(frozen=True)
class VideoInfo:
    """What an answer says of the video as sent.

    Sizes are in pixels as displayed, `fps` is measured over its frames; `scored_frames` of them were taken.
    """

    frames: int
    fps: float
    duration_s: float
    width: int
    height: int
    scored_frames: int


@dataclass(frozen=True)
class Video:
    """`frames` is (T, 112, 112, 3) uint8 RGB with T >= 16.

    `places` has, for each of them, its number among the frames as sent and its time in s since the first.
    `warnings` are sentences on what may make the score wrong, `notes` on what was done to the video.
    """

    frames: Frames
    info: VideoInfo
    places: tuple[tuple[int, float], ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def place(self, frame: int) -> tuple[int, float]:
        """Return a scored frame's number and seconds in the video as sent; past the last, the end's."""
        if frame < len(self.places):
            return self.places[frame]
        return self.info.frames, self.info.duration_s


def decode(data: bytes, limits: Limits, frame_rate: FrameRate = "auto", threads: int = 0) -> Video:
    """Decode the stream that ffmpeg would show; from cameras above 35 frames/s, about 30 of each second.

    `frame_rate="published"` takes every frame, as the published pipeline did. What decodes of a damaged file
    is used, with a warning, if it is at least one clip of 16 frames. FFmpeg takes `threads`; 0: all cores.
    Raises `UnreadableVideo` or `LimitExceeded`; a decode that hangs inside FFmpeg is left to the server's
    watchdog.
    """
    meter = Meter(limits)
    meter.check_bytes(len(data))
    reader: _Reader | None = None
    try:
        with streams.opened(data, meter) as container:
            reader = _Reader(container, meter, data, frame_rate == "published", threads)
            return reader.read()
    except UnreadableVideo as error:
        meter.check_time(0)
        raise UnreadableVideo(naming.incomplete(data, error.message)) from error
    # PyAV answers damaged headers with these beside its own errors.
    except (FFmpegError, ValueError, OverflowError, EOFError, IndexError) as error:
        meter.check_time(0)
        if reader:
            reader.check_size()
        raise UnreadableVideo(naming.refusal(data)) from error


class _Reader:
    """Decodes one stream: holds what was found so far, so that every limit is checked in one place."""

    def __init__(
        self, container: InputContainer, meter: Meter, data: bytes, published: bool, threads: int
    ) -> None:
        self.container, self.meter, self.data, self.threads = container, meter, data, threads
        self.packets = Packets(container, completeness.telling(container), meter)
        read = {index: seen.pictures for index, seen in self.packets.seen.items()}
        self.stream = streams.choose(container.streams, read)
        colour.check_tag(self.stream.codec_context.codec_tag, self.stream.codec_context.colorspace)
        self.seen = self.packets.seen[self.stream.index]
        self.pace = pace(container, self.stream, self.seen)
        self.time_base = float(self.stream.time_base or 0)
        self.clock = Clock(self.pace.interval_s, restarts=container.format.name in ("mpegts", "mpeg"))
        self.thinning = self._thinning(published)
        self.announced = self._preview()
        if self.thinning.active and self.announced < CLIP_FRAMES:
            # Too short to thin: better all of its frames, and a warning, than none.
            self.thinning = self._thinning(published=True)
            self.announced = self._preview()
        self.frames: list[Frames] = []
        self.taken: list[int] = []
        self.size = (0, 0)
        self.rotation: int | None = None
        self.matrix = IDENTITY
        self.damaged = 0
        self.pause = (0.0, 0.0)  # the longest, where frames may be missing: how long, and when
        self.indexed = completeness.has_index(container, self.stream)

    def read(self) -> Video:
        self.check_size()
        # Refused before decoding where there is no doubt; some packets may hold no picture.
        self.meter.check_duration((len(self.pace.times) - 1) * self.pace.interval_s)
        if self.announced > 1.1 * self.meter.limits.max_frames:
            self._refuse_frames()
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.thread_count = self.threads
        self.stream.codec_context.options = {"max_pixels": str(self.meter.limits.max_pixels)}
        for packet in self.packets.of(self.stream):
            self._decode(packet)
        self._decode(None)
        if len(self.frames) < CLIP_FRAMES:
            raise UnreadableVideo(naming.too_few(len(self.frames), CLIP_FRAMES, self.data))
        return self._finish()

    def _thinning(self, published: bool) -> Thinning:
        return Thinning(self.pace.interval_s, published, self.pace.quickest_s)

    def _preview(self) -> int:
        """Return how many of the frames that were seen ahead will be taken."""
        thinning = self._thinning(published=not self.thinning.active)
        return sum(thinning.takes(time) for time in sorted(self.pace.times))

    def check_size(self) -> None:
        """Refuse the picture size that the decoder has met, if any."""
        context = self.stream.codec_context
        self.meter.check_pixels(context.width, context.height)

    def _decode(self, packet: "Packet[Stream] | None") -> None:
        """Decode one packet, or with None what the decoder still holds."""
        self.meter.check_time(len(self.frames))
        try:
            decoded = self.stream.decode(packet)
        except FFmpegError:
            # Players skip a damaged packet and go on with the next; so did the published pipeline.
            self.check_size()
            self.damaged += 1
            return
        for frame in decoded:
            if isinstance(frame, VideoFrame):
                self._take(frame)

    def _take(self, frame: VideoFrame) -> None:
        self.meter.check_pixels(frame.width, frame.height)
        # Not frame.time: PyAV lacks the time base of frames that come last.
        stamp = frame.pts if self.pace.timed else None
        time = self.clock.tick(None if stamp is None else stamp * self.time_base)
        self.meter.check_duration(time - self.clock.times[0])
        self.damaged += frame.is_corrupt
        self._note_pause()
        if not self.thinning.takes(time):
            return
        if len(self.frames) == self.meter.limits.max_frames:
            self._refuse_frames()
        context = self.stream.codec_context
        if frame.rotation != self.rotation or frame.key_frame:
            # Side data is slow to ask for. A mirror may come or go without a turn, at a key frame.
            self.rotation, self.matrix = frame.rotation, display_matrix(frame)
        small, *size = colour.prepare(
            frame,
            self.matrix,
            frame.color_trc if frame.color_trc != _UNSPECIFIED else context.color_trc,
            frame.color_primaries if frame.color_primaries != _UNSPECIFIED else context.color_primaries,
        )
        self.size = (size[0], size[1])
        self.taken.append(len(self.clock.times) - 1)
        self.frames.append(small)
        self.meter.check_time(len(self.frames))

    def _note_pause(self) -> None:
        """Keep the longest pause, unless the file has an index: there, no frame is lost unseen."""
        if self.indexed or len(self.clock.times) < 2:
            return
        before, last = self.clock.times[-2:]
        self.pause = max(self.pause, (last - before, before - self.clock.times[0]))

    def _refuse_frames(self) -> NoReturn:
        most = self.meter.limits.max_frames
        found = f"it announces {self.announced}" if self.announced > most else "there are more"
        thinned = f" at {1 / self.thinning.step_s:.3g} frames/s" if self.thinning.active else ""
        self.meter.refuse("max_frames", f"The video has too many frames{thinned}: {found}")

    def _finish(self) -> Video:
        times = self.clock.times
        span_s = times[-1] - times[0]
        # Of one time stamped on all frames nothing can be told but the usual rate.
        fps = (len(times) - 1) / span_s
        info = VideoInfo(
            len(times), round(fps, 3), round(span_s + self.pace.interval_s, 3), *self.size, len(self.frames)
        )
        places = tuple((number, times[number] - times[0]) for number in self.taken)
        note = self.thinning.note()
        return Video(
            np.stack(self.frames), info, places, tuple(self._warnings(info)), (note,) if note else ()
        )

    def _warnings(self, info: VideoInfo) -> Iterator[str]:
        interval_s = self.pace.interval_s
        short = completeness.shortfall(self.container, self.stream, self.packets, interval_s, self.data)
        lost = self.seen.pictures // self.pace.packets - info.frames
        if short:
            yield (
                f"The file is truncated or damaged: it {short}; {info.frames} frames"
                f" ({info.duration_s:.1f} s) were decoded and scored."
            )
        elif self.damaged or lost > 0.1 * info.frames:
            yield (
                f"{max(self.damaged, lost)} of the video's packets or frames are damaged or missing; the"
                " score may be off."
            )
        elif self.pause[0] > max(_LONGEST_GAP_S, 1.5 * interval_s):
            yield (
                f"For {self.pause[0]:.1f} s after {self.pause[1]:.1f} s the video has no frames: if some are"
                " lost there, the score is off."
            )
        fps = 1 / interval_s
        captured = _number(self.container.metadata.get(_CAPTURE_RATE))
        if captured > 1.2 * fps:
            yield (
                f"The video was recorded at {captured:.4g} frames/s and plays at {fps:.4g}: slow motion"
                " scores wrongly. Send it at real speed."
            )
        elif not self.thinning.active and not USUAL_FPS[0] <= fps <= USUAL_FPS[1] * BORDER:
            yield (
                f"The video runs at {fps:.4g} frames/s; the model knows 25 to 30, so its score may be off."
                " If it is slow motion, send it at real speed."
            )


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
