"""An epoch's batches: which clips learn together, and what of each."""

from collections.abc import Sequence

import numpy as np
import torch

from demo.frames import FrameStore, MapStore
from demo.labels import Label
from demo.learner import STEM, Batch
from model_handler.scoring import gate_clip, to_clips

_MAX_SHIFT = 8  # frames cut off the beginning at random, so that clip borders fall everywhere


def shuffle(
    labels: Sequence[Label], size: int, rng: np.random.Generator
) -> list[tuple[list[int], list[int]]]:
    """Return an epoch's batches of training clips: `size` dives each, and the others spread over them."""
    dives = [i for i, label in enumerate(labels) if label.diving and not label.held_out]
    others = [i for i, label in enumerate(labels) if not label.diving and not label.held_out]
    count = len(dives) // size
    shuffled = rng.permutation(dives)[: count * size].reshape(count, size)
    spread = np.array_split(rng.permutation(others).astype(int), count)
    return [(batch.tolist(), rest.tolist()) for batch, rest in zip(shuffled, spread, strict=True)]


def batch(
    labels: Sequence[Label],
    store: FrameStore | MapStore,
    dives: list[int],
    others: list[int],
    rng: np.random.Generator,
    device: torch.device,
) -> Batch:
    """Return these clips, prepared as the server does, mirrored and shifted at random; or the dives' maps."""
    if isinstance(store, MapStore):
        maps = [torch.from_numpy(np.array(store[index])).to(device).float() for index in dives]
        return Batch(
            clips=torch.cat(maps).contiguous(memory_format=torch.channels_last_3d),
            start=STEM,
            counts=[len(each) for each in maps],
            labels=[labels[index] for index in dives],
            shifts=[0] * len(dives),
        )
    shifts, videos = [], []
    for index in dives + others:
        shift = int(rng.integers(_MAX_SHIFT)) if len(store[index]) > 4 * _MAX_SHIFT else 0
        frames = store[index][shift:]
        if rng.random() < 0.5:
            frames = frames[:, :, ::-1]
        shifts.append(shift)
        videos.append(to_clips(torch.from_numpy(frames.copy()).to(device)))
    clips = videos[: len(dives)]
    # The gate's question is easy: as many dives as others, and one, teach it enough.
    gate_dives = min(len(dives), len(others) + 1)
    return Batch(
        clips=torch.cat(clips),
        counts=[len(video) for video in clips],
        labels=[labels[index] for index in dives],
        shifts=shifts[: len(dives)],
        gate_clips=torch.stack([gate_clip(video) for video in clips[:gate_dives] + videos[len(dives) :]]),
        gate_dives=gate_dives,
    )
