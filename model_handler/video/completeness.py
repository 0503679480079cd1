"""Whether a file holds all that it announces, judged by its picture and not by its sound."""

from collections.abc import Sequence

from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from model_handler.video.ahead import Packets

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
    container: InputContainer, stream: VideoStream, packets: Packets, interval_s: float
) -> str | None:
    """Return what a file that ends early announces, as in "60 frames" or "2.4 s"; None where it is whole.

    Ask when all packets are read. An mp4's index lists its samples, an AVI's header its frames; other
    containers say how long their longest stream is, so all streams are asked how far they came.
    """
    seen = packets.seen[stream.index]
    samples = len(stream.index_entries)
    if container.format.name.startswith("mov") and samples:
        missing = samples - seen.packets
        return f"{samples - seen.dropped} frames" if missing > 1 else None
    if container.format.name == "avi" and stream.frames and stream.time_base:
        # FFmpeg cuts the stream's duration to what is there, but not the number of frames.
        missing_s = float(stream.frames * stream.time_base) - seen.end_s
        return f"{stream.frames} frames" if missing_s > 1.5 * interval_s or packets.broken else None
    if container.format.name in _ANNOUNCE_NOTHING or not container.duration:
        return "more" if packets.broken else None
    announced_s, start_s = container.duration / 1e6, (container.start_time or 0) / 1e6
    end_s = max(each.end_s for each in packets.seen.values())
    # Durations are counted from zero by some programs, from the start of the first stream by others.
    missing_s = announced_s - max(end_s, end_s - start_s)
    if packets.broken or missing_s > max(1.0, 0.1 * announced_s):
        return f"{announced_s:.1f} s"
    return None
