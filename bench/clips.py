"""A dive at other sizes and lengths, as H.264 in mp4."""

from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from demo.render import encode
from springboard.system.checkout import ROOT

CLIP = ROOT / "demo" / "clips" / "good-dive.mp4"


@cache
def _frames(clip: Path) -> list[Any]:
    with av.open(str(clip)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def filmed(width: int, height: int, frames: int | None = None, clip: Path = CLIP) -> bytes:
    """Return a dive, by default the demo's, at another size, and quicker or slower to have so many frames."""
    dive = _frames(clip)
    shown = np.linspace(0, len(dive) - 1, frames or len(dive)).round().astype(int)
    return encode(np.stack([cv2.resize(dive[i], (width, height)) for i in shown]).astype(np.uint8), 30)
