"""How often frames come: in containers that round, in bitstreams without times, by fields, in mixtures."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from model_handler.video import Limits, decode
from model_handler.video.pace import interval, quickest
from tests.bitstreams import h264_fields
from tests.clips import encode, moving_frames
from tests.unit.model.video.films import even, film

LIMITS = Limits()
NTSC = 1000 / 1001


@pytest.mark.parametrize("container", ["matroska", "flv"])
@pytest.mark.parametrize("fps", [60, 60 * NTSC, 120])
def test_times_in_milliseconds_tell_the_rate(container: str, fps: float) -> None:
    times = even(2 * round(fps), fps)
    video = decode(film(times, moving_frames(len(times), 64, 48), container=container), LIMITS)
    assert f"{fps:.4g} frames/s" in video.notes[0]
    assert len(video.frames) == 60


@pytest.mark.parametrize(("codec", "container"), [("libx264", "h264"), ("libx265", "hevc")])
@pytest.mark.parametrize(("fps", "taken"), [(30, 48), (60, 24), (120, 12)])
def test_a_raw_stream_runs_at_the_rate_in_its_bitstream(
    codec: str, container: str, fps: int, taken: int
) -> None:
    count = 48 * max(1, fps // 60)
    video = decode(encode(moving_frames(count, 128, 96), codec, container, fps), LIMITS)
    assert video.info.fps == pytest.approx(fps)
    assert len(video.frames) == taken * max(1, fps // 60)
    assert bool(video.notes) == (fps > 35)


def by_field(container: str, *, together: bool) -> bytes:
    fields = h264_fields(40)
    units = [a + b for a, b in zip(fields[::2], fields[1::2], strict=True)] if together else fields
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(b"".join(fields)), format="h264") as raw,
        av.open(file, "w", format=container) as output,
    ):
        stream = output.add_stream_from_template(raw.streams.video[0])
        for number, unit in enumerate(units):
            packet = av.Packet(unit)
            packet.pts = packet.dts = number * (3600 if together else 1800)
            packet.time_base, packet.stream = Fraction(1, 90_000), stream
            output.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize("data", [
    by_field("mpegts", together=False), by_field("mpegts", together=True), b"".join(h264_fields(40)),
], ids=["a packet a field", "a packet a frame", "raw"])  # fmt: skip
def test_fields_of_a_camcorder_are_half_frames(data: bytes) -> None:
    video = decode(data, LIMITS)
    assert (video.info.frames, len(video.frames)) == (40, 40)
    assert video.info.fps == pytest.approx(25)
    assert video.warnings == video.notes == ()


@pytest.mark.parametrize("quick", [120, 240])
def test_a_part_that_is_faster_is_thinned_and_the_rest_taken_whole(quick: int) -> None:
    times = [*even(60, 30), *even(quick // 5, quick, start_s=2), *even(30, 30, start_s=2.2)]
    video = decode(film(times, moving_frames(len(times), 64, 48)), LIMITS)
    seconds = [second for _, second in video.places]
    assert sum(second < 2 for second in seconds) == 60
    assert sum(2 <= second < 2.2 for second in seconds) == pytest.approx(6, abs=1)
    assert f"up to {quick} frames/s" in video.notes[0]


def test_frames_that_come_late_and_at_once_are_all_taken() -> None:
    times = [*even(30, 30), *even(10, 900, start_s=1.3), *even(30, 30, start_s=1.34)]
    video = decode(film(times, moving_frames(len(times), 64, 48)), LIMITS)
    assert len(video.frames) == len(times)
    assert video.notes == ()


def test_the_usual_interval_survives_pauses_repeats_and_disorder() -> None:
    times = [*even(30, 30), *even(30, 30, start_s=9)]
    assert interval([*times[::-1], *times]) == pytest.approx(1 / 30)
    assert interval([5.0, 5.0]) is None


def test_the_quickest_interval_needs_a_clip_of_frames() -> None:
    assert quickest(even(16, 30)) is None
    assert quickest(even(17, 30)) == pytest.approx(1 / 30)
    mixed = np.cumsum([1 / 30] * 40 + [1 / 100] * 20 + [1 / 30] * 40)
    assert quickest(list(mixed)) == pytest.approx(1 / 100)
