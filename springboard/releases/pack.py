"""Zips what torch-model-archiver laid out: the same model gives the same bytes."""

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import IO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

_MANIFEST = "MAR-INF/MANIFEST.json"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # zip knows no earlier time; when it was built, the release's manifest says


def pack(folder: Path, archive: Path) -> None:
    """Write the files of `folder` into `archive`, uncompressed and in order, without times or owners.

    Weights do not compress, and TorchServe unpacks the archive at every start.
    """
    manifest = folder / _MANIFEST
    content = json.loads(manifest.read_text())
    content.pop("createdOn", None)
    manifest.write_text(json.dumps(content, indent=2, sort_keys=True))
    with ZipFile(archive, "w", ZIP_STORED) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            with path.open("rb") as source:
                _add(packed, path.relative_to(folder).as_posix(), path.stat().st_size, source)


def relabel(archive: Path, version: str, target: Path) -> None:
    """Write an archive as that of another version, which it then tells itself.

    Raises what `zipfile` does where it is damaged, KeyError, TypeError and ValueError where it is no model's.
    """
    with ZipFile(archive) as held, ZipFile(target, "w", ZIP_STORED) as packed:
        content = json.loads(held.read(_MANIFEST))
        content["model"]["modelVersion"] = version
        told = json.dumps(content, indent=2, sort_keys=True).encode()
        for entry in held.infolist():
            if entry.filename == _MANIFEST:
                _add(packed, _MANIFEST, len(told), BytesIO(told))
            elif not entry.is_dir():
                with held.open(entry) as source:
                    _add(packed, entry.filename, entry.file_size, source)


def _add(packed: ZipFile, name: str, size: int, source: IO[bytes]) -> None:
    entry = ZipInfo(name, _EARLIEST)
    entry.external_attr = 0o644 << 16
    entry.file_size = size  # beyond 2 GiB zip needs to know it first
    with packed.open(entry, "w") as target:
        shutil.copyfileobj(source, target, 1 << 20)
