"""The networks while they learn: the served ones, batch norm between, helpers beside them, and the losses.

Batch norm makes a small C3D learn in an hour; it folds into the convolutions afterwards, so that what is
served has the published layers and nothing else.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from demo.dataset import Label
from model_handler.checkpoint import Checkpoint
from model_handler.network import CLIP_FRAMES, HEADS, Backbone, DiveClassifier, Fc6, Gate, ScoreRegressor
from model_handler.scoring import DIVING_CLASS, GATE_INPUT_SCALE, POINTS_PER_RAW

PARTS = ("backbone", "fc6", "score", "dive", "gate")
OTHER_CLASS = 0  # any of Sports-1M's classes but diving: the gate's only question is whether it is that
_HINTS = 4  # what of a dive happens within a clip: see _clip_hints


@dataclass(frozen=True)
class Batch:
    """Some dives and some clips that are none, as the networks take them.

    `clips` (N, 3, 16, 112, 112) are the dives' clips one after the other, `counts` how many each dive has;
    `labels` belong to the dives and `shifts` are the frames cut off their beginnings. `gate_clips`
    (M, 3, 16, 112, 112) are of `gate_dives` dives and then of the others.
    """

    clips: Tensor
    counts: list[int]
    labels: list[Label]
    shifts: list[int]
    gate_clips: Tensor
    gate_dives: int


class Learner(nn.Module):
    """All networks of a checkpoint, and the losses that train them."""

    def __init__(self, width: float, gate_width: float) -> None:
        super().__init__()
        self.width, self.gate_width = width, gate_width
        self.backbone, self.fc6 = Backbone(width), Fc6(width)
        self.score, self.dive = ScoreRegressor(width), DiveClassifier(width)
        self.gate = Gate(gate_width)
        hidden = self.fc6.fc.out_features
        self.clip_hints = nn.Linear(self.fc6.fc.in_features, _HINTS)
        self.execution = nn.Linear(hidden, 1)
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

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted losses of one batch; their sum is what to minimise."""
        with torch.autocast(batch.clips.device.type, torch.bfloat16):
            features = self.backbone(batch.clips)
            gate = self.gate(batch.gate_clips)
        features = features.float()
        dives = torch.stack([part.mean(0) for part in features.split(batch.counts)])
        hidden = self.fc6(dives).relu()
        device = hidden.device
        scores = torch.tensor([label.score for label in batch.labels], device=device) / POINTS_PER_RAW
        losses = {"score": 2 * functional.huber_loss(self.score(hidden)[:, 0], scores)}
        for head, logits in self.dive(hidden).items():
            codes = torch.tensor([label.codes[head] for label in batch.labels], device=device)
            losses[head] = functional.cross_entropy(logits, codes)
        is_dive = torch.arange(len(gate), device=device) < batch.gate_dives
        classes = torch.where(is_dive, DIVING_CLASS, OTHER_CLASS)
        losses["gate"] = functional.cross_entropy(gate.float(), classes)
        execution = [_execution(label) for label in batch.labels]
        losses["execution"] = _masked_error(self.execution(hidden)[:, 0], execution)
        hints = [
            hint
            for label, count, shift in zip(batch.labels, batch.counts, batch.shifts, strict=True)
            for hint in _clip_hints(label, count, shift)
        ]
        losses["clip_hints"] = _masked_error(self.clip_hints(features).flatten(), hints)
        losses["clip_heads"] = self._clip_heads_loss(features, batch, hints)
        return losses

    def _clip_heads_loss(self, features: Tensor, batch: Batch, hints: list[float]) -> Tensor:
        """Return how badly single clips name what they show: the first an armstand, those aloft the rest."""
        counts = torch.tensor(batch.counts)
        aloft = torch.tensor(hints).view(-1, _HINTS)[:, 0] > 0.5
        first = torch.zeros_like(aloft)
        first[counts.cumsum(0) - counts] = True
        loss = features.sum() * 0
        for head, network in self.clip_heads.items():
            shows = (first if head == "armstand" else aloft).to(features.device)
            codes = torch.tensor([label.codes[head] for label in batch.labels]).repeat_interleave(counts)
            if shows.any():
                wanted = codes.to(features.device)[shows]
                loss = loss + 0.5 * functional.cross_entropy(network(features[shows]), wanted)
        return loss

    def checkpoint(self, trained_on: str | None) -> Checkpoint:
        """Return the served weights: batch norm folded in, the gate's biases on the published scale."""
        self.eval()
        parts = {part: dict(getattr(self, part).state_dict()) for part in PARTS}
        for part, norms in self.norms.items():
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
        for key, tensor in parts["gate"].items():
            if key.endswith("bias"):
                tensor.mul_(GATE_INPUT_SCALE)
        return Checkpoint(parts, self.width, self.gate_width, trained_on)


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
    return label.score / label.difficulty / 30 if label.difficulty else float("nan")


def _clip_hints(label: Label, count: int, shift: int) -> list[float]:
    """Return what happens in each of a dive's clips, nan where its timing is unknown.

    Per clip: its share in the air, the half somersaults and half twists turned in it (as if evenly), and
    whether the entry is in it.
    """
    if label.takeoff is None or label.entry is None:
        return [float("nan")] * (_HINTS * count)
    takeoff, entry = label.takeoff - shift, label.entry - shift
    hints: list[float] = []
    for start in range(0, count * CLIP_FRAMES, CLIP_FRAMES):
        aloft = max(0.0, min(entry, start + CLIP_FRAMES) - max(takeoff, start))
        share = aloft / (entry - takeoff)
        enters = start <= entry < start + CLIP_FRAMES
        turns = (share * label.codes["ss_no"], share * label.codes["tw_no"])
        hints += [aloft / CLIP_FRAMES, *turns, float(enters)]
    return hints


def _masked_error(predicted: Tensor, wanted: list[float]) -> Tensor:
    """Return the Huber loss over the values that are known; 0 if none is."""
    target = torch.tensor(wanted, device=predicted.device)
    known = ~target.isnan()
    if not known.any():
        return predicted.sum() * 0
    return functional.huber_loss(predicted[known], target[known])
