"""Copies of releases on a host: a folder each, with the archive, the golden clip and the manifest."""

import shutil
from pathlib import Path

from springboard.endpoint.names import archive_name
from springboard.releases.manifest import Manifest, ReleaseError, parse
from springboard.system.files import sha256

# The release, its instance's own where workers differ, what TorchServe unpacks; and logs need some room.
_COPIES = 3
_SPARE_BYTES = 200_000_000


def load(folder: Path) -> Manifest:
    """Return the manifest of a release on this host."""
    return parse(read(folder / "manifest.json"), str(folder / "manifest.json"))


def is_whole(folder: Path, version: str) -> bool:
    """Whether `folder` holds the release, unchanged since it was fetched."""
    try:
        found = load(folder)
        names = (archive_name(version), found.golden_name)
        return found.version == version and all(
            sha256(folder / name) == expected
            for name, (_, expected) in zip(names, objects(found), strict=False)
        )
    except (ReleaseError, OSError):
        return False


def objects(found: Manifest) -> list[tuple[str, str]]:
    """Return the archive's and the golden clip's keys and checksums."""
    objects = [(found.archive_key, found.archive.sha256)]
    return [*objects, (found.golden_key, found.golden.sha256)] if found.golden else objects


def check_space(folder: Path, found: Manifest) -> None:
    """Raise `ReleaseError` where the disk of `folder` has no room for what a release takes on a host."""
    needed = _COPIES * found.archive.size_bytes + _SPARE_BYTES
    if (free := shutil.disk_usage(folder).free) < needed:
        raise ReleaseError(
            f"the disk of {folder.parent} has {free / 1e6:,.0f} MB left, and release {found.version} needs "
            f"{needed / 1e6:,.0f} MB (room for three copies of its archive). Lower keep_releases, or "
            "enlarge the volume"
        )


def read(path: Path) -> bytes:
    """Return a file's contents; raise `ReleaseError`, which names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReleaseError(f"{path}: {error.strerror}") from error
