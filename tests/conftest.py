"""What several tests share: weights, archives, clips, a real S3. Each is made once a session."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import torch
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from model_handler import checkpoint
from model_handler.scoring import DIVING_CLASS
from springboard.lifetime import Child
from springboard.torchserve import ROOT, free_ports
from tests.clips import encode, moving_frames

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


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


@dataclass
class ObjectStore:
    """A real S3 on loopback: `environment` makes any AWS client use it as a reader without write rights."""

    url: str
    client: "S3Client"
    environment: dict[str, str]


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """SeaweedFS with buckets `dives` (versioned) and `secret`, which the reader may not read."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    admin = {"accessKey": "admin", "secretKey": "admin-secret"}
    reader = {"accessKey": "reader", "secretKey": "reader-secret"}
    identities = [
        {"name": "admin", "credentials": [admin], "actions": ["Admin", "Read", "Write", "List"]},
        {"name": "reader", "credentials": [reader], "actions": ["Read:dives", "Read:absent"]},
    ]
    (folder / "identities.json").write_text(json.dumps({"identities": identities}))
    s3, filer, master, volume, *grpc = free_ports(8)
    url = f"http://127.0.0.1:{s3}"
    command = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-filer",
        "-s3",
        f"-s3.port={s3}",
        f"-filer.port={filer}",
        f"-master.port={master}",
        f"-volume.port={volume}",
        *(
            f"-{part}.port.grpc={port}"
            for part, port in zip(("s3", "filer", "master", "volume"), grpc, strict=True)
        ),
        f"-s3.config={folder / 'identities.json'}",
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
        "-volume.preStopSeconds=1",
    ]
    with (folder / "log").open("wb") as log:
        process = Child(command, stdout=log, stderr=log, cwd=folder)
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=admin["accessKey"],
        aws_secret_access_key=admin["secretKey"],
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
    )
    try:
        deadline = time.monotonic() + 60
        for bucket in ("dives", "secret"):
            while True:
                try:
                    client.create_bucket(Bucket=bucket)
                    client.put_object(Bucket=bucket, Key="probe", Body=b"x")
                    break
                except (BotoCoreError, ClientError):
                    if time.monotonic() > deadline or not process.running:
                        raise AssertionError((folder / "log").read_text()[-2000:]) from None
                    time.sleep(0.2)
        client.put_bucket_versioning(Bucket="dives", VersioningConfiguration={"Status": "Enabled"})
        environment = {
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_ACCESS_KEY_ID": reader["accessKey"],
            "AWS_SECRET_ACCESS_KEY": reader["secretKey"],
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield ObjectStore(url, client, environment)
    finally:
        client.close()
        process.stop(0)  # its data goes with the session; an orderly stop takes 20 s and more
