"""Releases of the puppet: archived, and published."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from springboard.endpoint.names import archive_name
from springboard.releases.registry import Registry
from springboard.system.files import sha256

GOLDEN = b"score=84.15"
TORCH = "2.13.0+cpu"
# TorchServe's worker imports torch, two seconds, to ask whether an answer is a tensor: a puppet's finds this.
_NO_TORCH = "class Tensor:\n    pass\n"


def build_puppet(
    folder: Path,
    version: str = "1.0.0",
    *,
    workers: int = 1,
    batch_size: int = 1,
    timeout_s: int = 20,
    fault: str = "",
) -> Path:
    """Archive the puppet as a release; `folder` also takes its configuration. puppet.py tells the faults."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f"model-config-{version}.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "minWorkers": workers,
                "maxWorkers": workers,
                "batchSize": batch_size,
                "maxBatchDelay": 50,
                "responseTimeout": timeout_s,
                "startupTimeout": 120,
                "handler": {"fault": fault},
            }
        )
    )
    archiver = Path(sys.executable).with_name("torch-model-archiver")
    command: list[str | Path] = [
        archiver,
        "--model-name",
        "dive",
        "--version",
        version,
        "--handler",
        Path(__file__).with_name("puppet.py"),
    ]
    command += ["--config-file", config, "--export-path", folder, "--force"]
    # It collects the files in a folder of its model's name, where others pack theirs, too.
    with TemporaryDirectory() as own:
        (no_torch := Path(own, "torch.py")).write_text(_NO_TORCH)
        command += ["--extra-files", no_torch]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "TMPDIR": own})
    return (folder / "dive.mar").rename(folder / f"dive-{version}.mar")


def publish(registry: Registry, folder: Path, version: str, *, fault: str = "", **manifest: Any) -> Path:
    """Publish the puppet as a release; `manifest` has what its manifest shall say otherwise."""
    mar = build_puppet(folder / version, version, fault=fault)
    golden = mar.with_name("golden.txt")
    golden.write_bytes(GOLDEN)
    document = {
        "name": "dive",
        "version": version,
        "archive": {
            "file": archive_name(version),
            "sha256": sha256(mar),
            "size_bytes": mar.stat().st_size,
        },
        "golden": {"file": golden.name, "sha256": sha256(golden), "score": 84.15, "tolerance": 0.5},
        "reference_scores": {"clips": 100, "mean": 50.0, "sd": 10.0},
        "torch": TORCH,
        **manifest,
    }
    mar.with_suffix(".json").write_text(json.dumps(document))
    assert registry.publish(mar, golden)
    return mar
