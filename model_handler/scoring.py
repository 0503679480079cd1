"""Frames -> gate -> clip features -> score, dive and per-clip timeline, many dives in one pass.

The constants are the published pipeline's: ImageNet's mean and standard deviation, zero frames up to a
multiple of 16 (16 of them where the length already is one), scores divided by 17 in training, the gate's
input scaled by 255 twice.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model_handler.checkpoint import Checkpoint
from model_handler.dives import POSITIONS, ROTATIONS, Dive
from model_handler.engines import GATE_INPUT_SCALE, Networks
from model_handler.engines.in_torch import TorchNetworks, placed, present
from model_handler.network import CLIP_FRAMES, CLIP_SIZE, HEADS
from model_handler.request.errors import NotADive, OutOfMemory
from model_handler.video import Frames

log = logging.getLogger(__name__)

POINTS_PER_RAW = 17
DIVING_CLASS = 463
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Clips in one forward pass before memory is known to be short. On a CPU more at once is not faster.
_CLIPS_PER_PASS = {"cuda": 64, "cpu": 8}
# Good passes after which twice as many clips are tried again: a shortage is mostly another release that is
# deployed. Each time that this fails, the wait doubles.
_PATIENCE, _MOST_PATIENCE = 8, 1024

# What PyTorch, cuDNN and cuBLAS say where memory ran out; only the first has an exception of its own.
_MEMORY_FAULTS = (
    "out of memory",
    "can't allocate memory",
    "std::bad_alloc",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)
# What they also say for it: their handles and workspaces are the first that find no room.
_PERHAPS_MEMORY_FAULTS = (
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "unable to find an engine to execute this computation",
)
_SCARCE_BYTES = 1 << 30


@dataclass(frozen=True)
class Assessment:
    """What the networks say of one dive.

    `contributions` has one number of points per clip and adds up to `score`. Clip features are averaged and
    fc6 is linear, so hidden unit k is max(0, mean over clips of a_ik). Where unit k is active, clip i's part
    in it is a_ik / N, else 0; the regressor weighs these parts, and its bias is shared equally. This is the
    exact share as long as the set of active units stays the same.
    """

    score: float
    contributions: tuple[float, ...]
    probabilities: dict[str, tuple[float, ...]] | None

    @property
    def dive(self) -> Dive | None:
        """Return the most probable dive, or None without a dive classifier."""
        if self.probabilities is None:
            return None
        best = {head: int(np.argmax(p)) for head, p in self.probabilities.items()}
        return Dive(
            position=POSITIONS[best["position"]],
            armstand=bool(best["armstand"]),
            rotation=ROTATIONS[best["rot_type"]],
            half_somersaults=best["ss_no"],
            half_twists=best["tw_no"],
        )


def gate_frame_indices(padded_frames: int) -> list[int]:
    """Return the 16 frames the gate looks at, spread evenly over the padded video."""
    return [i * (padded_frames - 1) // (CLIP_FRAMES - 1) for i in range(CLIP_FRAMES)]


def to_clips(frames: Tensor) -> Tensor:
    """Normalise and pad: frames (T, 112, 112, 3) uint8 RGB -> clips (N, 3, 16, 112, 112) float32."""
    mean = torch.tensor(MEAN, device=frames.device)
    std = torch.tensor(STD, device=frames.device)
    normal = (frames.float() / 255 - mean) / std
    padding = CLIP_FRAMES - len(frames) % CLIP_FRAMES
    padded = torch.cat([normal, normal.new_zeros(padding, CLIP_SIZE, CLIP_SIZE, 3)])
    return padded.reshape(-1, CLIP_FRAMES, CLIP_SIZE, CLIP_SIZE, 3).permute(0, 4, 1, 2, 3)


def gate_clip(clips: Tensor) -> Tensor:
    """Return what the gate sees of one video's clips: (3, 16, 112, 112), channels BGR."""
    frames = clips.transpose(1, 2).flatten(0, 1)
    return frames[gate_frame_indices(len(frames))].flip(1).transpose(0, 1)


class Scorer:
    """The networks of one checkpoint on one device, ready to score batches of dives.

    `networks` are the checkpoint's in another engine than PyTorch.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        dtype: torch.dtype,
        networks: Networks | None = None,
    ) -> None:
        self.device = device
        self.clips_per_pass = self._most_per_pass = _CLIPS_PER_PASS[device.type]
        self._good_passes, self._patience, self._grown = 0, _PATIENCE, False
        self.trained_on = checkpoint.trained_on
        self.networks = networks or TorchNetworks(checkpoint, device, dtype)
        # The heads are tiny; in float32 they cost nothing and keep small differences between dives.
        self._score = present(placed(checkpoint, "score", device, torch.float32))
        self._dive = placed(checkpoint, "dive", device, torch.float32)

    def warm_up(self) -> None:
        """Score a black video, so that the first caller does not wait for kernels and buffers."""
        clips = self.clips([np.zeros((2 * CLIP_FRAMES, CLIP_SIZE, CLIP_SIZE, 3), np.uint8)])
        self.refusals(clips)
        self.score(clips)

    def clips(self, dives: Sequence[Frames]) -> list[Tensor]:
        """Move each dive's frames (T, 112, 112, 3) to the device as normalised clips (N, 3, 16, 112, 112).

        Raises `OutOfMemory`, as all that follows does, where the device has no room.
        """
        with self._memory_watched():
            return [to_clips(torch.from_numpy(frames).to(self.device)) for frames in dives]

    def gate_logits(self, dives: Sequence[Tensor]) -> Tensor | None:
        """Return the gate's logits (dives, 487) on the published scale, float32, or None without a gate."""
        if not self.networks.has_gate:
            return None
        with self._memory_watched():
            seen = torch.stack([gate_clip(clips) for clips in dives])
            return self._forward(self.networks.gate, seen) * GATE_INPUT_SCALE

    def refusals(self, dives: Sequence[Tensor]) -> list[NotADive | None]:
        """Return, for each dive's clips, None if the gate sees diving, else what it answers."""
        logits = self.gate_logits(dives)
        if logits is None:
            return [None] * len(dives)
        with self._memory_watched():
            probabilities, classes = (found.cpu() for found in logits.softmax(1).max(1))
        return [
            None if seen == DIVING_CLASS else _not_a_dive(seen, probability)
            for seen, probability in zip(classes.tolist(), probabilities.tolist(), strict=True)
        ]

    def features(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112) -> features (N, 8192 at width 1), float32."""
        with self._memory_watched():
            return self._forward(self.networks.features, clips)

    def score(self, dives: Sequence[Tensor]) -> list[Assessment]:
        """Score every dive's clips, all in one pass as far as memory allows."""
        if not dives:
            return []
        with self._memory_watched():
            return self._assess(dives)

    def _assess(self, dives: Sequence[Tensor]) -> list[Assessment]:
        # fc6 before averaging: it is linear, so the mean of its answers is its answer to the mean.
        parts = self._forward(self.networks.hidden, torch.cat(list(dives)))
        by_dive = torch.split(parts, [len(clips) for clips in dives])
        hidden = torch.stack([part.mean(0) for part in by_dive]).relu()
        with torch.inference_mode():
            heads = self._dive(hidden) if self._dive is not None else {}
            probabilities = {name: heads[name].softmax(1).tolist() for name in HEADS if name in heads}
            bias = self._score(torch.zeros_like(hidden[:1]))
            shares = [
                self._score(part * (unit > 0)) - bias for part, unit in zip(by_dive, hidden, strict=True)
            ]
        points = [((share + bias) * POINTS_PER_RAW / len(share)).flatten().tolist() for share in shares]
        return [
            Assessment(
                score=sum(contributions),
                contributions=tuple(contributions),
                probabilities={name: tuple(p[i]) for name, p in probabilities.items()} or None,
            )
            for i, contributions in enumerate(points)
        ]

    def _forward(self, network: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
        """Run `network` over clips in as few passes as memory allows; float32 out.

        Each time memory runs out the split is halved, until enough passes went well. Raises `OutOfMemory` at
        one clip.
        """
        while True:
            try:
                with torch.inference_mode():
                    answers = torch.cat([network(part) for part in torch.split(clips, self.clips_per_pass)])
            except (RuntimeError, MemoryError) as error:
                if self.clips_per_pass == 1 or not self._is_short(error):
                    raise
            else:
                self._recover()
                return answers
            self.clips_per_pass //= 2
            self._patience = min(2 * self._patience, _MOST_PATIENCE) if self._grown else _PATIENCE
            self._good_passes, self._grown = 0, False
            log.warning("Out of memory: continuing with %d clips per pass", self.clips_per_pass)
            self._free()

    def _recover(self) -> None:
        """Count a good pass; after enough of them allow twice as many clips, up to those of the start."""
        if self.clips_per_pass == self._most_per_pass:
            return
        self._good_passes += 1
        if self._good_passes >= self._patience:
            self._good_passes, self._grown = 0, True
            self.clips_per_pass = min(2 * self.clips_per_pass, self._most_per_pass)
            log.info("Trying %d clips per pass again", self.clips_per_pass)

    @contextmanager
    def _memory_watched(self) -> Iterator[None]:
        """Raise `OutOfMemory` in place of what is raised where the device or the machine has no room."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not self._is_short(error):
                raise
            self._free()
            raise OutOfMemory(
                "The video does not fit into the device's free memory now. Try again later."
            ) from error

    def _free(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _is_short(self, error: RuntimeError | MemoryError) -> bool:
        """Say whether an error means that memory ran out."""
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        text = str(error)
        if any(fault in text for fault in _MEMORY_FAULTS):
            return True
        return any(fault in text for fault in _PERHAPS_MEMORY_FAULTS) and self._is_scarce()

    def _is_scarce(self) -> bool:
        """Say whether the device has little memory left; a driver that no longer answers has not run out."""
        try:
            return self.device.type == "cuda" and torch.cuda.mem_get_info(self.device)[0] < _SCARCE_BYTES
        except RuntimeError:
            return False


def _not_a_dive(seen: int, probability: float) -> NotADive:
    return NotADive(
        f"This does not look like a diving video: the gate sees Sports-1M class {seen} with probability"
        f" {probability:.2f}; diving is class {DIVING_CLASS}. Cut the video to one dive, seen whole.",
        gate={"class": seen, "probability": round(probability, 4)},
    )
