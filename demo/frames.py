"""What training reads again and again, kept on disk: decoded frames, a frozen stem's maps."""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from demo.labels import Label
from demo.resume import RunError
from model_handler.network import CLIP_FRAMES, CLIP_SIZE
from model_handler.request.errors import ScoringError
from model_handler.scoring import to_clips
from model_handler.video import Frames, Limits, decode
from model_handler.video.decoding import Video

FRAME_BYTES = CLIP_SIZE * CLIP_SIZE * 3

Spans = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class FrameStore:
    """Frames (T, 112, 112, 3) uint8 RGB of clip i: `store[i]`."""

    pixels: Frames
    spans: list[tuple[int, int]]

    def __getitem__(self, index: int) -> Frames:
        start, end = self.spans[index]
        return self.pixels[start:end]

    def clips(self, index: int) -> int:
        """Return how many clips of 16 frames a video makes, with the published padding."""
        start, end = self.spans[index]
        return (end - start) // CLIP_FRAMES + 1


def open_store(labels: Sequence[Label], folder: Path) -> tuple[FrameStore, list[tuple[Label, str]]]:
    """Return the frames of these clips, and the clips that the server would refuse, each with its reason.

    The store has the others, in order. What `folder` holds of the very same bytes is not decoded again; what
    is decoded stays there, however the pass ends.
    """
    index, raw = folder / "frames.json", folder / "frames.u8"
    spans: Spans = dict(json.loads(index.read_text())) if index.is_file() and raw.is_file() else {}
    new = [label for label in labels if label.sha256 not in spans]
    require_space(folder, FRAME_BYTES * sum(_count(label) for label in new), "decoded frames")
    bad = _decode(new, raw, index, spans)
    refused = {label.sha256 for label, _ in bad}
    kept = [tuple(spans[label.sha256]) for label in labels if label.sha256 not in refused]
    length = raw.stat().st_size // FRAME_BYTES
    pixels = np.memmap(raw, np.uint8, "r", shape=(length, CLIP_SIZE, CLIP_SIZE, 3)) if length else _NO_FRAMES
    return FrameStore(pixels, [(start, end) for start, end in kept]), bad


_NO_FRAMES = np.empty((0, CLIP_SIZE, CLIP_SIZE, 3), np.uint8)


def require_space(folder: Path, size: int, what: str) -> None:
    """Say how much of what goes into a folder; raise `RunError` where it does not fit."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise RunError(
            f"about {_bytes(size)} of {what} are to go into {folder}, where {_bytes(free)} are free. Free "
            "some, or give a --run on another disk"
        )
    if size > 1e8:
        print(f"About {_bytes(size)} of {what} go into {folder}; {_bytes(free)} are free there")


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


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
        made_of: str,
        stem: Callable[[torch.Tensor], torch.Tensor],
        threads: int = 1,
    ) -> "MapStore":
        """Return the maps of the `wanted` dives in `folder`, computing them first where they are of others.

        `made_of` names the clips and the weights of `stem`.
        """
        index, raw = folder / "maps.json", folder / "maps.f16"
        key = {"made_of": made_of, "wanted": list(wanted)}
        known = json.loads(index.read_text()) if index.is_file() else {}
        if {name: known.get(name) for name in key} != key:
            index.unlink(missing_ok=True)
            raw.unlink(missing_ok=True)
            known = key | _compute(frames, wanted, raw, stem, threads)
            index.write_text(json.dumps(known))
        shape = (known["ends"][-1], *known["shape"])
        return cls(np.memmap(raw, np.float16, "r", shape=shape), known["ends"])


def _compute(
    frames: FrameStore,
    wanted: Sequence[int],
    raw: Path,
    stem: Callable[[torch.Tensor], torch.Tensor],
    threads: int,
) -> dict[str, list[int]]:
    """Write the maps to the file `raw`; return their shape and where each dive's end."""

    def maps_of(index: int) -> NDArray[np.float16]:
        maps: NDArray[np.float16] = stem(to_clips(torch.from_numpy(frames[index].copy()))).half().numpy()
        return maps

    one = maps_of(wanted[0])
    clips = sum(frames.clips(index) for index in wanted)
    require_space(raw.parent, one[0].nbytes * clips, "maps of the frozen layers")
    counts = [0] * len(frames.spans)
    with raw.open("wb") as file, ThreadPoolExecutor(threads) as pool:
        computed = zip(wanted, pool.map(maps_of, wanted), strict=True)
        for index, maps in tqdm(computed, desc="stem", unit="dive", total=len(wanted)):
            file.write(np.ascontiguousarray(maps).tobytes())
            counts[index] = len(maps)
    return {"shape": list(one.shape[1:]), "ends": np.cumsum(counts).tolist()}


def _decode(labels: Sequence[Label], raw: Path, index: Path, spans: Spans) -> list[tuple[Label, str]]:
    """Append these clips' frames to the file `raw` and their places to `spans`; return those that are bad."""
    bad = []
    end = max((last for _, last in spans.values()), default=0)
    with raw.open("ab") as file, ThreadPoolExecutor() as pool:
        file.truncate(end * FRAME_BYTES)  # behind it is what a pass left that was cut off
        for start in tqdm(range(0, len(labels), 64), desc="decode", unit="64 clips", disable=not labels):
            group = labels[start : start + 64]
            for label, read in zip(group, pool.map(_read, group), strict=True):
                if isinstance(read, str):
                    bad.append((label, read))
                    continue
                file.write(read.frames.tobytes())
                spans[label.sha256] = (end, end + len(read.frames))
                end += len(read.frames)
                for text in (*read.warnings, *read.notes):
                    tqdm.write(f"line {label.line}: {label.path.name}: {text}")
            file.flush()
            index.with_suffix(".new").write_text(json.dumps(spans))
            index.with_suffix(".new").replace(index)
    return bad


def _read(label: Label) -> Video | str:
    """Return a clip's video, or why the server would refuse it."""
    try:
        # Nobody waits here: a laptop that was suspended meanwhile should not lose the whole pass.
        return decode(label.path.read_bytes(), Limits(max_decode_s=math.inf))
    except ScoringError as error:
        return str(error)


def _count(label: Label) -> int:
    """Return about how many frames a clip has, by its own account; 0 where it gives none."""
    try:
        with av.open(str(label.path)) as container:
            stream = container.streams.video[0]
            seconds = (container.duration or 0) / av.time_base
            return stream.frames or round(seconds * float(stream.average_rate or 0))
    except (av.FFmpegError, IndexError):
        return 0
