"""Whether a file holds all that it announces, judged by its picture and not by its sound."""

from collections.abc import Sequence

from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from model_handler.video.ahead import Packets
from model_handler.video.extent import missing_bytes

# FFmpeg counts these files' lengths from their last packets, so they announce nothing.
_ANNOUNCE_NOTHING = ("mpegts", "mpeg", "gif", "h264", "hevc")


def telling(container: InputContainer) -> "Sequence[Stream]":
    """Return the streams whose packets tell whether the file is whole: the sound's only where they must."""
    name = container.format.name
    by_picture = name.startswith(("mov", "avi")) or name in _ANNOUNCE_NOTHING
    return container.streams.video if by_picture else tuple(container.streams)


def has_index(container: InputContainer, stream: VideoStream) -> bool:
    """Say whether the file lists each of its frames, so that none can be lost unseen."""
    return stream.frames > 0 and container.format.name.startswith(("mov", "avi"))


def shortfall(
    container: InputContainer, stream: VideoStream, packets: Packets, interval_s: float, data: bytes
) -> str | None:
    """Return what a file that ends early does, as in "announces 60 frames"; None where it is whole.

    Ask when all packets are read. An mp4's index lists its samples, an AVI's header its frames; other
    containers say how long their longest stream is, so all streams are asked how far they came. Where bytes
    are missing at the end, each frame counts; else some room is left for programs that count otherwise.
    """
    cut = missing_bytes(data) > 0
    found = _by_frames(container, stream, packets, interval_s, cut)
    if found is None:
        found = _by_duration(container, stream, packets, interval_s, cut)
    return found or None


def _by_frames(
    container: InputContainer, stream: VideoStream, packets: Packets, interval_s: float, cut: bool
) -> str | None:
    """Judge a file that lists its frames: "" where it is whole, None where it lists none."""
    seen = packets.seen[stream.index]
    samples, name = len(stream.index_entries), container.format.name
    if name.startswith("mov") and samples:
        missing = samples - (seen.dropped + seen.intact)
        return f"announces {samples - seen.dropped} frames" if missing > (0 if cut else 1) else ""
    if name == "avi" and stream.frames and stream.time_base:
        # FFmpeg cuts the stream's duration to what is there, but not the number of frames.
        missing_s = float(stream.frames * stream.time_base) - seen.end_s
        short = missing_s > (0.5 if cut else 1.5) * interval_s
        return f"announces {stream.frames} frames" if short or packets.broken else ""
    return None


def _by_duration(
    container: InputContainer, stream: VideoStream, packets: Packets, interval_s: float, cut: bool
) -> str:
    """Judge a file by its length in s; "" where it is whole."""
    if container.format.name in _ANNOUNCE_NOTHING or not container.duration:
        return "breaks off" if packets.broken or cut else ""
    announced_s, start_s = container.duration / 1e6, (container.start_time or 0) / 1e6
    if container.format.name == "asf" and stream.duration and stream.time_base:
        # FFmpeg gives each stream the length of all of them, wherever it begins.
        announced_s = float(stream.duration * stream.time_base)
    end_s = max(each.end_s for each in packets.seen.values())
    # Durations are counted from zero by some programs, from the start of the first stream by others.
    missing_s = announced_s - max(end_s, end_s - start_s)
    room_s = 1.5 * interval_s if cut else max(1.0, 0.1 * announced_s)
    return f"announces {announced_s:.1f} s" if packets.broken or missing_s > room_s else ""
