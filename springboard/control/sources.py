"""A model's data, wherever CreateModel says they are, as a release on this machine.

s3://BUCKET/releases/dive/X.Y.Z/     a release of a registry, as `archive.sh --publish` makes it
s3://BUCKET/.../model.tar.gz         the published files, or what `train` writes; packed into a release whose
version is by its contents. `golden.*` in it is its golden clip.
s3://BUCKET/.../dive-X.Y.Z.mar       an archive of archive.sh: archives.py; a model.tar.gz may hold it, too
"""

import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from springboard.control import archives
from springboard.control.documents import container, location
from springboard.control.store import Document
from springboard.endpoint.names import MODEL, archive_name, is_release
from springboard.releases import copies
from springboard.releases.bucket import Bucket
from springboard.releases.contents import key_of
from springboard.releases.manifest import ReleaseError
from springboard.releases.registry import Registry
from springboard.system.checkout import ROOT
from springboard.system.files import sha256, sync_folder

_RELEASE = re.compile(rf"s3://(?P<bucket>[^/]+)/releases/{MODEL}/(?P<version>\d+\.\d+\.\d+[^/]*)(/.*)?")
_OBJECT = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>.+)")
_PACKED = (".tar.gz", ".tgz", ".tar", archives.SUFFIX)
_MOST_FILES = 1000
_CONFIG = ROOT / "model_handler" / "model-config.yaml"
PRECISION = "SPRINGBOARD_PRECISION"


def acquire(model: Document, releases: Path, say: Callable[[str], None]) -> str:
    """Have a whole copy of a model's release in `releases`; return its version. Raises `ReleaseError`."""
    at, precision = location(model), container(model).get("Environment", {}).get(PRECISION, "")
    releases.mkdir(parents=True, exist_ok=True)
    if found := _RELEASE.fullmatch(at):
        if precision:
            raise ReleaseError(f"{PRECISION} is given, and {at} is a release, whose precision is its own")
        return _published(found["bucket"], found["version"], releases, say)
    if at.endswith(_PACKED):
        return _packed(at, precision, releases, say)
    raise ReleaseError(
        f"{at} is neither a release of a registry, s3://BUCKET/releases/{MODEL}/X.Y.Z/, nor a model.tar.gz, "
        f"nor an archive, {archive_name('X.Y.Z')}"
    )


def release_of(model: Document, models: str) -> str:
    """Return the version of a model that is a release of the registry `models`; raises `ReleaseError`."""
    at = location(model)
    found = _RELEASE.fullmatch(at)
    if not found or f"s3://{found['bucket']}" != models or not is_release(found["version"]):
        raise ReleaseError(
            f"{at} is no release of this host's registry, {models}/releases/{MODEL}/X.Y.Z/: what a host runs "
            "is published there (docs/publish.md)"
        )
    if PRECISION in container(model).get("Environment", {}):
        raise ReleaseError(f"{PRECISION} is given, and {at} is a release, whose precision is its own")
    return found["version"]


def _published(bucket: str, version: str, releases: Path, say: Callable[[str], None]) -> str:
    registry = Registry(f"s3://{bucket}")
    folder = releases / version
    if folder.is_dir() and copies.load(folder).archive.sha256 != registry.manifest(version).archive.sha256:
        raise ReleaseError(
            f"release {version} of s3://{bucket} has other contents than the one of this version that is "
            "here already; publish it under another version"
        )
    say(f"fetching {registry.url(version)}")
    registry.fetch(version, releases)
    return version


def _packed(at: str, precision: str, releases: Path, say: Callable[[str], None]) -> str:
    with tempfile.TemporaryDirectory(prefix=".pack-", dir=releases) as name:
        folder, given = Path(name), Path(name) / "given"
        say(f"fetching {at}")
        given.mkdir()
        if at.endswith(archives.SUFFIX):
            archives.gather(at, given, _download, _listed)
        else:
            _download(at, folder / "model")
            _unpack(folder / "model", given, at)
            (folder / "model").unlink()
        archive = archives.only_one(given, at)
        if archive and precision:
            raise ReleaseError(f"{PRECISION} is given, and {at} is an archive, whose precision is its own")
        if archive:
            version = archives.version_of(archive)
        else:
            golden = _golden(given, folder)
            version = f"0.0.0-m{key_of(given, precision, _identity(golden))}"
        if copies.is_whole(releases / version, version):
            return version
        say(f"packing {at} into release {version}")
        made = folder / "made"
        if archive:
            archives.make(archive, version, made, at)
        else:
            _pack(given, version, golden, _config(precision, folder), made)
        shutil.rmtree(releases / version, ignore_errors=True)
        made.rename(releases / version)
        sync_folder(releases)
    return version


def _pack(weights: Path, version: str, golden: Path | None, config: Path, made: Path) -> None:
    _archive(weights, version, golden, config, made)
    (made / f"{MODEL}-{version}.json").rename(made / "manifest.json")
    if golden:
        shutil.move(golden, made / copies.load(made).golden_name)
    assert (made / archive_name(version)).is_file()  # noqa: S101 - archive.sh ended well


def _split(at: str) -> tuple[str, str]:
    found = _OBJECT.fullmatch(at)
    assert found is not None  # noqa: S101 - CreateModel saw to it
    return found["bucket"], found["key"]


def _download(at: str, to: Path) -> None:
    bucket, key = _split(at)
    try:
        boto3.client("s3").download_file(bucket, key, str(to))
    except ClientError as error:
        said = error.response.get("Error", {})
        raise ReleaseError(
            f"S3 does not give {at} ({said.get('Code', 'unknown')}): is it there, and may this server's "
            "credentials read it?"
        ) from error
    except (BotoCoreError, ValueError, OSError) as error:
        raise ReleaseError(f"{at} could not be fetched: {error}") from error


def _listed(beginning: str) -> list[str]:
    """Return what there is whose address begins so."""
    name, key = _split(beginning)
    bucket = Bucket(f"s3://{name}")
    return [bucket.url(found) for found in bucket.keys(key)]


def _unpack(packed: Path, weights: Path, at: str) -> None:
    """Put the files of a tar, of whatever folders, beside each other; links and devices are left out."""
    total = 0
    try:
        with tarfile.open(packed) as archive:
            for number, member in enumerate(archive):
                name = Path(member.name).name
                if not member.isfile() or name.startswith("."):
                    continue
                total += member.size
                if number >= _MOST_FILES or total > archives.MOST_BYTES:
                    raise ReleaseError(
                        f"{at} holds more than {_MOST_FILES} files or {archives.MOST_BYTES:,} bytes"
                    )
                if (weights / name).exists():
                    raise ReleaseError(f"{at} holds two files called {name}")
                _write(archive.extractfile(member), weights / name)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise ReleaseError(f"{at} is no tar archive that can be read: {error}") from error


def _write(source: IO[bytes] | None, target: Path) -> None:
    assert source is not None  # noqa: S101 - it is a plain file
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def _golden(weights: Path, folder: Path) -> Path | None:
    found = sorted(weights.glob("golden.*"))
    if len(found) > 1:
        raise ReleaseError(f"there are several golden clips: {', '.join(path.name for path in found)}")
    return found[0].rename(folder / found[0].name) if found else None


def _identity(golden: Path | None) -> str:
    return f"{golden.name} {sha256(golden)}" if golden else ""


def _config(precision: str, folder: Path) -> Path:
    if not precision:
        return _CONFIG
    text = _CONFIG.read_text(encoding="utf-8")
    changed = re.sub(r"(?m)^( *precision:).*$", rf"\1 {precision}", text)
    path = folder / "model-config.yaml"
    path.write_text(changed, encoding="utf-8")
    return path


def _archive(weights: Path, version: str, golden: Path | None, config: Path, made: Path) -> None:
    command = [str(ROOT / "archive.sh"), "--weights", str(weights), "--version", version, "--out", str(made)]
    command += ["--config", str(config), *(("--golden", str(golden)) if golden else ())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ReleaseError(f"it cannot be packed: {said[-1] if said else f'status {done.returncode}'}")
