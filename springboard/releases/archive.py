"""Makes an archive and its manifest of weights and the code beside them; archive.sh calls it.

In one process: torch alone takes two seconds to import.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from model_handler import checkpoint
from model_handler.pipeline import QUANTISED
from model_handler.request.errors import ScoringError
from springboard.releases import quantise
from springboard.releases.build import build
from springboard.releases.pack import pack
from springboard.system.checkout import ROOT


def make(
    staging: Path,
    weights: Path,
    version: str,
    golden: Path | None = None,
    reference: Path | None = None,
    max_error: float = quantise.MAX_ERROR,
) -> None:
    """Write `dive.mar` and `dive.json` into the folder `staging`.

    It holds model-config.yaml, and in `extra` what goes into the archive beside the handler. Raises
    `CheckpointError`, `QuantisationError` and `ScoringError` for weights and clips that make no release.
    """
    config, packed = staging / "model-config.yaml", staging / "weights.safetensors"
    read = checkpoint.load(weights)
    _say(_described(read))
    checkpoint.save(read, packed)
    # Beside the weights, in the archive and in the worker's folder of it.
    found = quantise.as_configured(config, packed, staging / "extra" / QUANTISED, reference, max_error)
    if found:
        _say(f"int8 is off by {found['most']:.3f} points at most")
    _lay_out(staging, config, packed, version)
    pack(staging / "dive", staging / "dive.mar")
    manifest = build(staging / "dive.mar", packed, version, golden, reference, found)
    (staging / "dive.json").write_text(json.dumps(manifest, indent=2, allow_nan=False) + "\n")


def _lay_out(staging: Path, config: Path, weights: Path, version: str) -> None:
    """Have torch-model-archiver lay out the archive's files in `staging`/dive."""
    archiver = Path(sys.executable).with_name("torch-model-archiver")
    command: list[str | Path] = [archiver, "--model-name", "dive", "--version", version]
    command += ["--archive-format", "no-archive", "--handler", ROOT / "model_handler" / "handler.py"]
    command += ["--extra-files", staging / "extra", "--config-file", config]
    command += ["--serialized-file", weights, "--export-path", staging]
    # It collects them in TMPDIR/dive: that of two runs at once would be one folder.
    with TemporaryDirectory(dir=staging) as own:
        subprocess.run(command, check=True, env={**os.environ, "TMPDIR": own})


def _described(weights: checkpoint.Checkpoint) -> str:
    """Return what a checkpoint holds and what it lacks, for whoever packs it."""
    said = f"packing {', '.join(weights.parts)} at width {weights.width:g}"
    lacks = {
        "gate": "no gate (c3d.pickle): nothing will be refused as not a dive",
        "dive": "no dive classifier (model_dive_classifier_*.pth): answers will not name the dive",
    }
    return "; ".join([said, *(text for part, text in lacks.items() if part not in weights.parts)])


def _say(text: str) -> None:
    sys.stderr.write(f"archive.sh: {text}\n")


def main() -> None:
    """Make it, or say what is wrong."""
    parser = argparse.ArgumentParser(prog="springboard.releases.archive", description=main.__doc__)
    parser.add_argument("staging", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("version")
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--max-error", type=float, default=quantise.MAX_ERROR)
    try:
        make(**vars(parser.parse_args()))
    except (checkpoint.CheckpointError, quantise.QuantisationError, ScoringError) as error:
        sys.exit(f"archive.sh: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"archive.sh: torch-model-archiver failed with status {error.returncode}")


if __name__ == "__main__":
    main()
