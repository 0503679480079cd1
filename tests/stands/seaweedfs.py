"""A real S3 for tests: SeaweedFS, which checks signatures against the secrets it was given."""

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from springboard.system.ports import free_ports
from springboard.system.processes import Child

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass
class ObjectStore:
    """A real S3 on loopback: `environment` makes any AWS client use it as a reader without write rights."""

    url: str
    client: "S3Client"
    environment: dict[str, str]


@contextmanager
def seaweedfs(
    folder: Path,
    buckets: list[str],
    identities: Mapping[str, list[str]],
    ip: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[tuple[str, "S3Client"]]:
    """Yield an S3 at `port` of `ip`, or a free one, as (url, its administrator's client).

    `identities` are access keys with what each may do, as SeaweedFS writes it (`Read:bucket`); the secret of
    the key `name` is `name-secret`.
    """
    everything = {"admin": ["Admin", "Read", "Write", "List"], **identities}
    config = [
        {
            "name": name,
            "credentials": [{"accessKey": name, "secretKey": f"{name}-secret"}],
            "actions": actions,
        }
        for name, actions in everything.items()
    ]
    (folder / "identities.json").write_text(json.dumps({"identities": config}))
    s3, filer, master, volume, *grpc = free_ports(8)
    s3 = port or s3
    url = f"http://{ip}:{s3}"
    command = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder}",
        f"-ip={ip}",
        f"-ip.bind={ip}",
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
        "-volume.max=60",  # each bucket takes several
    ]
    with (folder / "log").open("wb") as log:
        # Without a key of its own it encrypts nothing that asks for it.
        environment = {**os.environ, "WEED_S3_SSE_KEK": secrets.token_hex(32)}
        process = Child(command, env=environment, stdout=log, stderr=log, cwd=folder)
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="admin",
        aws_secret_access_key="admin-secret",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=30),
    )
    try:
        deadline = time.monotonic() + 180
        for bucket in buckets:
            while True:
                try:
                    client.create_bucket(Bucket=bucket)
                    client.put_object(Bucket=bucket, Key="probe", Body=b"x")
                    break
                except (BotoCoreError, ClientError):
                    if time.monotonic() > deadline or not process.running:
                        raise AssertionError((folder / "log").read_text()[-2000:]) from None
                    time.sleep(0.2)
        yield url, client
    finally:
        client.close()
        process.stop(0)  # its data goes with the session; an orderly stop takes 20 s and more
