"""The registry against a real S3: whole or not there, immutable, one winner."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

from springboard.endpoint.names import archive_name
from springboard.releases import copies
from springboard.releases.manifest import ReleaseError, order
from springboard.releases.registry import Registry
from springboard.system.checkout import ROOT
from tests.clips import encode, moving_frames
from tests.conftest import archive
from tests.stands.seaweedfs import ObjectStore

pytestmark = pytest.mark.xdist_group("releases")


def write_release(folder: Path, version: str, content: bytes, score: float = 50.0) -> tuple[Path, Path]:
    """An archive (of whatever bytes), its golden clip and the manifest between them."""
    folder.mkdir(parents=True, exist_ok=True)
    mar, golden = folder / archive_name(version), folder / "clip.mp4"
    mar.write_bytes(content)
    golden.write_bytes(b"golden " + version.encode())
    document = {
        "name": "dive",
        "version": version,
        "archive": {"file": mar.name, "sha256": sha256(mar), "size_bytes": len(content)},
        "golden": {"file": golden.name, "sha256": sha256(golden), "score": score, "tolerance": 0.5},
        "reference_scores": None,
        "torch": "2.13.0+cpu",
        "python": "3.12.0",
        "created": "2026-01-01T00:00:00+00:00",
    }
    mar.with_suffix(".json").write_text(json.dumps(document))
    return mar, golden


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def registry(object_store: ObjectStore) -> Registry:
    return Registry("s3://models", object_store.client)


def keys(object_store: ObjectStore, version: str) -> set[str]:
    listed = object_store.client.list_objects_v2(Bucket="models", Prefix=f"releases/dive/{version}/")
    return {item["Key"].rsplit("/", 1)[1] for item in listed.get("Contents", [])}


def test_a_published_release_is_fetched_whole_once(
    registry: Registry, object_store: ObjectStore, tmp_path: Path
) -> None:
    mar, golden = write_release(tmp_path / "build", "5.0.0", b"weights")
    assert registry.publish(mar, golden)
    assert keys(object_store, "5.0.0") == {
        "manifest.json",
        f"dive-5.0.0-{sha256(mar)}.mar",
        f"golden-{sha256(golden)}.mp4",
    }
    host = tmp_path / "host"
    assert registry.fetch("5.0.0", host)
    assert {path.name for path in (host / "5.0.0").iterdir()} == {
        "dive-5.0.0.mar",
        "golden.mp4",
        "manifest.json",
    }
    assert not registry.fetch("5.0.0", host)
    # A copy that was changed on the host is fetched again.
    (host / "5.0.0" / "dive-5.0.0.mar").write_bytes(b"rotten")
    assert registry.fetch("5.0.0", host)
    assert copies.is_whole(host / "5.0.0", "5.0.0")
    assert [path.name for path in host.iterdir()] == ["5.0.0"]


def test_publishing_again_changes_nothing_and_other_contents_are_refused(
    registry: Registry, object_store: ObjectStore, tmp_path: Path
) -> None:
    mar, golden = write_release(tmp_path / "a", "5.1.0", b"weights")
    assert registry.publish(mar, golden)
    assert not registry.publish(mar, golden)
    before = keys(object_store, "5.1.0")
    other = write_release(tmp_path / "b", "5.1.0", b"other weights")
    with pytest.raises(ReleaseError, match=r"5\.1\.0 is in s3://models already.*another version"):
        registry.publish(*other)
    assert keys(object_store, "5.1.0") == before


def test_of_two_publishers_at_once_exactly_one_wins(
    registry: Registry, object_store: ObjectStore, tmp_path: Path
) -> None:
    both = [write_release(tmp_path / str(n), "5.2.0", b"weights %d" % n) for n in range(6)]

    def publish(sources: tuple[Path, Path]) -> str:
        try:
            return "won" if registry.publish(*sources) else "same"
        except ReleaseError as error:
            return str(error)

    with ThreadPoolExecutor(len(both)) as threads:
        outcomes = list(threads.map(publish, both))
    assert outcomes.count("won") == 1
    assert all("another version" in outcome for outcome in outcomes if outcome != "won")
    winner = both[outcomes.index("won")][0]
    assert registry.verify("5.2.0").archive.sha256 == sha256(winner)


def test_a_tampered_archive_is_named_and_leaves_nothing_on_the_host(
    registry: Registry, object_store: ObjectStore, tmp_path: Path
) -> None:
    mar, golden = write_release(tmp_path, "5.3.0", b"weights")
    registry.publish(mar, golden)
    key = f"releases/dive/5.3.0/dive-5.3.0-{sha256(mar)}.mar"
    object_store.client.put_object(Bucket="models", Key=key, Body=b"weigthz")
    for read in (registry.verify, lambda version: registry.fetch(version, tmp_path / "host")):
        with pytest.raises(ReleaseError, match=r"not what the manifest of 5\.3\.0 says"):
            read("5.3.0")
    assert list((tmp_path / "host").iterdir()) == []
    object_store.client.delete_object(Bucket="models", Key=key)
    with pytest.raises(ReleaseError, match="is missing, though its manifest names it"):
        registry.fetch("5.3.0", tmp_path / "host")


def test_a_full_disk_is_seen_before_anything_is_read(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish(*write_release(tmp_path, "5.4.0", b"weights"))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(ReleaseError, match="keep_releases"):
        registry.fetch("5.4.0", tmp_path / "host")
    assert list((tmp_path / "host").iterdir()) == []


def test_faults_say_what_to_do(registry: Registry, object_store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"no release 9\.9\.9 in s3://models; the latest are"):
        registry.fetch("9.9.9", tmp_path)
    with pytest.raises(ReleaseError, match="no bucket absent"):
        Registry("s3://absent", object_store.client).versions()
    with pytest.raises(ReleaseError, match="should look like s3://my-bucket"):
        Registry("my-bucket")
    mar, golden = write_release(tmp_path, "5.5.0", b"weights")
    golden.write_bytes(b"another clip")
    with pytest.raises(ReleaseError, match=r"clip.mp4 is not the file that the manifest describes"):
        registry.publish(mar, golden)
    object_store.client.put_object(Bucket="models", Key="releases/dive/5.6.0/manifest.json", Body=b'{"a": 1}')
    with pytest.raises(ReleaseError, match=r"manifest.json:1: version: Field required"):
        registry.manifest("5.6.0")
    object_store.client.delete_object(Bucket="models", Key="releases/dive/5.6.0/manifest.json")


def springboard(object_store: ObjectStore, *arguments: str, reader: bool = False) -> Any:
    assert isinstance(object_store.client, BaseClient)
    writer = {"AWS_ACCESS_KEY_ID": "admin", "AWS_SECRET_ACCESS_KEY": "admin-secret"}
    return subprocess.run(
        [sys.executable, "-m", "springboard", "releases", *arguments],
        env={**object_store.environment, **({} if reader else writer), "PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_archive_sh_publishes_and_a_reader_lists_shows_and_verifies(
    object_store: ObjectStore, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = tmp_path / "dive.mp4"
    golden.write_bytes(encode(moving_frames(40)))
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "admin")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "admin-secret")
    archive(small_weights, tmp_path / "out", "2.0.0", "--golden", str(golden), "--publish", "s3://models")
    models = ["--models", "s3://models"]
    assert "2.0.0" in springboard(object_store, "list", *models, reader=True).stdout
    shown = json.loads(springboard(object_store, "show", "2.0.0", *models, reader=True).stdout)
    assert shown == json.loads((tmp_path / "out" / "dive-2.0.0.json").read_text())
    assert "2.0.0 is whole" in springboard(object_store, "verify", "2.0.0", *models, reader=True).stdout
    mar = str(tmp_path / "out" / "dive-2.0.0.mar")
    again = springboard(object_store, "publish", mar, *models, "--golden", str(golden))
    assert (again.returncode, again.stdout[:9]) == (0, "unchanged")
    refused = springboard(
        object_store, "publish", mar, "--models", "s3://secret", "--golden", str(golden), reader=True
    )
    assert refused.returncode == 1
    assert "S3 refused" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_versions_sort_as_semver() -> None:
    versions = ["2.0.0", "1.10.0", "1.10.0-rc.10", "1.9.0", "1.10.0-rc.2"]
    assert sorted(versions, key=order) == ["1.9.0", "1.10.0-rc.2", "1.10.0-rc.10", "1.10.0", "2.0.0"]
