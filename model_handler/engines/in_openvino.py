"""The networks in OpenVINO, on a CPU: the same layers, compiled for the machine at hand.

Weights are handed over as they lie in the checkpoint's file, without PyTorch's graph or OpenVINO's converter.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset8 as ops
from torch import Tensor

from model_handler.checkpoint import Checkpoint
from model_handler.device import forget_pages
from model_handler.engines import GATE_INPUT_SCALE
from model_handler.network import CLIP_FRAMES, CLIP_SIZE, CONVOLUTIONS

PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}
FILE = "dive.xml"
"""What the quantised networks are called in their folder."""
# Clips of a dive computed side by side, each on its share of the threads; more only take memory. Two threads
# need half of one's time for a clip; with one each, a core stood idle at the last clip of an odd number.
_STREAMS, _THREADS_A_STREAM = 4, 2


class OpenVinoNetworks:
    """Networks compiled for one clip; of a dive as many clips at once as there are streams, of gates one.

    `threads` of the CPU are used in all. `quantised` is a folder with the dive's networks in int8, which then
    take the place of the checkpoint's; the gate computes in `dtype` anyway. OpenVINO's own cache of compiled
    networks is left off: at full width 0.8 s of CPU compile them, 1.2 s read them from there, and 200 MB more
    stay in memory.
    """

    engine = "openvino"

    def __init__(
        self, checkpoint: Checkpoint, dtype: torch.dtype, threads: int, quantised: Path | None = None
    ) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
            "INFERENCE_NUM_THREADS": str(threads),
            # Two workers would be pinned to the same cores.
            "ENABLE_CPU_PINNING": "NO",
        }
        core = openvino.Core()

        def compiled(network: openvino.Model, streams: int) -> Any:
            model = core.compile_model(network, "CPU", settings | {"NUM_STREAMS": str(streams)})
            queue = openvino.AsyncInferQueue(model, streams)
            forget_pages(checkpoint.path)  # it keeps hold of the weights that it was given
            return queue

        dive = core.read_model(quantised / FILE) if quantised else dive_model(checkpoint.parts)
        self._dive = compiled(dive, max(min(threads // _THREADS_A_STREAM, _STREAMS), 1))
        self.has_gate = "gate" in checkpoint.parts
        self._gate = compiled(_gate(checkpoint.parts["gate"]), 1) if self.has_gate else None

    def features(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112) -> features (N, 8192 at width 1), float32."""
        return _computed(self._dive, clips, 0)

    def hidden(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112) -> fc6 before its ReLU (N, 4096 at width 1), float32."""
        return _computed(self._dive, clips, 1)

    def gate(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, 16, 112, 112), BGR -> logits (N, 487) / `GATE_INPUT_SCALE`, float32."""
        return _computed(self._gate, clips, 0)


def _computed(queue: Any, clips: Tensor, output: int) -> Tensor:
    found: list[Any] = [None] * len(clips)

    def keep(request: Any, index: int) -> None:
        found[index] = request.get_output_tensor(output).data.copy()

    queue.set_callback(keep)
    given = clips.float().contiguous().numpy()
    try:
        for index in range(len(given)):
            queue.start_async([given[index : index + 1]], index, share_inputs=True)
    finally:
        queue.wait_all()
    return torch.from_numpy(np.concatenate(found))


def dive_model(parts: Mapping[str, Mapping[str, Tensor]]) -> openvino.Model:
    """One clip -> features, and fc6 before its ReLU."""
    clip = _clip()
    features = _backbone(clip, parts["backbone"], 1)
    hidden = _dense(features, parts["fc6"], "fc", 1)
    return openvino.Model([ops.result(features), ops.result(hidden)], [clip], "dive")


def _gate(state: Mapping[str, Tensor]) -> openvino.Model:
    """One clip -> logits, divided as Gate.rescale divides them."""
    clip = _clip()
    x = _backbone(clip, state, GATE_INPUT_SCALE)
    for name in ("fc6", "fc7"):
        x = ops.relu(_dense(x, state, name, GATE_INPUT_SCALE))
    return openvino.Model([ops.result(_dense(x, state, "fc8", GATE_INPUT_SCALE))], [clip], "gate")


def _clip() -> Any:
    return ops.parameter([1, 3, CLIP_FRAMES, CLIP_SIZE, CLIP_SIZE], np.float32, name="clip")


def _backbone(x: Any, state: Mapping[str, Tensor], divisor: float) -> Any:
    for name, _, _, pool in CONVOLUTIONS:
        x = ops.convolution(x, _constant(state[f"{name}.weight"]), [1] * 3, [1] * 3, [1] * 3, [1] * 3)
        x = ops.add(x, _constant(state[f"{name}.bias"].float().reshape(1, -1, 1, 1, 1) / divisor))
        x = ops.relu(x)
        if pool:
            x = _pooled(x, list(pool), [0] * 3)
    x = _pooled(x, [2] * 3, [0, 1, 1])
    return ops.reshape(x, np.array([1, -1]), special_zero=False)


def _pooled(x: Any, size: list[int], padding: list[int]) -> Any:
    return ops.max_pool(x, size, [1] * 3, padding, padding, size).output(0)


def _dense(x: Any, state: Mapping[str, Tensor], name: str, divisor: float) -> Any:
    product = ops.matmul(x, _constant(state[f"{name}.weight"]), False, True)
    return ops.add(product, _constant(state[f"{name}.bias"].float() / divisor))


def _constant(weight: Tensor) -> Any:
    return openvino.op.Constant(weight.float().contiguous().numpy(), shared_memory=True)
