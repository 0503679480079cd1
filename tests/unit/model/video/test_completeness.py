"""What is cut off is seen, in every container that tells its length; what is whole is not warned of."""

import io
import struct
from typing import Any

import av
import numpy as np
import pytest

from model_handler.request.errors import UnreadableVideo
from model_handler.video import Limits, decode
from model_handler.video.extent import lacks_index, missing_bytes
from tests.clips import encode, moving_frames
from tests.unit.model.video.films import RATE, even, film

LIMITS = Limits()


def made(container: str) -> bytes:
    codec = {"gif": "gif", "asf": "wmv2", "avi": "mpeg4", "webm": "libvpx"}.get(container, "libx264")
    options: dict[str, Any] = {"gif": {}, "webm": {"deadline": "realtime"}}.get(container, {"bf": "0"})
    if container == "fragmented":
        fragments = {"movflags": "frag_keyframe+empty_moov"}
        return film(even(60, 25), muxing=fragments, bf="0", g="15")
    if container == "mp4":
        return film(even(60, 25), muxing={"moov_size": "4000"}, g="1")
    return encode(moving_frames(60), codec, container, **options)


CONTAINERS = ["mp4", "fragmented", "matroska", "webm", "avi", "asf", "flv", "gif"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_cut_is_seen_wherever_it_lies(container: str) -> None:
    data = made(container)
    assert missing_bytes(data) == 0
    for part in (0.6, 0.75, 0.85, 0.93):
        end = int(len(data) * part)
        # A cut between two of FLV's tags, or within what leads to the next, takes nothing that was announced.
        cut = next(cut for more in range(16) if missing_bytes(cut := data[: end + more]) > 0)
        video = decode(cut, LIMITS)
        if video.info.frames < 59:
            assert "truncated or damaged" in video.warnings[0], part


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("more", [bytes(4000), np.random.default_rng(4).bytes(4000)], ids=["zeros", "noise"])
def test_what_follows_a_whole_file_is_no_damage(container: str, more: bytes) -> None:
    data = made(container)
    assert missing_bytes(data + more) == 0
    video = decode(data + more, LIMITS)
    assert (video.info.frames, video.warnings) == (60, ())


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.97])
def test_a_recording_that_broke_off_before_its_index_is_called_incomplete(keep: float) -> None:
    data = encode(moving_frames(40))
    with pytest.raises(
        UnreadableVideo, match=r"incomplete, .* or more are missing at its end\. Send the whole"
    ):
        decode(data[: int(len(data) * keep)], LIMITS)


def test_a_recording_whose_index_was_never_written_is_called_incomplete() -> None:
    data = bytearray(encode(moving_frames(40)))
    media = data.index(b"mdat") - 4
    # What cameras reserve: media of unknown size, and zeros where the index would be.
    data[media : media + 4] = bytes(4)
    data[data.index(b"moov") - 4 :] = bytes(2000)
    assert lacks_index(bytes(data))
    with pytest.raises(UnreadableVideo, match=r"incomplete, .* its index \(moov\)"):
        decode(bytes(data), LIMITS)


def test_too_short_a_rest_of_a_cut_video_says_both() -> None:
    data = made("matroska")
    with pytest.raises(UnreadableVideo, match=r"incomplete.*Only \d+ frames .* can be decoded"):
        decode(data[: len(data) // 6], LIMITS)


def test_sound_that_begins_late_in_a_wmv_is_no_damage() -> None:
    """FFmpeg adds the start of the sound to the length of the whole."""
    file = io.BytesIO()
    with av.open(file, "w", format="asf") as output:
        stream = output.add_stream("wmv2", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        sound = output.add_stream("wmav2", rate=RATE, layout="mono")
        sound.bit_rate = 64_000
        for picture in moving_frames(40):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        output.mux(stream.encode())
        for at in range(4 * RATE, 5 * RATE, 2048):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), "fltp", "mono")
            silence.sample_rate, silence.pts = RATE, at
            output.mux(sound.encode(silence))
        output.mux(sound.encode())
    video = decode(file.getvalue(), LIMITS)
    assert (video.info.frames, video.warnings) == (40, ())


@pytest.mark.parametrize("container", ["matroska", "flv", "mpegts"])
def test_a_pause_that_may_hide_lost_frames_is_told_as_that(container: str) -> None:
    times = [*even(20, 25), *even(20, 25, start_s=3)]
    warnings = decode(film(times, moving_frames(40), container=container), LIMITS).warnings
    assert warnings == (
        "For 2.2 s after 0.8 s the video has no frames: if some are lost there, the score is off.",
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\xff\xff\xff\xffAVI ",
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",
        b"\x1a\x45\xdf\xa3\0\0\0\0\0",
        b"GIF89a",
        b"FLV\x01\x05\xff\xff\xff\xff",
        struct.pack(">I4s", 8, b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", 3),
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + b"\xff" * 300,
    ],
)
def test_headers_that_say_nothing_or_nonsense_are_survived(data: bytes) -> None:
    assert missing_bytes(data) >= 0
    assert not lacks_index(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x08free" * 600_000,
        b"FLV\x01\x05\0\0\0\x09\0\0\0\0" + (b"\x09" + bytes(14)) * 600_000,
        b"GIF89a" + bytes(7) + b"!\xff" + b"\x01a" * 600_000,
    ],
    ids=["boxes", "tags", "blocks"],
)
def test_more_headers_than_any_video_has_are_not_walked_to_the_end(data: bytes) -> None:
    assert missing_bytes(data[:-3]) == 0
