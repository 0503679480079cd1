"""Which containers and codecs are read, and which stream of a file is the dive."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import av
from av.container import InputContainer
from av.container.streams import StreamContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from model_handler.network import CLIP_FRAMES
from model_handler.request.errors import UnreadableVideo
from model_handler.video.limits import Meter

# FFmpeg's demuxers and decoders, each decoded by a test. Not here, though FFmpeg has them: playlists and
# lists of files (hls, dash, concat, image2), session descriptions (sdp), whatever else opens an address.
CONTAINERS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2"),  # one demuxer, which goes by any of these names
    *("matroska", "webm"),
    *("avi", "gif", "mpegts", "mpeg", "asf", "flv", "h264", "hevc"),
)
DECODERS = (
    *("h264", "hevc", "libdav1d", "vp8", "vp9"),
    *("mpeg4", "msmpeg4", "msmpeg4v2", "msmpeg4v1", "h263", "flv", "wmv1", "wmv2", "wmv3", "vc1"),
    *("mpeg1video", "mpeg2video", "dvvideo", "prores", "mjpeg", "gif"),
    *("rawvideo", "ffv1", "huffyuv", "ffvhuff"),
)
# Bitstreams without a container, which have no times.
RAW = ("h264", "hevc")
READABLE = "mp4, mov, avi, mkv, webm, MPEG-TS, MPEG-PS, WMV, FLV, 3gp or gif"
# FFmpeg's name for "no protocol": the bytes are read through callbacks, which are not a protocol.
_NO_PROTOCOL = "none"


class _Metered(io.BytesIO):
    """A file that ends once its time is over: FFmpeg may walk millions of headers before the first packet."""

    def __init__(self, data: bytes, meter: Meter) -> None:
        super().__init__(data)
        self._meter = meter

    def read(self, size: int | None = -1, /) -> bytes:
        return b"" if self._meter.is_over else super().read(size)


@contextmanager
def opened(data: bytes, meter: Meter) -> Iterator[InputContainer]:
    """Open a file that may be anything; raises PyAV's errors for what is not on the lists."""
    with av.open(
        _Metered(data, meter),
        "r",
        options={
            "format_whitelist": ",".join(CONTAINERS),
            "codec_whitelist": ",".join(DECODERS),
            "protocol_whitelist": _NO_PROTOCOL,
        },
        metadata_errors="ignore",
        io_open=_refuse_io,
    ) as container:
        yield container


def choose(streams: StreamContainer, pictures: Mapping[int, int]) -> VideoStream:
    """Return the stream that ffmpeg would take: the largest, a default one before others, covers last.

    As ffmpeg's `map_auto_video` (fftools/ffmpeg_mux_init.c), but a still is no video while another stream
    moves. `pictures` counts what was read of each stream, by its index. Raises `UnreadableVideo` where there
    is no moving picture, or none in a codec on the list.
    """
    best = max(streams.video, key=lambda stream: _rank(stream, pictures[stream.index]), default=None)
    if best is None or best.disposition & Disposition.attached_pic:
        held = [part for part, found in (("sound", streams.audio), ("a cover picture", best)) if found]
        but = f", only {' and '.join(held)}" if held else ""
        raise UnreadableVideo(f"The file holds no video stream{but}. Send the video of the dive.")
    name = codec_name(best)
    if name not in DECODERS:
        raise UnreadableVideo(
            f"The video's codec ({name}) is not one this server decodes. Make it H.264:"
            f" ffmpeg -i INPUT -map 0:{best.index} -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"
        )
    return best


def announced_rate(stream: VideoStream) -> float:
    """Return the frames per second that bitstream or headers announce, the usual 25 where none does.

    A raw stream's average is but FFmpeg's default.
    """
    headers, bitstream = (stream.average_rate, stream.guessed_rate), stream.codec_context.framerate
    raw = stream.container.format.name in RAW
    rates = (bitstream, *headers[::-1]) if raw else (*headers, bitstream)
    return next((float(rate) for rate in rates if rate and 1 <= rate <= 1000), 25.0)


def codec_name(stream: VideoStream) -> str:
    """Return the name of the decoder that FFmpeg takes for a stream."""
    return stream.codec_context.codec.name if stream.codec_context else "unknown"


def _rank(stream: VideoStream, pictures: int) -> int:
    if stream.disposition & Disposition.attached_pic:
        return 1
    context = stream.codec_context
    size = context.width * context.height if context else 0
    default = bool(stream.disposition & Disposition.default)
    return size + 100_000_000 * ((pictures > 0) + (pictures >= CLIP_FRAMES)) + 5_000_000 * default


def _refuse_io(url: str, flags: int, options: dict[str, str]) -> None:
    """Stand where FFmpeg would open another file or address that the upload names."""
    raise PermissionError("a video may not refer to other files")
