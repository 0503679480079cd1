"""Builds a release's manifest, which manifest.py reads; archive.py calls it. Needs torch, to score clips."""

import argparse
import csv
import json
import math
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_handler import checkpoint, scoring, video
from model_handler.network import CLIP_FRAMES, CLIP_SIZE
from model_handler.request.errors import ScoringError
from springboard.endpoint.names import archive_name
from springboard.system.files import sha256

# Points between the float32 score in the manifest and what a host may answer in bf16 or fp16 for the very
# same bytes: 0.06 was measured for bf16 (docs/model.md); a wrong preprocessing step costs
# 1 and more.
GOLDEN_TOLERANCE = 0.5

# In the folder of --reference: judges' scores of its clips.
TRUTHS = "scores.csv"

PREPROCESSING = {
    "resize": [video.RESIZED_WIDTH, video.RESIZED_HEIGHT],
    "interpolation": "OpenCV INTER_LINEAR",
    "crop": {
        "top": video.CROP_TOP,
        "left": video.CROP_LEFT,
        "size": CLIP_SIZE,
    },
    "colour": "RGB",
    "mean": scoring.MEAN,
    "std": scoring.STD,
    "clip_frames": CLIP_FRAMES,
    "padding": "zero frames to a multiple of clip_frames, clip_frames of them where it already is one",
}


def build(
    archive: Path,
    weights: Path,
    version: str,
    golden: Path | None,
    reference: Path | None = None,
    quantised: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the manifest of a release; `quantised` is what `quantise` returned of it.

    Raises `ScoringError` where the golden clip, or none of the reference clips, can be scored.
    """
    loaded = checkpoint.load(weights)
    scorer = scoring.Scorer(loaded, torch.device("cpu"), torch.float32)
    return {
        "name": "dive",
        "version": version,
        "archive": {
            "file": archive_name(version),
            "sha256": sha256(archive),
            "size_bytes": archive.stat().st_size,
        },
        "weights": {
            "sha256": sha256(weights),
            "width": loaded.width,
            "parts": sorted(loaded.parts),
            "trained_on": loaded.trained_on,
        },
        "git_commit": _git_commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "preprocessing": PREPROCESSING,
        "golden": _golden(scorer, golden) if golden else None,
        "reference_scores": _distribution(scorer, reference) if reference else None,
        "quantised": quantised,
    }


def _score(scorer: scoring.Scorer, clip: Path) -> float:
    clips = scorer.clips([video.decode(clip.read_bytes(), video.Limits()).frames])
    if refusal := scorer.refusals(clips)[0]:
        raise refusal
    score = scorer.score(clips)[0].score
    if not math.isfinite(score):
        raise ScoringError(f"its score is {score}: these weights cannot score anything")
    return score


def _golden(scorer: scoring.Scorer, clip: Path) -> dict[str, Any]:
    try:
        score = _score(scorer, clip)
    except ScoringError as error:
        raise ScoringError(f"cannot score {clip}: {error}") from error
    return {
        "file": clip.name,
        "sha256": sha256(clip),
        "score": round(score, 4),
        "tolerance": GOLDEN_TOLERANCE,
    }


def _distribution(scorer: scoring.Scorer, folder: Path) -> dict[str, Any]:
    """Score every clip; those that cannot be scored are named, so that nothing is left out in silence."""
    truths = _truths(folder / TRUTHS)
    scores, refused, errors = [], {}, []
    for clip in clips_of(folder):
        name = str(clip.relative_to(folder))
        try:
            scores.append(_score(scorer, clip))
        except ScoringError as error:
            refused[name] = error.code
        else:
            if name in truths:
                errors.append(abs(scores[-1] - truths[name]))
    if not scores:
        why = "no files" if not refused else "no clip that can be scored"
        raise ScoringError(f"the folder of --reference, {folder}, holds {why}")
    quantiles = (0, 5, 25, 50, 75, 95, 100)
    return {
        "clips": len(scores),
        "refused": refused,
        "mean": round(float(np.mean(scores)), 3),
        "sd": round(float(np.std(scores)), 3),
        "error": round(float(np.mean(errors)), 3) if errors else None,
        "percentiles": {str(q): round(float(np.percentile(scores, q)), 3) for q in quantiles},
    }


def _truths(path: Path) -> dict[str, float]:
    """Return judges' scores by the clip's path in the folder, as lines of a CSV file; empty without one."""
    if not path.exists():
        return {}
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        return {name: float(score) for name, score in rows if (name, score) != ("clip", "score")}
    except ValueError as error:
        raise ScoringError(f"{path} must have two columns, clip and score: {error}") from error


def clips_of(folder: Path) -> list[Path]:
    """Return the files below a folder, without what systems put there unasked (.git, .DS_Store, __MACOSX)."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path != folder / TRUTHS
        and not any(p.startswith((".", "__MACOSX")) for p in path.relative_to(folder).parts)
    )


def _git_commit() -> str | None:
    """Return the commit this was built from, `-dirty` if files differ from it, None outside a checkout."""
    if shutil.which("git") is None:
        return None
    run = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.strip() or None


def main() -> None:
    """Print the manifest of an archive that is there as JSON."""
    parser = argparse.ArgumentParser(prog="springboard.releases.build", description=main.__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("version")
    parser.add_argument("--golden", type=Path)
    args = parser.parse_args()
    try:
        manifest = build(args.archive, args.weights, args.version, args.golden)
    except ScoringError as error:
        sys.exit(str(error))
    json.dump(manifest, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
