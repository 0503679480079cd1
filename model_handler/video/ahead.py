"""A file's packets, some of them held before any is decoded.

Headers lie about rates and lengths, and one stream says nothing of another. So the first packets, in most
uploads all of them, are read before decoding: they say how often frames come, which streams have any, and how
far each goes.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from model_handler.video.limits import Meter

# What is held: 17 s at 240 frames/s, and about as much memory as a batch of frames takes.
_HELD_PACKETS = 4096
_HELD_BYTES = 32 << 20


@dataclass
class Seen:
    """What was read of one stream.

    `dropped` packets lie outside the edit list; `pictures` are the others that hold data, `shown` their times
    in s; `intact` are those of which nothing is cut off. `duration_s` is the last packet's that has any.
    """

    packets: int = 0
    dropped: int = 0
    intact: int = 0
    pictures: int = 0
    duration_s: float = 0.0
    end_s: float = float("-inf")
    shown: list[float] = field(default_factory=list)


class Packets:
    """All packets of some streams of a file, read once and in order."""

    def __init__(self, container: InputContainer, streams: Sequence[Stream], meter: Meter) -> None:
        self._demuxed: Iterator[Packet[Stream]] = container.demux(*streams)
        self._meter = meter
        self._held: deque[Packet[Stream]] = deque()
        self._time_bases = {s.index: float(s.time_base or 0) for s in container.streams}
        self.seen = {s.index: Seen() for s in container.streams}
        self.whole = False
        self.broken = False
        self._hold()

    def of(self, stream: VideoStream) -> "Iterator[Packet[Stream]]":
        """Yield the stream's packets: those that are held, then the rest."""
        while self._held:
            packet = self._held.popleft()
            if packet.stream_index == stream.index:
                yield packet
        while (following := self._next()) is not None:
            if following.stream_index == stream.index:
                yield following

    def _hold(self) -> None:
        size = 0
        while len(self._held) < _HELD_PACKETS and size < _HELD_BYTES:
            packet = self._next()
            if packet is None:
                return
            if packet.stream.type == "video":
                self._held.append(packet)
                size += packet.size

    def _next(self) -> "Packet[Stream] | None":
        """Return the next packet, or None at the end or where the container breaks off."""
        if self.whole:
            return None
        self._meter.check_time(0)
        try:
            packet = next(self._demuxed)
        # PyAV raises IndexError at the end of a file that shows new streams on the way.
        except (StopIteration, IndexError):
            self.whole = True
            return None
        except FFmpegError:
            self.whole = self.broken = True
            return None
        if not packet.size and packet.pts is None and packet.dts is None:
            self.whole = True  # PyAV's sign that the file has ended
            return None
        self._note(packet)
        return packet

    def _note(self, packet: "Packet[Stream]") -> None:
        time = packet.pts if packet.pts is not None else packet.dts
        seen = self.seen[packet.stream_index]
        seen.packets += 1
        if packet.is_discard:
            seen.dropped += 1
            return
        seen.pictures += packet.size > 0
        seen.intact += not packet.is_corrupt
        base, duration = self._time_bases[packet.stream_index], packet.duration or 0
        seen.duration_s = duration * base or seen.duration_s
        if time is not None:
            seen.end_s = max(seen.end_s, (time + duration) * base)
            if packet.size and packet.stream.type == "video":
                seen.shown.append(time * base)
