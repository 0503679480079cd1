"""A .mar as a model's data: an archive of archive.sh, as a release whose version is by its contents.

dive-1.5.0.mar     the archive; whoever may create models has its code run here, as a registry's
dive-1.5.0.json    its manifest, where archive.sh's is beside it
golden.mp4         its golden clip, or under the name that the manifest tells; else it is unproven
"""

import hashlib
import json
import lzma
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from springboard.endpoint.names import archive_name
from springboard.releases import copies, pack
from springboard.releases.manifest import Manifest, ReleaseError, parse
from springboard.system.checkout import ROOT
from springboard.system.files import sha256

SUFFIX = ".mar"
# What reading a zip, and the manifest in it, raises where it is damaged or was never one.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, KeyError, TypeError, ValueError, RuntimeError),
)
# Of a model of the published sizes, several times.
MOST_BYTES = 20_000_000_000


def gather(
    at: str, folder: Path, download: Callable[[str, Path], None], listed: Callable[[str], list[str]]
) -> None:
    """Put an archive and what is beside it into a folder; raises `ReleaseError`.

    `listed` returns the addresses that begin like one.
    """
    root, _, name = at.rpartition("/")
    archive = folder / name
    download(at, archive)
    beside = archive.with_suffix(".json").name
    if f"{root}/{beside}" in listed(f"{root}/{beside}"):
        download(f"{root}/{beside}", folder / beside)
    clips = listed(f"{root}/golden.")
    if (told := _manifest(archive)) and told.golden:
        clips += [one for one in listed(f"{root}/{told.golden.file}") if one == f"{root}/{told.golden.file}"]
    for one in clips:
        download(one, folder / one.rpartition("/")[2])


def only_one(folder: Path, at: str) -> Path | None:
    """Return the archive in a folder, None where there is none; raises `ReleaseError` for several."""
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if len(found) > 1:
        raise ReleaseError(f"{at} holds several archives: {', '.join(path.name for path in found)}")
    return found[0] if found else None


def version_of(archive: Path) -> str:
    """Return the version by the contents of an archive and what is beside it."""
    parts = [
        path for path in (archive, archive.with_suffix(".json"), _clip(archive)) if path and path.exists()
    ]
    contents = json.dumps([sha256(path) for path in parts])
    return f"0.0.0-m{hashlib.sha256(contents.encode()).hexdigest()[:16]}"


def make(archive: Path, version: str, made: Path, at: str) -> None:
    """Make a release of it in the folder `made`; raises `ReleaseError`."""
    made.mkdir()
    target = made / archive_name(version)
    try:
        with zipfile.ZipFile(archive) as held:
            if sum(entry.file_size for entry in held.infolist()) > MOST_BYTES:
                raise ReleaseError(f"{at} holds more than {MOST_BYTES:,} bytes")
        pack.relabel(archive, version, target)
    except _BROKEN as error:
        raise ReleaseError(f"{at} is no archive that TorchServe could serve: {error}") from error
    clip, beside = _clip(archive), archive.with_suffix(".json")
    document: dict[str, Any] = {"name": "dive", "torch": installed("torch")}
    if told := _manifest(archive):
        if told.archive.sha256 != sha256(archive):
            raise ReleaseError(f"{beside.name} beside {at} is the manifest of another archive")
        document = json.loads(beside.read_bytes())
    golden = document.get("golden") if clip else None
    if clip and not golden:
        golden = _scored(archive, version, clip, at)
    document |= {
        "version": version,
        "archive": {"file": target.name, "sha256": sha256(target), "size_bytes": target.stat().st_size},
        "golden": golden,
    }
    (made / "manifest.json").write_text(json.dumps(document))
    if clip:
        shutil.copyfile(clip, made / copies.load(made).golden_name)
        if not copies.is_whole(made, version):
            raise ReleaseError(f"{clip.name} beside {at} is not the golden clip of {beside.name}")


def _manifest(archive: Path) -> Manifest | None:
    beside = archive.with_suffix(".json")
    return parse(beside.read_bytes(), beside.name) if beside.exists() else None


def _clip(archive: Path) -> Path | None:
    """Return the golden clip beside an archive: the manifest's, else `golden.*`."""
    told = _manifest(archive)
    if told and told.golden and (named := archive.with_name(told.golden.file)).exists():
        return named
    found = sorted(archive.parent.glob("golden.*"))
    if len(found) > 1:
        raise ReleaseError(f"there are several golden clips: {', '.join(path.name for path in found)}")
    return found[0] if found else None


def _scored(archive: Path, version: str, clip: Path, at: str) -> Any:
    """Return what a manifest tells of a golden clip, by the archive's own weights."""
    with TemporaryDirectory(dir=archive.parent) as folder:
        try:
            with zipfile.ZipFile(archive) as held:
                weights = held.extract("weights.safetensors", folder)
        except KeyError:
            raise ReleaseError(
                f"{at} holds no weights.safetensors to score {clip.name} beside it by; put its manifest, "
                f"{archive.with_suffix('.json').name}, beside it, too"
            ) from None
        command = [sys.executable, "-m", "springboard.releases.build", str(archive), weights, version]
        done = subprocess.run(
            [*command, "--golden", str(clip)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            start_new_session=True,
        )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ReleaseError(f"{at} cannot be proven: {said[-1] if said else f'status {done.returncode}'}")
    return json.loads(done.stdout)["golden"]
