"""Frames -> gate -> clip features -> score, dive and per-clip timeline, many dives in one pass.

The constants are the published pipeline's: ImageNet's mean and standard deviation, zero frames up to a
multiple of 16 (16 of them where the length already is one), scores divided by 17 in training, the gate's
input scaled by 255 twice.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model_handler.checkpoint import Checkpoint
from model_handler.dives import POSITIONS, ROTATIONS, Dive
from model_handler.network import CLIP_FRAMES, CLIP_SIZE, HEADS, Gate
from model_handler.request.errors import NotADive, OutOfMemory
from model_handler.video import Frames

log = logging.getLogger(__name__)

POINTS_PER_RAW = 17
GATE_INPUT_SCALE = 255 * 255
DIVING_CLASS = 463
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Clips in one forward pass before memory is known to be short. On a CPU more at once is not faster.
_CLIPS_PER_PASS = {"cuda": 64, "cpu": 8}


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
    """The networks of one checkpoint on one device, ready to score batches of dives."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        def place(part: str, dtype: torch.dtype) -> nn.Module | None:
            module = checkpoint.module(part)
            if module is None:
                return None
            if isinstance(module, Gate):
                # Leaves the verdict as it is and keeps every value within fp16's range: see Gate.rescale.
                module.rescale(GATE_INPUT_SCALE)
            for parameter in module.parameters():
                layout = torch.channels_last_3d if parameter.dim() == 5 else torch.contiguous_format
                parameter.data = parameter.data.to(device, dtype, memory_format=layout)
            return module

        self.device, self.dtype = device, dtype
        self.clips_per_pass = _CLIPS_PER_PASS[device.type]
        self.trained_on = checkpoint.trained_on
        self._backbone, self._fc6 = _present(place("backbone", dtype)), _present(place("fc6", dtype))
        # The heads are tiny; in float32 they cost nothing and keep small differences between dives.
        self._score, self._dive = _present(place("score", torch.float32)), place("dive", torch.float32)
        self._gate = place("gate", dtype)

    def warm_up(self) -> None:
        """Score a black video, so that the first caller does not wait for kernels and buffers."""
        clips = self.clips([np.zeros((2 * CLIP_FRAMES, CLIP_SIZE, CLIP_SIZE, 3), np.uint8)])
        self.refusals(clips)
        self.score(clips)

    def clips(self, dives: Sequence[Frames]) -> list[Tensor]:
        """Move each dive's frames (T, 112, 112, 3) to the device as normalised clips (N, 3, 16, 112, 112)."""
        return [to_clips(torch.from_numpy(frames).to(self.device)) for frames in dives]

    def gate_logits(self, dives: Sequence[Tensor]) -> Tensor | None:
        """Return the gate's logits (dives, 487) on the published scale, float32, or None without a gate."""
        if self._gate is None:
            return None
        return (
            self._forward(self._gate, torch.stack([gate_clip(clips) for clips in dives])) * GATE_INPUT_SCALE
        )

    def refusals(self, dives: Sequence[Tensor]) -> list[NotADive | None]:
        """Return, for each dive's clips, None if the gate sees diving, else what it answers."""
        logits = self.gate_logits(dives)
        if logits is None:
            return [None] * len(dives)
        probabilities, classes = logits.softmax(1).max(1)
        return [
            None if seen == DIVING_CLASS else _not_a_dive(seen, probability)
            for seen, probability in zip(classes.tolist(), probabilities.tolist(), strict=True)
        ]

    def features(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112) -> features (N, 8192 at width 1), float32."""
        return self._forward(self._backbone, clips)

    def score(self, dives: Sequence[Tensor]) -> list[Assessment]:
        """Score every dive's clips, all in one pass as far as memory allows."""
        if not dives:
            return []
        # fc6 before averaging: it is linear, so the mean of its answers is its answer to the mean.
        parts = self._forward(lambda x: self._fc6(self._backbone(x)), torch.cat(list(dives)))
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

        Each time memory runs out the split is halved, and stays so. Raises `OutOfMemory` at one clip.
        """
        while True:
            try:
                with torch.inference_mode():
                    return torch.cat(
                        [
                            network(part.to(self.dtype, memory_format=torch.channels_last_3d)).float()
                            for part in torch.split(clips, self.clips_per_pass)
                        ]
                    )
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if self.clips_per_pass == 1:
                    raise OutOfMemory(
                        "One clip does not fit into the device's free memory. Try again later."
                    ) from error
            self.clips_per_pass //= 2
            log.warning("Out of memory: continuing with %d clips per pass", self.clips_per_pass)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()


def _is_out_of_memory(error: RuntimeError) -> bool:
    # The CPU allocator has no exception of its own.
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(
        error
    )


def _not_a_dive(seen: int, probability: float) -> NotADive:
    return NotADive(
        f"This does not look like a diving video: the gate sees Sports-1M class {seen} with probability"
        f" {probability:.2f}; diving is class {DIVING_CLASS}. Cut the video to one dive, seen whole.",
        gate={"class": seen, "probability": round(probability, 4)},
    )


def _present(module: nn.Module | None) -> nn.Module:
    if module is None:
        raise ValueError("the checkpoint lacks its backbone, fc6 or score regressor")
    return module
