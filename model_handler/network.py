"""C3D-AVG-MTL and the Sports-1M diving gate, with the layer names of their published checkpoints.

Parmar and Morris, "What and How Well You Performed? A Multitask Learning Approach to Action Quality
Assessment" (CVPR 2019): C3D features per clip of 16 frames, averaged over clips, then fc6, a score regressor
and five dive classifiers. The gate is C3D as trained on Sports-1M (Tran et al., ICCV 2015), 487 classes.

Every network takes a `width` that multiplies its channels, 1.0 for the published size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

CLIP_FRAMES = 16
CLIP_SIZE = 112

# Name, input and output channels at width 1; 3 input channels are RGB and never scaled.
_CONVOLUTIONS = (
    ("conv1", 3, 64),
    ("conv2", 64, 128),
    ("conv3a", 128, 256),
    ("conv3b", 256, 256),
    ("conv4a", 256, 512),
    ("conv4b", 512, 512),
    ("conv5a", 512, 512),
    ("conv5b", 512, 512),
)
_POOL5_POSITIONS = 16  # pool5 leaves 1 x 4 x 4 positions of every channel
_FC_FEATURES = 4096

HEADS = {"position": 3, "armstand": 2, "rot_type": 4, "ss_no": 10, "tw_no": 8}
"""The dive classifier's heads and their number of classes, as MTL-AQA labels them."""

GATE_CLASSES = 487


def scaled(channels: int, width: float) -> int:
    """Return `channels` at this width, at least 1."""
    return channels if channels == 3 else max(1, round(channels * width))


class Backbone(nn.Module):
    """C3D's eight convolutions: clips (N, 3, 16, 112, 112) -> features (N, 8192 at width 1).

    pool5 pads its spatial axes by one, so 7 x 7 becomes 4 x 4.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        for name, inputs, outputs in _CONVOLUTIONS:
            setattr(self, name, nn.Conv3d(scaled(inputs, width), scaled(outputs, width), 3, padding=1))

    def forward(self, clips: Tensor) -> Tensor:
        x = functional.max_pool3d(functional.relu(self.conv1(clips)), (1, 2, 2))
        x = functional.max_pool3d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.conv3a(x))
        x = functional.max_pool3d(functional.relu(self.conv3b(x)), 2)
        x = functional.relu(self.conv4a(x))
        x = functional.max_pool3d(functional.relu(self.conv4b(x)), 2)
        x = functional.relu(self.conv5a(x))
        x = functional.relu(self.conv5b(x))
        # `contiguous` undoes channels_last_3d: fc6's weights expect channel, height, width.
        return functional.max_pool3d(x, 2, padding=(0, 1, 1)).contiguous().flatten(1)


class Fc6(nn.Module):
    """The first dense layer, before its ReLU: features (N, 8192) -> (N, 4096) at width 1."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.fc = nn.Linear(scaled(512, width) * _POOL5_POSITIONS, scaled(_FC_FEATURES, width))

    def forward(self, features: Tensor) -> Tensor:
        return self.fc(features)  # type: ignore[no-any-return]


class ScoreRegressor(nn.Module):
    """Hidden (N, 4096) -> raw score (N, 1); points are raw x 17, the published scale."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.fc_final_score = nn.Linear(scaled(_FC_FEATURES, width), 1)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.fc_final_score(hidden)  # type: ignore[no-any-return]


class DiveClassifier(nn.Module):
    """Hidden (N, 4096) -> one tensor of logits (N, classes) for each of `HEADS`."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        for name, classes in HEADS.items():
            setattr(self, f"fc_{name}", nn.Linear(scaled(_FC_FEATURES, width), classes))

    def forward(self, hidden: Tensor) -> dict[str, Tensor]:
        return {name: getattr(self, f"fc_{name}")(hidden) for name in HEADS}


class Gate(Backbone):
    """C3D as trained on Sports-1M: clips (N, 3, 16, 112, 112), channels BGR -> logits (N, 487).

    `rescale` lets it run on inputs divided by a constant: ReLU, max pooling and the weights are positively
    homogeneous, so dividing input and biases by one constant divides the logits by it and changes no verdict.
    The published pipeline feeds values up to 171,666, beyond fp16's 65,504.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__(width)
        hidden = scaled(_FC_FEATURES, width)
        self.fc6 = nn.Linear(scaled(512, width) * _POOL5_POSITIONS, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, GATE_CLASSES)

    def rescale(self, divisor: float) -> None:
        """Divide every bias by `divisor`, in place; logits come out divided by it too."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.div_(divisor)

    def forward(self, clips: Tensor) -> Tensor:
        x = functional.relu(self.fc6(super().forward(clips)))
        x = functional.relu(self.fc7(x))
        return self.fc8(x)  # type: ignore[no-any-return]
