"""A model's data as a release on this machine, wherever they are."""

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from springboard.control import sources
from springboard.control.agent import trial_of
from springboard.control.place import Place
from springboard.deploy import plan as planning
from springboard.deploy.settings import Canary, Worker
from springboard.deploy.state import Place as At
from springboard.deploy.state import State
from springboard.endpoint.names import archive_name
from springboard.releases import copies
from springboard.releases.manifest import ReleaseError
from springboard.releases.registry import Registry
from springboard.system.files import sha256
from springboard.torchserve.archive import version_in
from tests.unit.control.test_agent import BASE, ROLLING


def of(name: str, **environment: str) -> dict[str, Any]:
    """A model whose data are an object of the bucket m."""
    container = {"ModelDataUrl": f"s3://m/{name}", "Environment": environment}
    return {"PrimaryContainer": container}


def put(monkeypatch: pytest.MonkeyPatch, bucket: dict[str, bytes]) -> None:
    """Have s3://m/ hold these."""

    def download(at: str, to: Path) -> None:
        to.write_bytes(bucket[at.removeprefix("s3://m/")])

    def listed(beginning: str) -> list[str]:
        return [f"s3://m/{name}" for name in bucket if f"s3://m/{name}".startswith(beginning)]

    monkeypatch.setattr(sources, "_download", download)
    monkeypatch.setattr(sources, "_listed", listed)


def packed(folder: Path, *files: Path) -> Path:
    path = folder / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file in files:
            archive.add(file, f"./model/{file.name}")
    return path


def test_a_tar_of_weights_becomes_a_release_named_by_its_contents(
    small_weights: Path, dive_clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = tmp_path / "golden.mp4"
    golden.write_bytes(dive_clip)
    tar = packed(tmp_path, small_weights, golden)
    put(monkeypatch, {"a.tar.gz": tar.read_bytes()})
    model = of("a.tar.gz", SPRINGBOARD_PRECISION="fp32")
    releases, said = tmp_path / "releases", list[str]()
    version = sources.acquire(model, releases, said.append)
    assert version.startswith("0.0.0-m")
    assert copies.is_whole(releases / version, version)
    assert copies.load(releases / version).golden is not None
    assert [path.name for path in releases.iterdir()] == [version]
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it is there already"))
        assert sources.acquire(model, releases, said.append) == version
    _as_an_archive_it_is_another(releases, version, golden, monkeypatch)


def _as_an_archive_it_is_another(
    releases: Path, version: str, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The .mar that was made, with its golden clip beside and without: it scores that by its own weights."""
    archive = releases / version / archive_name(version)
    bucket = {"dive.mar": archive.read_bytes()}
    put(monkeypatch, bucket)
    unproven = sources.acquire(of("dive.mar"), releases, lambda _: None)
    assert copies.load(releases / unproven).golden is None
    bucket["golden.mp4"] = golden.read_bytes()
    proven = sources.acquire(of("dive.mar"), releases, lambda _: None)
    assert copies.is_whole(releases / proven, proven)
    assert version_in(releases / proven / archive_name(proven)) == proven
    told, before = copies.load(releases / proven).golden, copies.load(releases / version).golden
    assert told
    assert before
    assert (told.sha256, told.score) == (before.sha256, before.score)
    assert len({version, unproven, proven}) == 3


def foreign(folder: Path, made_of: str = "a") -> tuple[bytes, dict[str, Any]]:
    """An archive without weights, compressed as torch-model-archiver does, and what archive.sh told of it."""
    path = folder / "foreign.mar"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": {"modelVersion": "1.5.0"}}))
        archive.writestr("handler.py", made_of)
    told = {"file": "dive-1.5.0.mar", "sha256": sha256(path), "size_bytes": path.stat().st_size}
    clip = {"file": "heat 3.mp4", "sha256": hashlib.sha256(b"clip").hexdigest(), "score": 7, "tolerance": 0.5}
    return path.read_bytes(), {"version": "1.5.0", "archive": told, "golden": clip, "torch": "2.13.0"}


def test_an_archive_keeps_what_its_manifest_tells_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, told = foreign(tmp_path)
    bucket = {"x/dive-1.5.0.mar": archive, "x/heat 3.mp4": b"clip", "x/heat 3.mp4.txt": b"no clip"}
    bucket["x/dive-1.5.0.json"] = json.dumps(told).encode()
    put(monkeypatch, bucket)
    releases = tmp_path / "releases"
    version = sources.acquire(of("x/dive-1.5.0.mar"), releases, lambda _: None)
    found = copies.load(releases / version)
    assert copies.is_whole(releases / version, version)
    assert found.golden
    assert (found.golden.score, found.torch, found.golden_name) == (7, "2.13.0", "golden.mp4")
    assert version_in(releases / version / archive_name(version)) == version
    del bucket["x/heat 3.mp4"]
    without = sources.acquire(of("x/dive-1.5.0.mar"), releases, lambda _: None)
    assert copies.load(releases / without).golden is None
    tar = tmp_path / "model.tar.gz"  # SageMaker's containers take it so
    for name in ("dive-1.5.0.mar", "dive-1.5.0.json"):
        (tmp_path / name).write_bytes(bucket[f"x/{name}"])
    packed(tmp_path, tmp_path / "dive-1.5.0.mar", tmp_path / "dive-1.5.0.json")
    bucket["model.tar.gz"] = tar.read_bytes()
    assert sources.acquire(of("model.tar.gz"), releases, lambda _: None) == without


def test_archives_that_make_no_release_are_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, told = foreign(tmp_path)
    bucket = {"a.mar": archive, "b.mar": b"no archive", "golden.mp4": b"clip"}
    put(monkeypatch, bucket)
    releases = tmp_path / "releases"

    def refused(name: str, **environment: str) -> str:
        with pytest.raises(ReleaseError) as error:
            sources.acquire(of(name, **environment), releases, lambda _: None)
        return str(error.value)

    assert "s3://m/b.mar is no archive that TorchServe could serve" in refused("b.mar")
    assert "holds no weights.safetensors to score golden.mp4 beside it by; put its" in refused("a.mar")
    assert "s3://m/a.mar is an archive, whose precision is its own" in refused(
        "a.mar", SPRINGBOARD_PRECISION="bf16"
    )
    bucket["b.mar"], bucket["b.json"] = foreign(tmp_path, "b")[0], json.dumps(told).encode()
    assert "b.json beside s3://m/b.mar is the manifest of another archive" in refused("b.mar")
    bucket["a.json"], bucket["golden.mp4"] = json.dumps(told).encode(), b"another clip"
    assert "golden.mp4 beside s3://m/a.mar is not the golden clip of a.json" in refused("a.mar")
    assert list(releases.iterdir()) == []


def test_a_release_without_a_golden_clip_is_never_on_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, {"a.mar": foreign(tmp_path)[0]})
    place = Place(tmp_path)
    version = sources.acquire(of("a.mar"), place.releases, lambda _: None)
    runtime = {"id": "this", "torch": copies.load(place.releases / version).torch, "java": "/java"}
    (tmp_path / "runtime.json").write_text(json.dumps(runtime))
    host = BASE.model_copy(update={"worker": Worker(runtime=tmp_path), "canary": trial_of(ROLLING, Canary())})
    serves = State(promoted=At(version="1.0.0", instance="1.0.0_0000000"))
    with pytest.raises(ReleaseError, match=rf"release {version} has no golden clip to check it by"):
        planning.changing(serves, host, place, Registry("s3://none"), version)
    all_at_once = host.model_copy(update={"canary": trial_of({}, Canary())})
    planning.changing(serves, all_at_once, place, Registry("s3://none"), version)


def test_data_that_make_no_release_are_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = of("a.tar.gz")
    put(monkeypatch, {"a.tar.gz": b"no tar"})
    with pytest.raises(ReleaseError, match=r"s3://m/a\.tar\.gz is no tar archive that can be read"):
        sources.acquire(model, tmp_path / "releases", lambda _: None)
    note = tmp_path / "notes.txt"
    note.write_text("no weights")
    tar = packed(tmp_path, note)
    put(monkeypatch, {"a.tar.gz": tar.read_bytes()})
    with pytest.raises(ReleaseError, match="it cannot be packed: "):
        sources.acquire(model, tmp_path / "releases", lambda _: None)
    assert list((tmp_path / "releases").iterdir()) == []
    model["PrimaryContainer"]["ModelDataUrl"] = "s3://m/model.onnx"
    with pytest.raises(
        ReleaseError, match=r"neither a release of a registry, .* nor a model\.tar\.gz, nor an"
    ):
        sources.acquire(model, tmp_path / "releases", lambda _: None)
