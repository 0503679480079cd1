"""C3D-AVG-MTL and the Sports-1M diving gate, with the layer names of their published checkpoints.

Parmar and Morris, "What and How Well You Performed? A Multitask Learning Approach to Action Quality
Assessment" (CVPR 2019): C3D features per clip of 16 frames, averaged over clips, then fc6, a score regressor
and five dive classifiers. The gate is C3D as trained on Sports-1M (Tran et al., ICCV 2015), 487 classes.

Every network takes a `width` that multiplies its channels, 1.0 for the published size.
"""

from torch import Tensor, nn
from torch.nn import functional

CLIP_FRAMES = 16
CLIP_SIZE = 112

# Name, input and output channels at width 1 (3 are RGB and never scaled), pool size.
CONVOLUTIONS: tuple[tuple[str, int, int, tuple[int, int, int] | None], ...] = (
    ("conv1", 3, 64, (1, 2, 2)),
    ("conv2", 64, 128, (2, 2, 2)),
    ("conv3a", 128, 256, None),
    ("conv3b", 256, 256, (2, 2, 2)),
    ("conv4a", 256, 512, None),
    ("conv4b", 512, 512, (2, 2, 2)),
    ("conv5a", 512, 512, None),
    ("conv5b", 512, 512, None),
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

    pool5 pads its spatial axes by one, so 7 x 7 becomes 4 x 4. With `start` it takes what `convolve` made of
    clips before that convolution.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        for name, inputs, outputs, _ in CONVOLUTIONS:
            setattr(self, name, nn.Conv3d(scaled(inputs, width), scaled(outputs, width), 3, padding=1))

    def convolve(self, x: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Apply convolutions `start` (0: conv1) to before `stop`, each with its pooling and ReLU."""
        for name, _, _, pool in CONVOLUTIONS[start:stop]:
            x = getattr(self, name)(x)
            # Pooling before ReLU gives the same (both are monotone) and leaves ReLU an eighth of the values.
            if pool:
                x = functional.max_pool3d(x, pool)
            x = functional.relu(x, inplace=True)
        return x

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        x = self.convolve(x, start)
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
        """Divide every bias by `divisor`; logits come out divided by it too."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.data = parameter.data / divisor  # a new tensor: the checkpoint's stays as it is

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        x = functional.relu(self.fc6(super().forward(x, start)))
        x = functional.relu(self.fc7(x))
        return self.fc8(x)  # type: ignore[no-any-return]
