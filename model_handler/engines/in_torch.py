"""The networks in PyTorch, on a CPU or a GPU."""

import torch
from torch import Tensor, nn

from model_handler.checkpoint import Checkpoint
from model_handler.device import forget_pages
from model_handler.engines import GATE_INPUT_SCALE
from model_handler.network import Gate


class TorchNetworks:
    """Eager PyTorch; weights are copied, so that the checkpoint's file need not stay mapped."""

    engine = "torch"

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._backbone, self._fc6, self._gate = (
            placed(checkpoint, part, device, dtype) for part in ("backbone", "fc6", "gate")
        )
        self.has_gate = self._gate is not None

    def features(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112) -> features (N, 8192 at width 1), float32."""
        return present(self._backbone)(self._laid_out(clips)).float()  # type: ignore[no-any-return]

    def hidden(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112) -> fc6 before its ReLU (N, 4096 at width 1), float32."""
        features = present(self._backbone)(self._laid_out(clips))
        return present(self._fc6)(features).float()  # type: ignore[no-any-return]

    def gate(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112), BGR -> logits (N, 487) / `GATE_INPUT_SCALE`, float32."""
        return present(self._gate)(self._laid_out(clips)).float()  # type: ignore[no-any-return]

    def _laid_out(self, clips: Tensor) -> Tensor:
        return clips.to(self._dtype, memory_format=torch.channels_last_3d)


def placed(checkpoint: Checkpoint, part: str, device: torch.device, dtype: torch.dtype) -> nn.Module | None:
    """Return a part's network on its device, with weights of its own; None where the checkpoint lacks it."""
    module = checkpoint.module(part)
    if module is None:
        return None
    if isinstance(module, Gate):
        # Leaves the verdict as it is and keeps every value within fp16's range: see Gate.rescale.
        module.rescale(GATE_INPUT_SCALE)
    for parameter in module.parameters():
        layout = torch.channels_last_3d if parameter.dim() == 5 else torch.contiguous_format
        # One tensor that were still the file's would keep all of the file in memory.
        parameter.data = parameter.data.to(device, dtype, memory_format=layout, copy=True)
    forget_pages(checkpoint.path)
    return module


def present(module: nn.Module | None) -> nn.Module:
    """Return the network; raises ValueError where the checkpoint lacked it."""
    if module is None:
        raise ValueError("the checkpoint lacks its backbone, fc6, score regressor or gate")
    return module
