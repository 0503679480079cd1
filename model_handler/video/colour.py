"""A decoded frame -> (112, 112, 3) uint8 RGB as the network sees it.

Usual video goes the way of OpenCV's VideoCapture and resize, bit by bit. HDR is mapped to what an SDR camera
would have made of the scene, wide gamuts to BT.709, both after resizing, where it costs little.
"""

from functools import cache

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc
from numpy.typing import NDArray

from model_handler.network import CLIP_SIZE
from model_handler.request.errors import UnreadableVideo
from model_handler.video.orientation import Matrix, Pixels, quarter_turns, upright

# The published pipeline resizes, then crops the centre; its (171 - 112) / 2 is rounded down.
RESIZED_WIDTH, RESIZED_HEIGHT = 171, 128
CROP_TOP, CROP_LEFT = 8, 29

Frames = NDArray[np.uint8]
_Light = NDArray[np.float32]

# ITU-T H.273, table 2: chromaticities of red, green and blue. All are taken with white D65, so that white
# stays white.
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_WIDE: dict[int, tuple[tuple[float, float], ...]] = {
    ColorPrimaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    ColorPrimaries.SMPTE431: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # DCI-P3
    ColorPrimaries.SMPTE432: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
_D65 = (0.3127, 0.3290)
_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)

# ITU-T H.273, table 4: matrices that libswscale does not know. The constant-luminance one is read as its
# neighbour; the last two carry no R'G'B' at all (Dolby Vision profile 5 is one of them).
_UNSPECIFIED, _CONSTANT_LUMINANCE, _ICTCP, _IPT = 2, 10, 14, 15
_MATRICES = (0, 1, 2, 4, 5, 6, 7, 9)
_NO_RGB = (
    "The video's colours are ICtCp, as in Dolby Vision profile 5; this server reads HLG, HDR10 and SDR."
    " Export it as one of these, or where Vulkan runs: ffmpeg -i INPUT -vf libplacebo=colorspace=bt709:"
    "color_primaries=bt709:color_trc=bt709 -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"
)
# What mp4 calls Dolby Vision that others cannot show (Dolby Vision streams within ISOBMFF, 2.2).
_DOLBY_VISION = ("dvh1", "dvhe", "dva1", "dvav", "dav1")

# ITU-R BT.2100: HLG's constants, its nominal peak and system gamma, and PQ's constants.
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA, _BT2020_LUMA = 1.2, (0.2627, 0.6780, 0.0593)
_PQ_M1, _PQ_M2, _PQ_C1, _PQ_C2, _PQ_C3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
# What is mapped to what, in cd/m2: the usual HDR peak to the SDR display of BT.2390.
_HDR_PEAK, _SDR_PEAK = 1000.0, 100.0
_BT1886 = 2.4  # ITU-R BT.1886, annex 1: the exponent of an SDR display


def prepare(frame: VideoFrame, matrix: Matrix, transfer: int, primaries: int) -> tuple[Frames, int, int]:
    """Return the frame as the network sees it, and its width and height as displayed.

    `transfer` and `primaries` are H.273's numbers. Raises `UnreadableVideo` for colours that are not R'G'B'.
    """
    _name_matrix(frame)
    sideways = quarter_turns(matrix) % 2 == 1
    width, height = (frame.height, frame.width) if sideways else (frame.width, frame.height)
    if transfer in _HDR:
        small = _crop(_small_hdr(frame, matrix, sideways))
        return _to_sdr(small, transfer, primaries), width, height
    # Colours by libswscale with bicubic chroma, then bilinear without antialiasing in fixed point: OpenCV's.
    full = np.asarray(frame.to_ndarray(format="rgb24", interpolation="BICUBIC"), np.uint8)
    resized = cv2.resize(
        upright(full, matrix), (RESIZED_WIDTH, RESIZED_HEIGHT), interpolation=cv2.INTER_LINEAR
    )
    small = _crop(np.asarray(resized, np.uint8))
    if primaries in _WIDE:
        return _encode(_to_bt709(primaries, _decoded()[small])), width, height
    return small.astype(np.uint8), width, height


def check_tag(tag: str, matrix: int) -> None:
    """Refuse what a container's tag alone says is no R'G'B': Dolby Vision profile 5 names no matrix.

    Profile 8 goes by HEVC's own tags, and where it does not, names its matrix.
    """
    if tag in _DOLBY_VISION and matrix == _UNSPECIFIED:
        raise UnreadableVideo(_NO_RGB)


def _name_matrix(frame: VideoFrame) -> None:
    """Give a frame whose matrix libswscale lacks one that it knows; it would refuse the frame."""
    if frame.colorspace in _MATRICES:
        return
    if frame.colorspace in (_ICTCP, _IPT):
        raise UnreadableVideo(_NO_RGB)
    constant = frame.colorspace == _CONSTANT_LUMINANCE
    frame.colorspace = Colorspace.BT2020 if constant else Colorspace.DEFAULT


def _crop(picture: Pixels) -> Pixels:
    return picture[CROP_TOP : CROP_TOP + CLIP_SIZE, CROP_LEFT : CROP_LEFT + CLIP_SIZE]


def _small_hdr(frame: VideoFrame, matrix: Matrix, sideways: bool) -> Pixels:
    """Return R'G'B' (128, 171, 3) uint16. libswscale resizes as it converts: at 4K 30 times faster."""
    width, height = (RESIZED_HEIGHT, RESIZED_WIDTH) if sideways else (RESIZED_WIDTH, RESIZED_HEIGHT)
    picture = frame.to_ndarray(format="rgb48le", interpolation="BILINEAR", width=width, height=height)
    return upright(np.asarray(picture, np.uint16), matrix)


def _to_sdr(picture: Pixels, transfer: int, primaries: int) -> Frames:
    """Map HLG or PQ R'G'B' (h, w, 3) uint16 to BT.709 (h, w, 3) uint8.

    Display light by BT.2100; then BT.2390-11, 5.4.1: its Hermite spline in PQ's scale bends what is brighter
    than the knee. It is applied to the largest of R, G, B, so that hues stay.
    """
    light = _linear(transfer)[picture]
    if transfer == ColorTrc.ARIB_STD_B67:
        luma = light @ np.array(_BT2020_LUMA, np.float32)
        light *= _HDR_PEAK * cv2.pow(luma, _HLG_GAMMA - 1)[..., None]
    gains = _gains()
    brightest = np.minimum(light.max(-1) * ((len(gains) - 1) / _HDR_PEAK), len(gains) - 1)
    light *= gains[brightest.astype(np.int32)][..., None]
    return _encode(_to_bt709(primaries if primaries != ColorPrimaries.UNSPECIFIED else 9, light / _SDR_PEAK))


def _encode(light: _Light) -> Frames:
    """Display light, 1 is white -> 8-bit R'G'B' by BT.1886's inverse."""
    return np.rint(cv2.pow(np.clip(light, 0, 1), 1 / _BT1886) * 255).astype(np.uint8)


def _to_bt709(primaries: int, light: _Light) -> _Light:
    if primaries not in _WIDE:
        return light
    return np.asarray(cv2.transform(light, _gamut(primaries)), np.float32)


@cache
def _gamut(primaries: int) -> _Light:
    """Return the 3x3 that takes linear R, G, B of wide primaries to BT.709's (SMPTE RP 177)."""
    return (np.linalg.inv(_to_xyz(_BT709)) @ _to_xyz(_WIDE[primaries])).astype(np.float32)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*primaries, _D65)]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])


@cache
def _decoded() -> _Light:
    """Return display light of each 8-bit value, by BT.1886."""
    return ((np.arange(256) / 255) ** _BT1886).astype(np.float32)


@cache
def _linear(transfer: int) -> _Light:
    """Return the light of each 16-bit value: HLG's of the scene, 0 to 1; PQ's of the display, in cd/m2."""
    signal = np.arange(65536) / 65535
    if transfer == ColorTrc.SMPTE2084:
        return _from_pq(signal).astype(np.float32)
    bright = (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12
    return np.where(signal <= 0.5, signal**2 / 3, bright).astype(np.float32)


@cache
def _gains() -> _Light:
    """Return by what light is multiplied, at 16384 steps up to the HDR peak (BT.2390-11, 5.4.1)."""
    light = np.linspace(0, _HDR_PEAK, 16385)
    peak = _to_pq(_HDR_PEAK)
    signal, target = _to_pq(light) / peak, _to_pq(_SDR_PEAK) / peak
    knee = 1.5 * target - 0.5
    t = np.maximum(0, (signal - knee) / (1 - knee))
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
    bent += (3 * t**2 - 2 * t**3) * target
    mapped = _from_pq(np.where(signal < knee, signal, bent) * peak)
    return np.divide(mapped, light, out=np.ones_like(light), where=light > 0).astype(np.float32)


def _to_pq(light: "float | NDArray[np.float64]") -> "NDArray[np.float64]":
    power = (np.asarray(light) / 10000) ** _PQ_M1
    return np.asarray(((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2)


def _from_pq(signal: "NDArray[np.float64]") -> "NDArray[np.float64]":
    power = np.maximum(signal, 0) ** (1 / _PQ_M2)
    return np.asarray(10000 * (np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power)) ** (1 / _PQ_M1))
