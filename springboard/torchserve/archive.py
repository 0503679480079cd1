"""What an archive says of itself."""

import json
import zipfile
import zlib
from pathlib import Path


def version_in(archive: Path) -> str | None:
    """Return the version that an archive holds, None where it cannot be read as one."""
    try:
        with zipfile.ZipFile(archive) as content:
            return str(json.loads(content.read("MAR-INF/MANIFEST.json"))["model"]["modelVersion"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error, RuntimeError):
        return None
