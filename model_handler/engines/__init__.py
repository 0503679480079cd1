"""What computes a release's networks: the scorer asks for features, hidden units and the gate's logits.

`in_torch` runs everywhere; `in_openvino` on CPUs where OpenVINO is installed; `choice` takes one of them.
"""

from typing import Protocol

from torch import Tensor

GATE_INPUT_SCALE = 255 * 255
"""By what the published pipeline multiplies the gate's input. Engines leave it out, and divide the biases."""


class Networks(Protocol):
    """The networks of one checkpoint in one engine, device and precision. Errors are the engine's own."""

    engine: str
    has_gate: bool

    def features(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112) -> features (N, 8192 at width 1), float32."""

    def hidden(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112) -> fc6 before its ReLU (N, 4096 at width 1), float32."""

    def gate(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112), BGR -> logits (N, 487) / `GATE_INPUT_SCALE`, float32."""
