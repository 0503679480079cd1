"""What was scored, to look at: the middle frame of each clip side by side, as the network saw it."""

import base64
from typing import Any

import cv2
import numpy as np

from model_handler.network import CLIP_FRAMES, CLIP_SIZE
from model_handler.video import Frames

# Together they bound what an answer grows by: a strip of noise has 0.4 MB at most.
_WIDEST_PIXELS = 4096
_QUALITY = 72
# Behind the last frame of a video come frames of nothing; this is what their zeros were normalised from.
_NOTHING = (124, 116, 104)


def draw(frames: Frames) -> dict[str, Any]:
    """Return frames (T, 112, 112, 3) RGB as a JPEG in base64, one square tile for each clip that is scored.

    `tile` is the side of a tile in pixels: 112, less where more than 36 clips would make the strip too wide.
    A clip's middle is taken among the video's own frames; one of padding alone is grey.
    """
    clips = len(frames) // CLIP_FRAMES + 1
    tile = max(1, min(CLIP_SIZE, _WIDEST_PIXELS // clips))
    middles = np.full((clips, CLIP_SIZE, CLIP_SIZE, 3), _NOTHING, np.uint8)
    for i in range(clips):
        own = frames[i * CLIP_FRAMES : (i + 1) * CLIP_FRAMES]
        if len(own):
            middles[i] = own[len(own) // 2]
    tiles = [cv2.resize(one, (tile, tile), interpolation=cv2.INTER_AREA) for one in middles]
    pixels = cv2.cvtColor(np.hstack(tiles), cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return {"media_type": "image/jpeg", "tile": tile, "data": base64.b64encode(jpeg.tobytes()).decode()}
