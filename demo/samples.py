"""Draw what docs and `make demo` show: a good dive, the same done poorly, no dive at all, a strip of both.

python -m demo.samples
"""

from pathlib import Path

import cv2
import numpy as np

from demo.others import draw_other
from demo.render import Drawn, Video, draw, encode, perform

_HERE = Path(__file__).parent
_SEED = 2_000_008  # neither trained on nor held out: see demo/dataset.py
_NUMBER = "407C"
_GOOD, _POOR = 9.3, 2.6  # executions
_STRIP_FRAMES = 9


def strip(drawn: Drawn) -> Video:
    """Return frames (H, W, 3) from the jump to the splash side by side, cut to what the server sees."""
    chosen = np.linspace(drawn.takeoff - 2, min(drawn.entry + 7, len(drawn.frames) - 1), _STRIP_FRAMES)
    return np.hstack(list(drawn.frames[chosen.astype(int), 15:225, 55:265]))


def main() -> None:
    """Write `demo/clips/` and `demo/strip.png`."""
    clips = _HERE / "clips"
    clips.mkdir(exist_ok=True)
    good, poor = (draw(perform(_SEED, _NUMBER, execution)) for execution in (_GOOD, _POOR))
    for name, drawn in (
        ("good-dive", good),
        ("poor-dive", poor),
        ("not-a-dive", draw_other(_SEED, "walkers")),
    ):
        (clips / f"{name}.mp4").write_bytes(encode(drawn.frames, drawn.fps))
    both = np.vstack([strip(good), strip(poor)])
    small = cv2.resize(both, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(_HERE / "strip.png"), cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    for execution in (_GOOD, _POOR):
        print(f"{_NUMBER} at execution {execution}: {perform(_SEED, _NUMBER, execution).score} points")


if __name__ == "__main__":
    main()
