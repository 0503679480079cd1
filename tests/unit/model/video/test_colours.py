"""HDR and wide gamuts become the SDR picture of the same scene; matrix and range are the stream's."""

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest

from model_handler.request.errors import UnreadableVideo
from model_handler.video import Limits, colour, decode
from model_handler.video.colour import prepare
from model_handler.video.orientation import IDENTITY
from tests.clips import Frames, moving_frames
from tests.unit.model.video.films import BT709, BT2020, DISPLAY_P3, HLG, PQ, even, film

LIMITS = Limits()
TIMES = even(20, 30)


def light(sdr: Frames) -> np.ndarray:
    """Display light of 8-bit BT.709, 1 is white."""
    shown: np.ndarray = (sdr / 255) ** 2.4
    return shown


def wide(shown: np.ndarray, primaries: int) -> np.ndarray:
    other: np.ndarray = np.clip(shown @ np.linalg.inv(colour._gamut(primaries).astype(float)).T, 0, None)
    return other


def hlg(shown: np.ndarray) -> np.ndarray:
    """BT.2100: display light at 1000 cd/m2, white at 100 -> HLG."""
    nits = wide(shown, 9) * 100 / 1000
    luma = np.maximum(nits @ np.array(colour._BT2020_LUMA), 1e-9)
    scene = nits * luma[..., None] ** (1 / 1.2 - 1)
    bright = colour._HLG_A * np.log(np.maximum(12 * scene - colour._HLG_B, 1e-9)) + colour._HLG_C
    encoded: np.ndarray = np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)
    return encoded


def pq(shown: np.ndarray) -> np.ndarray:
    return colour._to_pq(wide(shown, 9) * 100)


def gamma(primaries: int) -> Callable[[np.ndarray], np.ndarray]:
    def encode(shown: np.ndarray) -> np.ndarray:
        return plain(np.clip(wide(shown, primaries), 0, 1))

    return encode


def plain(shown: np.ndarray) -> np.ndarray:
    encoded: np.ndarray = shown ** (1 / 2.4)
    return encoded


def signal(frames: Frames, encode: Callable[[np.ndarray], np.ndarray]) -> Frames:
    wanted = np.clip(encode(light(frames)), 0, 1) * 65535
    return np.stack([np.rint(picture).astype(np.uint16) for picture in wanted])


@pytest.mark.parametrize(
    ("colours", "encode", "codec", "pix_fmt", "container", "tolerance"),
    [
        (HLG, hlg, "libx265", "yuv420p10le", "mov", 22),
        (PQ, pq, "libx265", "yuv420p10le", "mp4", 22),
        (PQ, pq, "libx265", "yuv420p10le", "matroska", 22),
        (BT2020, gamma(9), "libx265", "yuv420p10le", "mp4", 4),
        (DISPLAY_P3, gamma(12), "libx264", "yuv444p", "mp4", 4),
        (
            BT709,
            plain,
            "libx265",
            "yuv420p10le",
            "mp4",
            4,
        ),
    ],
    ids=["HLG", "PQ", "PQ in mkv", "BT.2020", "Display P3", "10 bits"],
)
def test_the_picture_is_that_of_an_sdr_camera(
    colours: tuple[int, int, int],
    encode: Callable[[np.ndarray], np.ndarray],
    codec: str,
    pix_fmt: str,
    container: str,
    tolerance: float,
) -> None:
    scene = moving_frames(20)
    expected = decode(film(TIMES, scene, "ffv1", "matroska", pix_fmt="yuv444p", colours=BT709), LIMITS)
    data = film(TIMES, signal(scene, encode), codec, container, pix_fmt=pix_fmt, colours=colours, crf="4")
    video = decode(data, LIMITS)
    assert video.warnings == ()
    difference = video.frames.astype(float) - expected.frames
    # HDR keeps some room for what is brighter than white, so its bright tones are a little darker.
    assert np.abs(difference).mean() < tolerance
    correlation = np.corrcoef(video.frames.ravel(), expected.frames.ravel())[0, 1]
    assert correlation > 0.97


def test_tone_mapping_keeps_shades_below_the_knee_and_maps_the_peak_to_white() -> None:
    nits = np.array([0.0, 1, 10, 20, 100, 400, 1000, 4000])
    grey = np.rint(colour._to_pq(nits)[None, :, None] * 65535).astype(np.uint16).repeat(3, axis=2)
    shown = colour._to_sdr(grey, 16, 9)[0]
    assert (shown.max(1) - shown.min(1)).max() <= 1
    assert shown[:4, 0] == pytest.approx((nits[:4] / 100) ** (1 / 2.4) * 255, abs=1.5)
    assert list(shown[:, 0]) == sorted(shown[:, 0])
    assert shown[4, 0] > 190
    assert shown[-2, 0] == shown[-1, 0] == 255


def test_the_same_scene_looks_the_same_in_hlg_and_pq() -> None:
    shown = np.random.default_rng(1).uniform(0, 1, (40, 40, 3))
    pictures = [
        colour._to_sdr(np.rint(encode(shown) * 65535).astype(np.uint16), transfer, 9).astype(int)
        for encode, transfer in ((hlg, 18), (pq, 16))
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 2


def yuv_frame(matrix: int, full: bool | None) -> av.VideoFrame:
    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(frame.planes, (120, 100, 150), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace, frame.color_range = matrix, 0 if full is None else 1 + full
    frame.pts, frame.time_base = 0, Fraction(1, 30)
    return frame


@pytest.mark.parametrize(
    ("matrix", "full", "rgb"),
    [
        # Y' = 120, Cb = 100, Cr = 150 by H.273's equations; without tags as OpenCV: BT.601, limited.
        (2, None, (156, 114, 65)),
        (2, False, (156, 114, 65)),
        (6, None, (156, 114, 65)),
        (1, None, (160, 115, 62)),
        (1, True, (155, 115, 68)),
        (2, True, (151, 114, 70)),
        (9, None, (158, 112, 61)),
        (10, None, (158, 112, 61)),  # constant luminance, read as its neighbour
        (8, None, (156, 114, 65)),  # YCgCo, which OpenCV reads so
    ],
)
def test_matrix_and_range_are_the_streams(matrix: int, full: bool | None, rgb: tuple[int, int, int]) -> None:
    pixels, width, height = prepare(yuv_frame(matrix, full), IDENTITY, 2, 2)
    assert (width, height) == (64, 48)
    assert pixels[50, 50].astype(int) == pytest.approx(rgb, abs=2)


@pytest.mark.parametrize("colours", [None, HLG])
def test_dolby_vision_without_a_matrix_is_profile_5(colours: tuple[int, int, int] | None) -> None:
    data = film(TIMES, codec="libx265", container="mp4", pix_fmt="yuv420p10le", colours=colours)
    tagged = data.replace(b"hev1", b"dvh1")
    assert tagged != data
    if colours:
        assert len(decode(tagged, LIMITS).frames) == 20
    else:
        with pytest.raises(UnreadableVideo, match=r"profile 5; .*ffmpeg -i INPUT -vf libplacebo"):
            decode(tagged, LIMITS)


@pytest.mark.parametrize("matrix", [14, 15])
def test_colours_that_are_no_rgb_are_named(matrix: int) -> None:
    with pytest.raises(UnreadableVideo, match="Dolby Vision profile 5"):
        prepare(yuv_frame(matrix, None), IDENTITY, 16, 9)
