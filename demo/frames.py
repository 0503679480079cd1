"""What training reads again and again, kept on disk: decoded frames, a frozen stem's maps."""

import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from demo.labels import Label
from model_handler.network import CLIP_SIZE
from model_handler.scoring import to_clips
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


@dataclass(frozen=True)
class MapStore:
    """What the frozen first convolutions make of dive i: `store[i]`, float16, a row for each of its clips."""

    maps: NDArray[np.float16]
    ends: list[int]

    def __getitem__(self, index: int) -> NDArray[np.float16]:
        return self.maps[self.ends[index - 1] if index else 0 : self.ends[index]]

    @classmethod
    def open(
        cls,
        frames: FrameStore,
        wanted: Sequence[int],
        folder: Path,
        weights: str,
        stem: Callable[[torch.Tensor], torch.Tensor],
    ) -> "MapStore":
        """Return the maps of the `wanted` dives in `folder`, computing them first where they are of others.

        `weights` names what `stem` is made of.
        """
        index, raw = folder / "maps.json", folder / "maps.f16"
        key = {"weights": weights, "ends": frames.ends, "wanted": list(wanted)}
        known = json.loads(index.read_text()) if index.is_file() else {}
        if {name: known.get(name) for name in key} != key:
            index.unlink(missing_ok=True)
            counts = [0] * len(frames.ends)
            with raw.open("wb") as file, ThreadPoolExecutor(torch.get_num_threads()) as pool:
                run = pool.map(
                    lambda i: stem(to_clips(torch.from_numpy(frames[i].copy()))).half().numpy(), wanted
                )
                for i, maps in tqdm(
                    zip(wanted, run, strict=True), desc="stem", unit="dive", total=len(wanted)
                ):
                    file.write(np.ascontiguousarray(maps).tobytes())
                    counts[i], shape = len(maps), maps.shape[1:]
            known = key | {"shape": shape, "map_ends": np.cumsum(counts).tolist()}
            index.write_text(json.dumps(known))
        return cls(
            np.memmap(raw, np.float16, "r", shape=(known["map_ends"][-1], *known["shape"])), known["map_ends"]
        )


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
