"""Decoding against OpenCV, the published pipeline's decoder, and against its own limits."""

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_handler.request.errors import LimitExceeded, UnreadableVideo
from model_handler.video import CROP_LEFT, CROP_TOP, Limits, decode
from tests.clips import encode, moving_frames, rotate_by_tag

LIMITS = Limits()


def opencv_frames(data: bytes, suffix: str) -> np.ndarray:
    """Decode, turn, resize and crop as the published pipeline does it."""
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        capture = cv2.VideoCapture(file.name)
        frames = []
        while (read := capture.read())[0]:
            small = cv2.resize(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), (171, 128))
            frames.append(small[CROP_TOP : CROP_TOP + 112, CROP_LEFT : CROP_LEFT + 112])
        capture.release()
    return np.stack(frames)


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("libx264", "mp4"),
        ("libx264", "mov"),
        ("mjpeg", "avi"),
        ("mpeg4", "avi"),
        ("libx265", "matroska"),
        ("libvpx-vp9", "webm"),
        ("gif", "gif"),
    ],
)
def test_frames_equal_opencvs_in_every_container(codec: str, container: str) -> None:
    data = encode(moving_frames(20), codec, container)
    video = decode(data, LIMITS)
    expected = opencv_frames(data, f".{container}")
    assert video.frames.shape == expected.shape == (20, 112, 112, 3)
    np.testing.assert_array_equal(video.frames, expected)
    assert (video.info.width, video.info.height) == (320, 240)
    assert video.info.fps == pytest.approx(25, rel=0.01)
    assert video.warnings == ()


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_tags_turn_the_picture_as_opencv_does(degrees: int) -> None:
    data = rotate_by_tag(encode(moving_frames(20)), degrees)
    video = decode(data, LIMITS)
    np.testing.assert_array_equal(video.frames, opencv_frames(data, ".mp4"))
    assert (video.info.width, video.info.height) == ((320, 240) if degrees == 180 else (240, 320))
    upright = decode(encode(moving_frames(20)), LIMITS).frames
    assert not np.array_equal(video.frames, upright)


@pytest.mark.parametrize(("fps", "warned"), [(10, True), (25, False), (30, False), (60, True)])
def test_unusual_frame_rates_are_warned_of(fps: int, warned: bool) -> None:
    warnings = decode(encode(moving_frames(20), fps=fps), LIMITS).warnings
    assert any(f"{fps} frames/s" in w for w in warnings) == warned


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(max_bytes=1000), "max_bytes"),
        (Limits(max_pixels=320 * 240 - 1), "max_pixels"),
        (Limits(max_frames=39), "max_frames"),
        (Limits(max_duration_s=1.5), "max_duration_s"),
        (Limits(max_decode_s=1e-9), "max_decode_s"),
    ],
)
def test_each_limit_refuses_just_above_it(limits: Limits, name: str) -> None:
    with pytest.raises(LimitExceeded) as refusal:
        decode(encode(moving_frames(40)), limits)
    assert refusal.value.details["limit"] == name
    assert name in refusal.value.message


def test_the_time_also_ends_in_headers() -> None:
    boxes = struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + struct.pack(">I4s", 8, b"free") * 1_000_000
    with pytest.raises(UnreadableVideo):
        decode(boxes, LIMITS)
    with pytest.raises(LimitExceeded, match="max_decode_s"):
        decode(boxes, Limits(max_decode_s=0.05))


def test_a_limit_is_told_in_full() -> None:
    with pytest.raises(LimitExceeded, match="the limit max_pixels is 1234567"):
        decode(encode(moving_frames(20, 1280, 1024)), Limits(max_pixels=1234567))


def test_each_limit_allows_its_own_value() -> None:
    data = encode(moving_frames(40))
    limits = Limits(len(data), 320 * 240, 40, 1.6, 20)
    assert decode(data, limits).info.frames == 40


def test_a_picture_larger_than_its_header_says_is_refused() -> None:
    data = bytearray(encode(moving_frames(20, 640, 480), "mjpeg", "avi"))
    sizes = data.index(b"strf") + 12  # past the chunk's name, size and biSize: biWidth, biHeight
    data[sizes : sizes + 8] = struct.pack("<2i", 64, 48)
    with pytest.raises(LimitExceeded, match="640x480"):
        decode(bytes(data), Limits(max_pixels=100 * 100))


def _hostile() -> Iterator[tuple[str, bytes]]:
    yield "concat list", b"ffconcat version 1.0\nfile '{target}'\n"
    yield "concat list without version", b"file '{target}'\n"
    yield (
        "session description",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    )
    yield "HLS playlist", b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{target}\n#EXT-X-ENDLIST\n"
    yield "DASH manifest", b'<?xml version="1.0"?><MPD><Period><BaseURL>{target}</BaseURL></Period></MPD>'
    yield "image list", b"%d.png"
    yield "picture", cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    yield "subtitles", b"1\n00:00:00,000 --> 00:00:01,000\nhello\n"
    yield "zeros", bytes(10_000)


@pytest.mark.parametrize(("name", "body"), list(_hostile()), ids=[n for n, _ in _hostile()])
def test_playlists_and_their_like_are_refused(name: str, body: bytes, tmp_path: Path) -> None:
    """The target is a video that would decode, so that following the reference could not go unnoticed."""
    target = tmp_path / "inside.mp4"
    target.write_bytes(encode(moving_frames(20)))
    with pytest.raises(UnreadableVideo):
        decode(body.replace(b"{target}", str(target).encode()), LIMITS)


def test_what_decodes_of_a_truncated_file_is_used() -> None:
    data = encode(moving_frames(60), "mjpeg", "avi")
    video = decode(data[: len(data) // 2], LIMITS)
    assert 16 <= video.info.frames < 60
    assert "announces 60 frames" in video.warnings[0]
    np.testing.assert_array_equal(video.frames, decode(data, LIMITS).frames[: video.info.frames])


def test_less_than_one_clip_is_refused_with_the_count() -> None:
    with pytest.raises(UnreadableVideo, match="Only 15 frames"):
        decode(encode(moving_frames(15)), LIMITS)
    assert decode(encode(moving_frames(16)), LIMITS).info.frames == 16


def test_damage_in_the_middle_is_warned_of() -> None:
    data = bytearray(encode(moving_frames(60), "libx264", "matroska", g="10"))
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    video = decode(bytes(data), LIMITS)
    assert video.info.frames >= 16
    assert video.warnings
