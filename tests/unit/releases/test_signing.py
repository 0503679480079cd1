"""A host that names public keys takes only what one of them has signed."""

import hashlib
import io
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from springboard.deploy.settings import HostFileError
from springboard.deploy.settings import load as load_host
from springboard.releases.manifest import ReleaseError
from springboard.releases.registry import Registry
from springboard.system.files import sha256

PREFIX = "releases/dive/1.0.0/"


class Bucket(dict[str, bytes]):
    """As much of boto3's client as publishing and fetching take; nothing is overwritten."""

    def put_object(self, *, Bucket: str, Key: str, Body: Any, **more: str) -> None:  # noqa: N803 - boto3's
        if Key in self and more["IfNoneMatch"] == "*":
            raise _error("PreconditionFailed", 412)
        self[Key] = Body if isinstance(Body, bytes) else Body.read()

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if Key not in self:
            raise _error("NoSuchKey", 404)
        return {"Body": _Body(self[Key]), "ETag": '"of what it is"', "LastModified": datetime.now(UTC)}


class _Body(io.BytesIO):
    def iter_chunks(self, _: int) -> list[bytes]:
        return [self.read()]


def _error(code: str, status: int) -> ClientError:
    said: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "any")


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def registry(bucket: Bucket, *signers: str) -> Registry:
    client: Any = bucket
    return Registry("s3://models", client, signers)


def key(folder: Path, name: str) -> tuple[Path, str]:
    """Make a key; return its file and its public half."""
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ci@example.com", "-f", str(path)]
    subprocess.run(command, check=True)
    return path, path.with_suffix(".pub").read_text().strip()


@pytest.fixture
def release(tmp_path: Path) -> tuple[Path, Path]:
    """An archive with its manifest beside it, and its golden clip."""
    archive, golden = tmp_path / "dive-1.0.0.mar", tmp_path / "g.mp4"
    archive.write_bytes(b"code")
    golden.write_bytes(b"clip")
    document = {
        "version": "1.0.0",
        "archive": {"file": archive.name, "sha256": sha256(archive), "size_bytes": 4},
        "golden": {"file": golden.name, "sha256": sha256(golden), "score": 50, "tolerance": 1},
        "torch": "2.13.0",
    }
    archive.with_suffix(".json").write_text(json.dumps(document))
    return archive, golden


def test_a_signed_release_is_fetched_by_who_knows_the_key(
    bucket: Bucket, release: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = key(tmp_path, "ours")
    _, other = key(tmp_path, "other")
    assert registry(bucket).publish(*release, sign=private)
    assert registry(bucket, other, public).fetch("1.0.0", tmp_path / "host")
    assert not registry(bucket, public).fetch("1.0.0", tmp_path / "host"), "it is there"
    assert registry(bucket).fetch("1.0.0", tmp_path / "asks-no-signature")
    with pytest.raises(ReleaseError, match="by none of release_signers"):
        registry(bucket, other).fetch("1.0.0", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_copy_is_the_same_with_its_signature(
    bucket: Bucket, release: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = key(tmp_path, "ours")
    registry(bucket).publish(*release, sign=private)
    other = Bucket()
    assert registry(bucket).copy("1.0.0", registry(other))
    assert dict(other) == dict(bucket)
    assert not registry(bucket).copy("1.0.0", registry(other)), "the very same is there"
    assert registry(other, public).verify("1.0.0")
    (archive,) = [name for name in bucket if name.endswith(".mar")]
    bucket[archive] = b"other code"
    with pytest.raises(ReleaseError, match="is not what the manifest"):
        registry(bucket).copy("1.0.0", registry(third := Bucket()))
    assert not third


def test_an_unsigned_release_is_refused_until_it_is_signed(
    bucket: Bucket, release: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = key(tmp_path, "ours")
    assert registry(bucket).publish(*release)
    for _ in ("absent", "fetched before signatures were asked for"):
        with pytest.raises(ReleaseError, match=r"is not signed.*--sign KEY"):
            registry(bucket, public).fetch("1.0.0", tmp_path / "host")
        registry(bucket).fetch("1.0.0", tmp_path / "host")
    assert not registry(bucket).publish(*release, sign=private), "the very same is there"
    assert not registry(bucket, public).fetch("1.0.0", tmp_path / "host")


def test_a_manifest_that_was_changed_has_no_signature(
    bucket: Bucket, release: tuple[Path, Path], tmp_path: Path
) -> None:
    """Whoever may write the bucket moves the signature along."""
    private, public = key(tmp_path, "ours")
    registry(bucket).publish(*release, sign=private)
    (signature,) = [name for name in bucket if name.endswith(".sig")]
    for name in (f"{PREFIX}manifest.json", signature):
        changed = Bucket(bucket)
        changed[name] = changed[name].replace(b"50", b"51") if name.endswith("json") else b"no signature"
        for path in [path for path in changed if path.endswith(".sig")]:
            digest = hashlib.sha256(changed[f"{PREFIX}manifest.json"]).hexdigest()
            changed[f"{PREFIX}manifest-{digest}.sig"] = changed[path]
        with pytest.raises(ReleaseError, match="by none of release_signers, or not of this manifest"):
            registry(changed, public).manifest("1.0.0")


def test_another_purposes_signature_is_none(
    bucket: Bucket, release: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = key(tmp_path, "ours")
    registry(bucket).publish(*release, sign=private)
    (name,) = [name for name in bucket if name.endswith(".sig")]
    bucket[name] = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", "git", "-f", str(private)],
        input=bucket[f"{PREFIX}manifest.json"],
        capture_output=True,
        check=True,
    ).stdout
    with pytest.raises(ReleaseError, match="by none of release_signers"):
        registry(bucket, public).manifest("1.0.0")


def test_a_key_that_cannot_sign_publishes_nothing(
    bucket: Bucket, release: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(ReleaseError, match=r"nokey cannot sign: .*No such file"):
        registry(bucket).publish(*release, sign=tmp_path / "nokey")
    assert not bucket


@pytest.mark.parametrize("signer", ["ci@example.com", "ssh-ed25519", "ssh-ed25519 AAAA\nssh-rsa BBBB"])
def test_what_is_no_public_key_is_refused_with_its_line(tmp_path: Path, signer: str) -> None:
    (tmp_path / "host.yml").write_text(
        json.dumps({"models": "s3://m", "worker": {"runtime": "/r"}, "release_signers": [signer]})
    )
    with pytest.raises(HostFileError, match=r"host\.yml:1: .*release_signers"):
        load_host(tmp_path / "host.yml")
