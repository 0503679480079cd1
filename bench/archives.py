"""A release's archive with another configuration, without packing half a gigabyte anew."""

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_CHUNK = 16 << 20


def with_config(archive: Path, folder: Path, changes: Mapping[str, Any]) -> Path:
    """Write the archive into `folder` with `changes` in its model-config.yaml, those of `handler` too."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = folder / archive.name
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_STORED) as new:
        for item in old.infolist():
            if Path(item.filename).name == "model-config.yaml":
                config = yaml.safe_load(old.read(item))
                handler = config.get("handler", {}) | changes.get("handler", {})
                new.writestr(item.filename, yaml.safe_dump({**config, **changes, "handler": handler}))
                continue
            with old.open(item) as source, new.open(item.filename, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, _CHUNK)
    return changed
