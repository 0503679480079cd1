"""Which stream is scored, and whether it is whole: judged by the picture alone."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from model_handler.request.errors import LimitExceeded, UnreadableVideo
from model_handler.video import Limits, Video, decode
from tests import bitstreams
from tests.clips import Frames, encode, moving_frames
from tests.unit.model.video.films import RATE, add_sound, add_video, even, film

LIMITS = Limits()
DIVE = moving_frames(30)
OTHER = moving_frames(30, 64, 48, seed=5)


def streams(*parts: tuple[Frames, Disposition], container: str = "mp4", sound_s: float = 0) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        made = []
        for frames, disposition in parts:
            stream = add_video(output, "libx264", frames.shape[2], frames.shape[1], "yuv420p", {})
            stream.disposition = disposition
            made.append(stream)
        sound = output.add_stream("aac", rate=RATE, layout="mono") if sound_s else None
        for stream, (frames, _) in zip(made, parts, strict=True):
            for i, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 30)
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
        if sound:
            add_sound(output, sound, sound_s)
    return file.getvalue()


def is_the_dive(video: Video) -> bool:
    expected = decode(film(even(30, 30), DIVE), LIMITS)
    return bool(np.abs(video.frames.astype(int) - expected.frames).mean() < 3)


NOTHING = Disposition(0)


@pytest.mark.parametrize(
    ("container", "parts"),
    [
        ("mp4", ((OTHER, NOTHING), (DIVE, Disposition.default))),
        ("matroska", ((OTHER, NOTHING), (DIVE, Disposition.default))),
        ("mp4", ((OTHER, Disposition.default), (DIVE, Disposition.default))),
        ("mp4", ((DIVE, NOTHING), (OTHER, NOTHING))),
        # FFmpeg's mp4 muxer makes the first stream the default one where none is.
        ("matroska", ((OTHER, NOTHING), (DIVE, NOTHING))),
        ("mpegts", ((OTHER, NOTHING), (DIVE, NOTHING))),
        # The default one wins over a larger one: ffmpeg counts it as five million pixels.
        ("matroska", ((moving_frames(30, 640, 480, seed=5), NOTHING), (DIVE, Disposition.default))),
    ],
)
def test_the_stream_is_the_one_that_ffmpeg_takes(
    container: str, parts: tuple[tuple[Frames, Disposition], ...]
) -> None:
    assert is_the_dive(decode(streams(*parts, container=container), LIMITS))


def with_cover(video: bool) -> bytes:
    """A Matroska file with a PNG cover larger than the video, before it."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        cover = output.add_stream("png", rate=30)
        assert isinstance(cover, av.VideoStream)
        cover.width, cover.height, cover.pix_fmt = 640, 480, "rgb24"
        cover.disposition = Disposition.attached_pic
        stream = add_video(output, "libx264", 320, 240, "yuv420p", {}) if video else None
        sound = output.add_stream("aac", rate=RATE, layout="mono")
        output.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((480, 640, 3), np.uint8), "rgb24")))
        if stream:
            for i, picture in enumerate(DIVE):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 30)
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
        output.mux(cover.encode())
        add_sound(output, sound, 1)
    return file.getvalue()


def test_a_cover_is_never_taken_for_the_video() -> None:
    data = with_cover(video=True)
    with av.open(io.BytesIO(data)) as container:
        assert any(s.disposition & Disposition.attached_pic for s in container.streams.video)
    assert is_the_dive(decode(data, LIMITS))


def test_sound_with_a_cover_is_named() -> None:
    with pytest.raises(UnreadableVideo, match="no video stream, only sound and a cover picture"):
        decode(with_cover(video=False), LIMITS)


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_still_is_no_video_while_another_stream_moves(container: str) -> None:
    still = moving_frames(1, 640, 480, seed=5)
    parts = ((still, Disposition.default), (DIVE, NOTHING))
    assert is_the_dive(decode(streams(*parts, container=container), LIMITS))


CONTAINERS = ["mp4", "matroska", "mpegts", "flv"]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("sound_s", [0.3, 3.0, 70.0])
def test_sound_of_another_length_is_no_damage(container: str, sound_s: float) -> None:
    video = decode(film(even(40, 30), container=container, sound_s=sound_s), LIMITS)
    assert (video.info.frames, video.warnings) == (40, ())
    assert video.info.duration_s == pytest.approx(40 / 30, abs=0.01)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("start_s", [2.5, 20_000.0])
def test_a_late_start_is_no_length(container: str, start_s: float) -> None:
    data = film(even(40, 30, start_s=start_s), container=container, sound_s=0.5)
    video = decode(data, LIMITS)
    assert (video.info.frames, video.warnings) == (40, ())
    assert video.info.duration_s == pytest.approx(40 / 30, abs=0.01)
    assert video.places[0] == (0, 0.0)


def test_a_lead_in_that_an_edit_list_hides_is_no_damage() -> None:
    """Negative times: FFmpeg's muxer writes an edit list that hides them, as cuts without re-encoding do."""
    source = film(even(60, 30), g="60", bf="0")
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(source), "r") as given,
        av.open(file, "w", format="mp4", options={"avoid_negative_ts": "disabled"}) as output,
    ):
        stream = output.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is None:
                continue
            shift = round(0.5 / packet.time_base)
            packet.pts, packet.dts = (packet.pts or 0) - shift, packet.dts - shift
            packet.stream = stream
            output.mux(packet)
    video = decode(file.getvalue(), LIMITS)
    assert (video.info.frames, video.warnings) == (45, ())


def test_packed_b_frames_are_no_damage() -> None:
    """Old DivX puts two frames into one packet and an empty one after it."""
    with av.open(io.BytesIO(encode(moving_frames(40), "mpeg4", "avi", bf="1")), "r") as given:
        stream = given.streams.video[0]
        packets = [bytes(packet) for packet in given.demux(stream) if packet.size]
        extradata, size = stream.codec_context.extradata or b"", (stream.width, stream.height)
    kinds = [_vop_kind(packet) for packet in packets]
    packed: list[bytes] = []
    for packet, kind in zip(packets, kinds, strict=True):
        if kind == 2 and packed:
            packed[-1] += packet
            packed.append(b"\0\0\1\xb6\x51\x80")  # a P picture that is not coded
        else:
            packed.append(packet)
    assert 2 in kinds
    marked = extradata + b"\0\0\1\xb2DivX503b1393p"
    video = decode(bitstreams.avi(b"DX50", [marked + packed[0], *packed[1:]], size=size), LIMITS)
    assert video.info.frames >= 38
    assert video.warnings == ()


def _vop_kind(packet: bytes) -> int:
    return packet[packet.index(b"\0\0\1\xb6") + 4] >> 6


@pytest.mark.parametrize(
    ("container", "options"),
    [
        ("mp4", {"moov_size": "20000"}),
        ("matroska", {}),
        ("flv", {}),
        ("mp4", {"movflags": "frag_keyframe+empty_moov"}),
    ],
    ids=["mp4", "matroska", "flv", "fragmented mp4"],
)
@pytest.mark.parametrize("sound_s", [0, 4.0])
def test_a_real_truncation_is_still_seen(container: str, options: dict[str, str], sound_s: float) -> None:
    data = film(even(120, 30), container=container, sound_s=sound_s, muxing=options, g="30", bf="0", crf="10")
    video = decode(data[: len(data) * 6 // 10], LIMITS)
    assert 16 <= video.info.frames < 120
    assert "truncated or damaged" in video.warnings[0]


def test_a_long_picture_is_refused_before_it_is_decoded() -> None:
    data = film(even(70, 1), moving_frames(70, 64, 48))
    with pytest.raises(LimitExceeded, match=r"lasts 69.0 s; the limit max_duration_s is 60"):
        decode(data, LIMITS)


def test_frames_that_all_carry_one_time_run_at_a_usual_rate() -> None:
    """The table of durations (stts, ISO/IEC 14496-12, 8.6.1.2) zeroed."""
    data = bytearray(film(even(20, 30), bf="0"))
    table = data.index(b"stts")
    count = struct.unpack_from(">I", data, table + 8)[0]
    for entry in range(count):
        struct.pack_into(">I", data, table + 12 + 8 * entry + 4, 0)
    video = decode(bytes(data), LIMITS)
    assert video.info.frames == 20
    assert video.info.fps > 0
