"""What the GPU check takes along: a smaller jar, clips (the bare machine may lack encoders), weights.

usage: python -m bench.gpu.material JAR CLIPS [DIVE]     when it is packed
       python -m bench.gpu.material weights FOLDER       there, where no other maker came along
"""

import os
import shutil
import sys
import zipfile
from pathlib import Path

import torch

from model_handler import checkpoint
from model_handler.scoring import DIVING_CLASS

# What TorchServe's workflows and plugins' builders want, a third of it; nothing here calls them.
_UNUSED = (
    *("org/codehaus/groovy", "org/apache/groovy", "groovy/", "groovyjarjar", "com/github/javaparser"),
    *("org/apache/tools", "com/thoughtworks"),
)
_QUICK_WIDTH = 1 / 16
GOLDEN_POINTS = 60


def shrink(jar: Path) -> None:
    """Rewrite a jar without what is not used, and not compressed: xz does that better for all of it."""
    small = jar.with_suffix(".small")
    with zipfile.ZipFile(jar) as old, zipfile.ZipFile(small, "w", zipfile.ZIP_STORED) as new:
        for item in old.infolist():
            if not item.filename.startswith(_UNUSED):
                new.writestr(zipfile.ZipInfo(item.filename), old.read(item))
    small.replace(jar)


def clips(folder: Path, dive: Path | None) -> None:
    """Write the dive that is checked, 720p and 1080p ones of 76 frames, and one of 396 frames."""
    from bench.clips import CLIP, filmed

    folder.mkdir(parents=True)
    shutil.copy(dive or CLIP, folder / "dive")
    for name, size, frames in (
        ("720p", (1280, 720), 76),
        ("1080p", (1920, 1080), 76),
        ("long", (320, 240), 396),
    ):
        (folder / name).write_bytes(filmed(*size, frames))


def weights(folder: Path) -> None:
    """Write a checkpoint of He-normal random numbers whose gate sees diving; with QUICK at 1/16 width."""
    width = _QUICK_WIDTH if os.environ.get("QUICK") else 1.0
    torch.manual_seed(7)
    parts = {}
    for part in ("backbone", "fc6", "score", "dive", "gate"):
        state = checkpoint.empty_module(part, width, width).to_empty(device="cpu").state_dict()
        for name, tensor in state.items():
            fan_in = tensor[0].numel() if tensor.dim() > 1 else 1
            tensor.normal_(0, (2 / fan_in) ** 0.5 if tensor.dim() > 1 else 0.05)
            if name == "fc_final_score.bias":
                tensor.fill_(GOLDEN_POINTS / 17)
            if name == "fc8.bias":
                tensor[DIVING_CLASS] = 1e9
        parts[part] = state
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save(checkpoint.Checkpoint(parts, width, width), folder / "weights.safetensors")


if __name__ == "__main__":
    if sys.argv[1] == "weights":
        weights(Path(sys.argv[2]))
    else:
        shrink(Path(sys.argv[1]))
        clips(Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None)
