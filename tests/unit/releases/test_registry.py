"""The registry, with a bucket that is a dictionary: what people put beside releases, and wrong settings."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from springboard.cli.app import app
from springboard.releases.manifest import ReleaseError
from springboard.releases.registry import Registry
from tests.stands.objects import Objects


def manifest(version: str) -> bytes:
    document = {
        "version": version,
        "archive": {"file": "x.mar", "sha256": "0" * 64, "size_bytes": 10_000_000},
        "torch": "2.13.0",
        "created": "2026-01-01T00:00:00+00:00",
    }
    return json.dumps(document).encode()


STRAY = {
    "releases/dive/manifest.json": b"{}",
    "releases/dive/old-backup/manifest.json": b"{}",
    "releases/dive/1.0/manifest.json": b"{}",
    "releases/dive/1.2.3+build/manifest.json": b"{}",
    "releases/dive/1.0.0/copy/manifest.json": b"{}",
    "releases/dive/v1.0.0/manifest.json": b"{}",
    "releases/dive/latest/manifest.json": b"{}",
    "releases/dive/notes.txt": b"",
}
RELEASES = {f"releases/dive/{version}/manifest.json": manifest(version) for version in ("1.10.0", "1.9.0")}


def registry(objects: dict[str, bytes]) -> Registry:
    client: Any = Objects(objects)
    return Registry("s3://models", client)


def test_what_lies_beside_releases_is_none() -> None:
    assert registry(STRAY | RELEASES).versions() == ["1.9.0", "1.10.0"]
    assert registry(STRAY).versions() == []
    with pytest.raises(
        ReleaseError, match=r"no release 9\.9\.9 in s3://models; the latest are: 1\.9\.0, 1\.10\.0"
    ):
        registry(STRAY | RELEASES).manifest("9.9.9")


def test_a_manifest_that_cannot_be_read_does_not_keep_the_others_from_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damaged = {
        "releases/dive/1.9.1/manifest.json": b'{"version": ',
        "releases/dive/1.9.2/manifest.json": manifest("1.0.0"),
    }
    monkeypatch.setattr(
        "springboard.releases.bucket.boto3.client", lambda *_, **__: Objects(STRAY | RELEASES | damaged)
    )
    done = CliRunner().invoke(app, ["releases", "list", "--models", "s3://models"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["1.9.0", "1.9.1", "1.9.2", "1.10.0"]
    assert lines[0].endswith("10 MB\ttorch 2.13.0\t-")
    assert "unreadable: s3://models/releases/dive/1.9.1/manifest.json" in lines[1]
    assert lines[2].endswith("is that of release 1.0.0")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AWS_PROFILE", "nosuch", r"nosuch.*AWS_PROFILE"),
        ("AWS_ENDPOINT_URL_S3", "no address", r"AWS_ENDPOINT_URL_S3"),
        ("AWS_DEFAULT_REGION", "no region", r"AWS_DEFAULT_REGION"),
    ],
)
def test_aws_settings_that_cannot_be_used_are_told_in_a_line(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(ReleaseError, match=told):
        Registry("s3://models").versions()
