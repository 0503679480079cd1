"""What several tests share: weights, archives, clips, a real S3. Each is made once a session."""

import inspect
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

from model_handler import checkpoint
from model_handler.scoring import DIVING_CLASS
from springboard.system.checkout import ROOT
from tests.clips import encode, moving_frames
from tests.order import pytest_collection_modifyitems as pytest_collection_modifyitems
from tests.order import pytest_make_parametrize_id as pytest_make_parametrize_id
from tests.order import pytest_terminal_summary as pytest_terminal_summary
from tests.stands.seaweedfs import ObjectStore, seaweedfs

# In the background of a shell without job control we would ignore Ctrl-C, and so would what tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# httpx gives up after 5 s, and a busy machine may stand still for longer. All of its calls have one object as
# their default.
_patience = inspect.signature(httpx.get).parameters["timeout"].default
_patience.connect = _patience.read = _patience.write = _patience.pool = 60.0


@pytest.fixture(scope="session")
def shared() -> Path:
    """The team's shared folder; only tests that need it are skipped without it, and none in CI."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder} is missing in CI")
        pytest.skip("needs ../shared, which is not part of the project")
    return folder


@pytest.fixture(scope="session")
def dive_clip() -> bytes:
    """40 frames of H.264 in mp4, 320x240, 25 frames/s."""
    return encode(moving_frames(40))


def small_checkpoint(gate_class: int | None = DIVING_CLASS, seed: int = 3) -> checkpoint.Checkpoint:
    """Random weights at 1/16 width; the gate, if wanted, always answers `gate_class`."""
    torch.manual_seed(seed)
    width = 1 / 16
    parts = {}
    for part in ("backbone", "fc6", "score", "dive", "gate"):
        if part == "gate" and gate_class is None:
            continue
        state = checkpoint.empty_module(part, width, width).to_empty(device="cpu").state_dict()
        for name, tensor in state.items():
            fan_in = tensor[0].numel() if tensor.dim() > 1 else 1
            tensor.normal_(0, (2 / fan_in) ** 0.5 if tensor.dim() > 1 else 0.05)
            if name == "fc_final_score.bias":
                tensor.fill_(60 / 17)
            if name == "fc8.bias" and gate_class is not None:
                tensor[gate_class] = 1e9
        parts[part] = state
    return checkpoint.Checkpoint(parts, width, width, trained_on="random numbers")


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .safetensors file of `small_checkpoint`."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoint.save(small_checkpoint(), path)
    return path


def archive(weights: Path, out: Path, version: str = "1.0.0", *more: str) -> Path:
    """Run archive.sh and return the archive's path; its manifest lies beside it."""
    command = ["./archive.sh", "--weights", str(weights), "--version", version, "--out", str(out), *more]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return out / f"dive-{version}.mar"


@pytest.fixture(scope="session")
def small_archive(small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`dive-1.0.0.mar` with `small_weights`."""
    return archive(small_weights, tmp_path_factory.mktemp("archive"))


READER_MAY = ["Read:dives", "Read:absent", "Read:models", "List:models"]


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """SeaweedFS with buckets `dives` (versioned), `models`, and `secret`, which the reader may not read."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    identities = {"reader": READER_MAY}
    with seaweedfs(folder, ["dives", "models", "secret"], identities) as (url, client):
        client.put_bucket_versioning(Bucket="dives", VersioningConfiguration={"Status": "Enabled"})
        environment = {
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_ACCESS_KEY_ID": "reader",
            "AWS_SECRET_ACCESS_KEY": "reader-secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield ObjectStore(url, client, environment)
