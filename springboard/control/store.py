"""Where the control plane's documents are: each one a JSON file, replaced whole and only by who has read it.

One folder on one machine. A document's version is its text: whoever writes says which text they have read,
and is refused where another was quicker.
"""

import copy
import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from springboard.system.files import alone, sync_folder, write_atomically

Document = dict[str, Any]
_TRIES = 50


class Conflict(Exception):
    """Another was quicker: the document is no longer the one that was read."""


class Folder:
    """Documents in `folder/KIND/NAME.json`. Names are SageMaker's: letters, digits and hyphens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, kind: str, name: str) -> tuple[Document, str] | None:
        """Return a document and its version, None where there is none."""
        try:
            text = self._path(kind, name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        document: Document = json.loads(text)
        return document, _version(text)

    def every(self, kind: str) -> list[Document]:
        """Return all documents of a kind, by name."""
        folder = self._folder / kind
        names = sorted(path.stem for path in folder.glob("[!.]*.json")) if folder.is_dir() else []
        return [found[0] for name in names if (found := self.read(kind, name))]

    def write(self, kind: str, name: str, document: Document, version: str | None) -> None:
        """Have the document be this one; raise `Conflict` unless it is `version` now, None: not there."""
        path = self._path(kind, name)
        with self._alone():
            self._expect(kind, name, version)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(document, indent=1) + "\n", mode=0o600)

    def remove(self, kind: str, name: str, version: str) -> None:
        """Remove the document; raise `Conflict` unless it is `version` now."""
        path = self._path(kind, name)
        with self._alone():
            self._expect(kind, name, version)
            path.unlink()
            sync_folder(path.parent)

    def change(self, kind: str, name: str, how: Callable[[Document], Document | None]) -> Document | None:
        """Change a document by what `how` makes of it as it is now; return that, None where there is none.

        `how` may raise, and returns None to leave it as it is; it is called again where another was quicker.
        """
        for _ in range(_TRIES):
            if (found := self.read(kind, name)) is None:
                return None
            document, version = found
            changed = how(copy.deepcopy(document))
            if changed is None or changed == document:
                return document
            try:
                self.write(kind, name, changed, version)
            except Conflict:
                continue
            return changed
        raise Conflict(f"{kind} {name} is changed all the time")

    def _alone(self) -> AbstractContextManager[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        return alone(self._folder / ".lock")

    def _expect(self, kind: str, name: str, version: str | None) -> None:
        found = self.read(kind, name)
        if (found[1] if found else None) != version:
            raise Conflict(f"{kind} {name} was changed by another")

    def _path(self, kind: str, name: str) -> Path:
        if not name.replace("-", "").isalnum() or not name.isascii():
            raise ValueError(f"{name!r} is no name of SageMaker's")
        return self._folder / kind / f"{name}.json"


def _version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
