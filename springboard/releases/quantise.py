"""Quantises a release's dive networks to int8 where its configuration says `precision: int8`.

archive.py calls it. NNCF chooses the ranges of weights and activations by dives of `--reference`, and every
one of them is scored both ways: how far int8 is off goes into the manifest, and what is off by more than
`--max-error` is no release. The gate stays as it is: one clip of a dive's eight, and no verdict may change.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from model_handler import checkpoint, video
from model_handler.device import INT8
from model_handler.pipeline import Settings
from model_handler.request.errors import ScoringError
from model_handler.scoring import Scorer
from springboard.releases.build import clips_of

MAX_ERROR = 0.3
# Ranges settle long before; a clip of 16 frames is 2.4 MB.
_CALIBRATED_CLIPS = 128
_CPU = torch.device("cpu")


class QuantisationError(Exception):
    """The networks cannot be quantised, or not well enough; the message says what to do."""


def quantise(weights: Path, reference: Path, folder: Path, max_error: float = MAX_ERROR) -> dict[str, Any]:
    """Write the int8 networks into `folder`; returns how far their scores are off fp32's, in points.

    Raises `QuantisationError` where NNCF is not installed, no dive can be scored, or one is off by more than
    `max_error`.
    """
    loaded = checkpoint.load(weights)
    exact = Scorer(loaded, _CPU, torch.float32)
    dives = [path for path, clips in _dives(exact, reference) if not exact.refusals([clips])[0]]
    if not dives:
        raise QuantisationError(f"precision is int8, and {reference} holds no dive that can be scored")
    _write(loaded, _sample(exact, dives), folder)
    from model_handler.engines.in_openvino import OpenVinoNetworks  # not on every machine

    threads = torch.get_num_threads()
    ours = Scorer(loaded, _CPU, torch.float32, OpenVinoNetworks(loaded, torch.float32, threads, folder))
    off = []
    for path in dives:
        clips = exact.clips([_frames(path)])
        off.append(abs(ours.score(clips)[0].score - exact.score(clips)[0].score))
    worst = dives[int(np.argmax(off))].name
    found = {
        "precision": "int8",
        "dives": len(off),
        "mean": float(np.mean(off)),
        "most": max(off),
        "worst": worst,
        "limit": max_error,
    }
    if not max(off) <= max_error:
        raise QuantisationError(
            f"int8 scores {worst} {max(off):.3f} points away from fp32, and --max-error is {max_error:g}. "
            "More and more varied dives in --reference may help; otherwise take precision: auto"
        )
    return found


def as_configured(
    config: Path, weights: Path, folder: Path, reference: Path | None, max_error: float
) -> dict[str, Any] | None:
    """Quantise where the configuration, a model-config.yaml, says `precision: int8`; as `quantise`."""
    handler = (yaml.safe_load(config.read_text()) or {}).get("handler") or {}
    if handler.get("precision", Settings.precision) != INT8:
        return None
    if reference is None:
        raise QuantisationError("precision is int8, which needs --reference: dives to calibrate it by")
    return quantise(weights, reference, folder, max_error)


def _frames(path: Path) -> video.Frames:
    return video.decode(path.read_bytes(), video.Limits()).frames


def _dives(scorer: Scorer, reference: Path) -> Iterator[tuple[Path, Tensor]]:
    for path in clips_of(reference):
        try:
            yield path, scorer.clips([_frames(path)])[0]
        except ScoringError:
            continue  # the manifest's reference_scores name it


def _sample(scorer: Scorer, dives: Sequence[Path]) -> list[Tensor]:
    """Return clips of as many dives as may be, evenly of each."""
    each = max(1, _CALIBRATED_CLIPS // len(dives))
    chosen = dives[:: max(1, len(dives) // _CALIBRATED_CLIPS)][:_CALIBRATED_CLIPS]
    sample = []
    for path in chosen:
        clips = scorer.clips([_frames(path)])[0]
        at = np.linspace(0, len(clips) - 1, min(each, len(clips))).round().astype(int)
        sample += [clips[index : index + 1] for index in at]
    return sample


def _write(loaded: checkpoint.Checkpoint, clips: Sequence[Tensor], folder: Path) -> None:
    os.environ["NNCF_CI"] = "1"  # else it tells its makers of each use
    try:
        import nncf  # archives alone need it
        import openvino

        from model_handler.engines import in_openvino
    except ImportError as error:
        raise QuantisationError(
            f"precision is int8, which is made by NNCF and OpenVINO: {error}. Install them: "
            ".venv/bin/python -m pip install -r requirements/quantise.txt -r requirements/openvino.txt"
        ) from error
    given = nncf.Dataset([clip.contiguous().numpy() for clip in clips])
    model = nncf.quantize(
        in_openvino.dive_model(loaded.parts),
        given,
        preset=nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(clips),
    )
    folder.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, folder / in_openvino.FILE, compress_to_fp16=False)
