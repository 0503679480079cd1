"""Display matrices, shown as ffmpeg and players show them."""

import io
import math
from collections.abc import Callable

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from model_handler.video import Limits, decode
from model_handler.video.orientation import IDENTITY, upright
from tests.clips import encode, moving_frames
from tests.unit.model.video.films import even, film

ONE, UNITY = 1 << 16, 1 << 30
Turn = Callable[[np.ndarray], np.ndarray]


def matrix(a: int, b: int, c: int, d: int) -> list[int]:
    return [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, UNITY]


# (a, b, c, d): the point (p, q) goes to (a p + c q, b p + d q), with q downwards (ISO/IEC 14496-12, 6.2.2).
ORIENTATIONS: dict[str, tuple[list[int], Turn]] = {
    "as it is": (matrix(1, 0, 0, 1), lambda p: p),
    "quarter clockwise": (matrix(0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "half": (matrix(-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "quarter counterclockwise": (matrix(0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "mirrored left to right": (matrix(-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "mirrored top to bottom": (matrix(1, 0, 0, -1), lambda p: p[::-1]),
    "transposed": (matrix(0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "transposed the other way": (matrix(0, -1, -1, 0), lambda p: np.rot90(p, 2).swapaxes(0, 1)),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_all_eight_orientations_are_shown(name: str) -> None:
    tag, turn = ORIENTATIONS[name]
    sent = moving_frames(20, 320, 240)
    video = decode(film(even(20, 30), sent, crf="1", matrix=tag), Limits())
    turned = np.stack([turn(picture) for picture in sent])
    expected = decode(film(even(20, 30), turned, crf="1"), Limits())
    assert (video.info.width, video.info.height) == turned.shape[2:0:-1]
    assert np.abs(video.frames.astype(int) - expected.frames).mean() < 3


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_each_matrix_moves_each_corner_where_it_says(name: str) -> None:
    tag, turn = ORIENTATIONS[name]
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    np.testing.assert_array_equal(upright(picture, tuple(tag)), turn(picture))


def test_a_mirror_that_comes_without_a_turn_on_the_way_is_shown() -> None:
    """Told in the bitstream, as H.264's display orientation (ITU-T H.264, D.1.27)."""
    sent = moving_frames(20)
    upside_down = encode(np.ascontiguousarray(sent[:, ::-1]), "libx264", "h264", g="1", bf="0")
    with av.open(io.BytesIO(upside_down), "r") as container:
        name = "h264_metadata=display_orientation=insert:flip=vertical"
        filters = BitStreamFilterContext(name, container.streams.video[0])
        tagged = [bytes(out) for packet in container.demux(video=0) for out in filters.filter(packet)]
    plain = encode(sent, "libx264", "h264", g="1", bf="0")
    video = decode(plain + b"".join(tagged), Limits())
    assert video.info.frames == 40
    assert np.abs(video.frames[:20].astype(int) - video.frames[20:]).mean() < 3


@pytest.mark.parametrize(("degrees", "turns"), [(3, 0), (-3, 0), (88, -1), (181, 2)])
def test_odd_angles_are_rounded_to_a_quarter(degrees: float, turns: int) -> None:
    sine, cosine = (round(f(math.radians(degrees)) * ONE) for f in (math.sin, math.cos))
    tag = (cosine, sine, 0, -sine, cosine, 0, 0, 0, UNITY)
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    np.testing.assert_array_equal(upright(picture, tag), np.rot90(picture, turns))


@pytest.mark.parametrize("tag", [(0,) * 9, (5, 0, 0, 0, 0, 0, 0, 0, 0), IDENTITY])
def test_a_matrix_that_says_nothing_leaves_the_picture(tag: tuple[int, ...]) -> None:
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    np.testing.assert_array_equal(upright(picture, tag), picture)
