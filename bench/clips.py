"""The demo's dive at other sizes and lengths, as H.264 in mp4."""

from functools import cache
from typing import Any

import av
import cv2
import numpy as np

from demo.render import encode
from springboard.system.checkout import ROOT

CLIP = ROOT / "demo" / "clips" / "good-dive.mp4"


@cache
def _dive() -> list[Any]:
    with av.open(str(CLIP)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def filmed(width: int, height: int, frames: int | None = None) -> bytes:
    """Return the demo's dive at another size; with more frames than its 76, forwards and backwards again."""
    dive = _dive()
    there_and_back = dive + dive[-2:0:-1]
    chosen = [there_and_back[i % len(there_and_back)] for i in range(frames or len(dive))]
    return encode(np.stack([cv2.resize(frame, (width, height)) for frame in chosen]).astype(np.uint8), 30)
