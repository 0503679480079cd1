"""A display matrix -> the picture as people see it: all four turns, each with or without a mirror."""

import math
import struct
from functools import lru_cache
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Matrix = tuple[int, ...]
Pixels = NDArray[np.unsignedinteger]  # (height, width, 3)
_MATRIX = struct.Struct("=9i")

IDENTITY: Matrix = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def display_matrix(frame: VideoFrame) -> Matrix:
    """Return the nine numbers of a frame's display matrix, which FFmpeg hands on from container or stream."""
    held = cast(SideDataContainer, frame.side_data).get(Type.DISPLAYMATRIX)
    return _MATRIX.unpack_from(held) if held is not None and held.buffer_size >= _MATRIX.size else IDENTITY


@lru_cache(maxsize=8)  # asked for every frame
def quarter_turns(matrix: Matrix) -> int:
    """Return how many quarter turns clockwise show the picture upright, 0 to 3; odd angles are rounded.

    As libavutil's `av_display_rotation_get`: the matrix (a b u, c d v, x y w) maps (p, q) to (a p + c q,
    b p + d q), and its columns may be scaled.
    """
    a, b, _, c, d = matrix[:5]
    across, down = math.hypot(a, c), math.hypot(b, d)
    if not across or not down:
        return 0
    return round(math.atan2(b / down, a / across) / (math.pi / 2)) % 4


def upright(picture: Pixels, matrix: Matrix) -> Pixels:
    """Turn and mirror a picture (height, width, 3) as ffmpeg's automatic rotation does (ffmpeg_filter.c)."""
    if matrix[:5] == IDENTITY[:5]:
        return picture
    a, _, _, c, d = matrix[:5]
    turns = quarter_turns(matrix)
    if turns % 2:
        # A quarter turn is a transposition and one mirror; without the mirror the picture was mirrored.
        turned = picture.swapaxes(0, 1)
        if turns == 1:
            turned = turned if c > 0 else turned[:, ::-1]
        else:
            turned = turned[::-1, ::-1] if c < 0 else turned[::-1]
    else:
        turned = picture[:: -1 if d < 0 else 1, :: -1 if turns == 2 and a < 0 else 1]
    return np.ascontiguousarray(turned)
