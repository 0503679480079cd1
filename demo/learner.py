"""The networks while they learn: the served ones, batch norm between, helpers beside them, and the losses.

Batch norm makes a small C3D learn in an hour; it folds into the convolutions afterwards, so that what is
served has the published layers and nothing else.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from demo.judging import DEDUCTIONS
from demo.labels import Label
from model_handler.checkpoint import Checkpoint
from model_handler.device import choose_dtype
from model_handler.engines import GATE_INPUT_SCALE
from model_handler.network import CLIP_FRAMES, HEADS, Backbone, DiveClassifier, Fc6, Gate, ScoreRegressor
from model_handler.scoring import DIVING_CLASS, POINTS_PER_RAW, gate_clip

PARTS = ("backbone", "fc6", "score", "dive", "gate")
OTHER_CLASS = 0  # any of Sports-1M's classes but diving: the gate's only question is whether it is that
STEM = 2  # conv1 and conv2: what looks much the same whatever is learned, and costs the most
_HINTS = 4  # what of a dive happens within a clip: see _clip_hints
_AT_ENTRY = torch.tensor([fault in ("tilt", "splash") for fault in DEDUCTIONS])
# Brings the losses to one size; what the score depends on most weighs most.
_WEIGHTS = {
    "score": 3.0,
    "rot_type": 0.4,
    "tw_no": 0.6,
    "execution": 20.0,
    "faults": 10.0,
    "clip_hints": 3.0,
    "clip_heads": 0.25,
    "clip_faults": 10.0,
}


@dataclass(frozen=True)
class Batch:
    """Some dives and some clips that are none, as the networks take them.

    `clips` (N, 3, 16, 112, 112) are the dives' clips one after the other, or what the convolutions before
    number `start` made of them; `counts` is how many each dive has. `labels` belong to the dives and `shifts`
    are the frames cut off their beginnings. `gate_clips` (M, 3, 16, 112, 112) are of `gate_dives` dives and
    then of the others; None leaves the gate alone.
    """

    clips: Tensor
    counts: list[int]
    labels: list[Label]
    shifts: list[int]
    start: int = 0
    gate_clips: Tensor | None = None
    gate_dives: int = 0


class Learner(nn.Module):
    """All networks of a checkpoint, and the losses that train them."""

    def __init__(self, width: float, gate_width: float) -> None:
        super().__init__()
        self.width, self.gate_width = width, gate_width
        self.parts: tuple[str, ...] = PARTS
        self.backbone, self.fc6 = Backbone(width), Fc6(width)
        self.score, self.dive = ScoreRegressor(width), DiveClassifier(width)
        self.gate = Gate(gate_width)
        hidden = self.fc6.fc.out_features
        self.execution, self.faults = nn.Linear(hidden, 1), nn.Linear(hidden, len(DEDUCTIONS))
        self.clip_hints = nn.Linear(self.fc6.fc.in_features, _HINTS)
        self.clip_faults = nn.Linear(self.fc6.fc.in_features, len(DEDUCTIONS))
        self.norms = nn.ModuleDict({"backbone": _with_norms(self.backbone), "gate": _with_norms(self.gate)})
        self.clip_heads = nn.ModuleDict(
            {
                head: nn.Linear(self.fc6.fc.in_features, HEADS[head])
                for head in ("position", "rot_type", "armstand")
            }
        )
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.constant_(self.score.fc_final_score.bias, 60 / POINTS_PER_RAW)  # near the mean score
        for parameter in self.parameters():
            if parameter.dim() == 5:
                parameter.data = parameter.data.to(memory_format=torch.channels_last_3d)

    def adopt(self, checkpoint: Checkpoint, clips: Tensor) -> None:
        """Take over a checkpoint's weights; its stem and its gate stay as they are from now on.

        From `clips` (N, 3, 16, 112, 112) the norms get statistics, scale and shift that change nothing.
        One without a gate stays without; one without a dive classifier learns it from nothing. Raises
        ValueError for a checkpoint of another width.
        """
        if "gate" not in checkpoint.parts:
            self.parts = tuple(part for part in PARTS if part != "gate")
        gate_width = checkpoint.gate_width if "gate" in checkpoint.parts else self.gate_width
        if (checkpoint.width, gate_width) != (self.width, self.gate_width):
            raise ValueError(
                f"the checkpoint to start from has width {checkpoint.width} and gate width "
                f"{checkpoint.gate_width}; give the same as --width and --gate-width"
            )
        for part, state in checkpoint.parts.items():
            getattr(self, part).load_state_dict(state)
        for name, parameter in self.gate.named_parameters():
            if name.endswith("bias"):
                parameter.data = parameter.data / GATE_INPUT_SCALE
        norms = [norm for norm in self.norms.modules() if isinstance(norm, nn.BatchNorm3d)]
        hooks = [norm.register_forward_pre_hook(_make_neutral) for norm in norms]
        self.eval()
        with torch.no_grad():
            self.backbone(clips)
            self.gate(gate_clip(clips)[None])
        for hook in hooks:
            hook.remove()
        frozen = [*list(self.backbone.children())[:STEM], self.gate, self.norms["gate"]]
        for parameter in (parameter for module in frozen for parameter in module.parameters()):
            parameter.requires_grad_(False)

    def stem(self, clips: Tensor) -> Tensor:
        """Return what conv1 and conv2 make of clips (N, 3, 16, 112, 112), as they are in what is served."""
        self.eval()
        with torch.inference_mode():
            return self.backbone.convolve(clips, stop=STEM)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted losses of one batch; their sum is what to minimise."""
        device = batch.clips.device
        with torch.autocast(device.type, torch.bfloat16, enabled=_learns_in_bf16(device)):
            features = self.backbone(batch.clips, batch.start)
            gate = None if batch.gate_clips is None else self.gate(batch.gate_clips)
        features = features.float()
        dives = torch.stack([part.mean(0) for part in features.split(batch.counts)])
        hidden = self.fc6(dives).relu()
        scores = torch.tensor([label.score for label in batch.labels], device=device) / POINTS_PER_RAW
        losses = {"score": functional.huber_loss(self.score(hidden)[:, 0], scores)}
        for head, logits in self.dive(hidden).items():
            codes = torch.tensor([label.codes[head] for label in batch.labels], device=device)
            losses[head] = functional.cross_entropy(logits, codes)
        if gate is not None:
            is_dive = torch.arange(len(gate), device=device) < batch.gate_dives
            classes = torch.where(is_dive, DIVING_CLASS, OTHER_CLASS)
            losses["gate"] = functional.cross_entropy(gate.float(), classes)
        execution = torch.tensor([_execution(label) for label in batch.labels])
        losses["execution"] = _masked_error(self.execution(hidden)[:, 0], execution)
        faults = torch.tensor([label.faults for label in batch.labels])
        losses["faults"] = _masked_error(self.faults(hidden), faults)
        hints = torch.tensor(
            [
                hint
                for label, count, shift in zip(batch.labels, batch.counts, batch.shifts, strict=True)
                for hint in _clip_hints(label, count, shift)
            ]
        )
        losses["clip_hints"] = _masked_error(self.clip_hints(features), hints)
        losses["clip_heads"] = self._clip_heads_loss(features, batch, hints)
        aloft, enters = hints[:, :1] > 0.5, hints[:, 3:] > 0.5
        shown = torch.where(_AT_ENTRY, enters, aloft)
        of_clips = faults.repeat_interleave(torch.tensor(batch.counts), 0)
        losses["clip_faults"] = _masked_error(self.clip_faults(features), of_clips.where(shown, math.nan))
        return {name: _WEIGHTS.get(name, 1.0) * loss for name, loss in losses.items()}

    def _clip_heads_loss(self, features: Tensor, batch: Batch, hints: Tensor) -> Tensor:
        """Return how badly single clips name what they show: the first an armstand, those aloft the rest."""
        counts = torch.tensor(batch.counts)
        aloft = hints[:, 0] > 0.5
        first = torch.zeros_like(aloft)
        first[counts.cumsum(0) - counts] = True
        loss = features.sum() * 0
        for head, network in self.clip_heads.items():
            shows = (first if head == "armstand" else aloft).to(features.device)
            codes = torch.tensor([label.codes[head] for label in batch.labels]).repeat_interleave(counts)
            if shows.any():
                wanted = codes.to(features.device)[shows]
                loss = loss + functional.cross_entropy(network(features[shows]), wanted)
        return loss

    def checkpoint(self, trained_on: str | None) -> Checkpoint:
        """Return the served weights: batch norm folded in, the gate's biases on the published scale."""
        self.eval()
        parts = {part: dict(getattr(self, part).state_dict()) for part in self.parts}
        for part, norms in ((part, self.norms[part]) for part in self.norms if part in parts):
            for name, norm in norms.named_children():
                if not isinstance(norm, nn.BatchNorm3d):
                    raise TypeError(f"{name} of {part} is followed by {type(norm).__name__}")
                fused = fuse_conv_bn_eval(getattr(self, part).get_submodule(name), norm)
                parts[part] |= {f"{name}.{key}": tensor for key, tensor in fused.state_dict().items()}
        parts = {
            part: {
                key: t.detach().cpu().clone(memory_format=torch.contiguous_format) for key, t in state.items()
            }
            for part, state in parts.items()
        }
        for key, tensor in parts.get("gate", {}).items():
            if key.endswith("bias"):
                tensor.mul_(GATE_INPUT_SCALE)
        return Checkpoint(parts, self.width, self.gate_width, trained_on)


def _learns_in_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is fast and right here, backwards too.

    On a CPU that takes AMX: with AVX-512's bfloat16 alone, gradients of small maps were seen to be inf where
    float32's are not (torch 2.13), and emulated bfloat16 is slow.
    """
    if device.type == "cuda":
        return choose_dtype("auto", device) == torch.bfloat16
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def _with_norms(network: Backbone) -> nn.ModuleDict:
    """Put batch norm behind every convolution but the first, whose large maps would double the cost."""
    norms = nn.ModuleDict()
    for name, module in network.named_children():
        if isinstance(module, nn.Conv3d) and name != "conv1":
            norm = nn.BatchNorm3d(module.out_channels)
            norms[name] = norm
            module.register_forward_hook(lambda _module, _inputs, output, norm=norm: norm(output))
    return norms


def _execution(label: Label) -> float:
    """Return the mean mark of the middle three judges over ten, or nan where the difficulty is unknown."""
    return label.score / label.difficulty / 30 if label.difficulty else math.nan


def _clip_hints(label: Label, count: int, shift: int) -> list[list[float]]:
    """Return what happens in each of a dive's clips, nan where its timing is unknown.

    Per clip: its share in the air, the half somersaults and half twists turned in it (as if evenly), and
    whether the entry is in it.
    """
    if label.takeoff is None or label.entry is None:
        return [[math.nan] * _HINTS] * count
    takeoff, entry = label.takeoff - shift, label.entry - shift
    hints = []
    for start in range(0, count * CLIP_FRAMES, CLIP_FRAMES):
        aloft = max(0.0, min(entry, start + CLIP_FRAMES) - max(takeoff, start))
        share = aloft / (entry - takeoff)
        enters = start <= entry < start + CLIP_FRAMES
        turns = (share * label.codes["ss_no"], share * label.codes["tw_no"])
        hints.append([aloft / CLIP_FRAMES, *turns, float(enters)])
    return hints


def _masked_error(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Return the Huber loss over the values that are known, not nan; 0 if none is."""
    known = ~wanted.isnan()
    if not known.any():
        return predicted.sum() * 0
    wanted, known = wanted.to(predicted.device), known.to(predicted.device)
    return functional.huber_loss(predicted[known], wanted[known])


def _make_neutral(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    """Give a norm that is to see `inputs` the statistics, and the scale and shift that take them back."""
    if not isinstance(norm, nn.BatchNorm3d) or norm.running_mean is None or norm.running_var is None:
        raise TypeError(f"{type(norm).__name__} is no batch norm")
    variance, mean = torch.var_mean(inputs[0], (0, 2, 3, 4))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean)
