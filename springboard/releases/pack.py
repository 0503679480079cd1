"""Zips what torch-model-archiver laid out: the same model gives the same bytes. archive.sh calls it."""

import json
import shutil
import sys
from pathlib import Path
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
            entry = ZipInfo(path.relative_to(folder).as_posix(), _EARLIEST)
            entry.external_attr = 0o644 << 16
            entry.file_size = path.stat().st_size  # beyond 2 GiB zip needs to know it first
            with path.open("rb") as source, packed.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
