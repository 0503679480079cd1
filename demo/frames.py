"""Every clip's frames, decoded once by the server's own decoder and kept on disk for training."""

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from demo.dataset import Label
from model_handler.network import CLIP_SIZE
from model_handler.video import Frames, Limits, decode


@dataclass(frozen=True)
class FrameStore:
    """Frames (T, 112, 112, 3) uint8 RGB of clip i: `store[i]`."""

    pixels: Frames
    ends: list[int]

    def __getitem__(self, index: int) -> Frames:
        return self.pixels[self.ends[index - 1] if index else 0 : self.ends[index]]

    @classmethod
    def open(cls, labels: Sequence[Label], folder: Path) -> "FrameStore":
        """Return the store of these clips in `folder`, decoding them first if it is not there or of others.

        Raises what `model_handler.video.decode` raises for a clip that the server would refuse.
        """
        index, raw = folder / "frames.json", folder / "frames.u8"
        names = [str(label.path) for label in labels]
        known = json.loads(index.read_text()) if index.is_file() else {}
        if known.get("clips") != names:
            index.unlink(missing_ok=True)
            known = {"clips": names, "ends": _decode_all(labels, raw)}
            index.write_text(json.dumps(known))
        shape = (known["ends"][-1], CLIP_SIZE, CLIP_SIZE, 3)
        return cls(np.memmap(raw, np.uint8, "r", shape=shape), known["ends"])


def _decode_all(labels: Sequence[Label], raw: Path) -> list[int]:
    """Write every clip's frames to the file `raw`, one after the other, and return where each ends."""
    ends, end = [], 0
    with raw.open("wb") as file, ThreadPoolExecutor() as pool:
        for start in tqdm(range(0, len(labels), 64), desc="decode", unit="64 clips"):
            for frames in pool.map(_read, labels[start : start + 64]):
                file.write(frames.tobytes())
                end += len(frames)
                ends.append(end)
    return ends


def _read(label: Label) -> Frames:
    # Nobody waits here: a laptop that was suspended meanwhile should not lose the whole pass.
    return decode(label.path.read_bytes(), Limits(max_decode_s=math.inf)).frames
