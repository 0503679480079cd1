"""Where the control plane's documents are: each one JSON, replaced whole and only by who has read it.

A folder on one machine, or a prefix of a bucket. A document's version is its text, or what S3 tells of it:
who writes says which they have read, and is refused where another was quicker.
"""

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from springboard.releases.bucket import Bucket
from springboard.system.files import alone, read_plain, sync_folder, write_atomically

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Document = dict[str, Any]
_TRIES = 50
# The largest that requests make is some 27 MB: 22 models, whose variables are all in escapes.
_MOST_BYTES = 32 << 20
# Who changes a document has the folder for milliseconds.
_LOCK_SECONDS = 10.0
# What is left in a bucket of a document that was removed.
_REMOVED = b"null\n"


class Conflict(Exception):
    """Another was quicker: the document is no longer the one that was read."""


class DocumentStore(ABC):
    """Documents by kind and name. Names are SageMaker's: letters, digits and hyphens."""

    @abstractmethod
    def read(self, kind: str, name: str) -> tuple[Document, str] | None:
        """Return a document and its version, None where there is none."""

    @abstractmethod
    def every(self, kind: str) -> list[Document]:
        """Return all documents of a kind, by name."""

    @abstractmethod
    def write(self, kind: str, name: str, document: Document, version: str | None) -> None:
        """Have the document be this one; raise `Conflict` unless it is `version` now, None: not there."""

    @abstractmethod
    def remove(self, kind: str, name: str, version: str) -> None:
        """Remove the document; raise `Conflict` unless it is `version` now."""

    def turn(self) -> AbstractContextManager[None]:
        """Keep out other processes that take their turn, too; one at a time then, where a store can."""
        return nullcontext()

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
        raise _conflict(kind, name)


class Folder(DocumentStore):
    """Documents in `folder/KIND/NAME.json`. Faults of it are OSErrors, and ValueError of what is no JSON.

    Nothing that lies there, or whoever holds its lock, has anybody wait for good: it may be another user's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, kind: str, name: str) -> tuple[Document, str] | None:
        """Return a document and its version, None where there is none."""
        path = self._path(kind, name)
        try:
            text = read_plain(path, _MOST_BYTES)
        except FileNotFoundError:
            return None
        return _parsed(text, str(path)), hashlib.sha256(text).hexdigest()

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
            write_atomically(path, _text(document), mode=0o600)

    def remove(self, kind: str, name: str, version: str) -> None:
        """Remove the document; raise `Conflict` unless it is `version` now."""
        path = self._path(kind, name)
        with self._alone():
            self._expect(kind, name, version)
            path.unlink()
            sync_folder(path.parent)

    def turn(self) -> AbstractContextManager[None]:
        """Keep out other processes that take their turn, too: a front that ends, and the next one."""
        return self._alone(".turn")

    def _alone(self, name: str = ".lock") -> AbstractContextManager[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        return alone(self._folder / name, _LOCK_SECONDS)

    def _expect(self, kind: str, name: str, version: str | None) -> None:
        found = self.read(kind, name)
        if (found[1] if found else None) != version:
            raise _conflict(kind, name)

    def _path(self, kind: str, name: str) -> Path:
        return self._folder / kind / f"{_checked(name)}.json"


class Prefix(DocumentStore):
    """Documents in `s3://BUCKET/PREFIX/KIND/NAME.json`. Its faults: `ReleaseError`s, ValueError of no JSON.

    What is removed leaves `null` there, as a write can be conditional in every S3, and a removal in few.
    """

    def __init__(self, place: str, client: "S3Client | None" = None) -> None:
        """`place` is `s3://BUCKET/PREFIX`."""
        name, _, prefix = place.removeprefix("s3://").partition("/")
        self._bucket = Bucket(f"s3://{name}", client)
        self._prefix = prefix.strip("/")

    def read(self, kind: str, name: str) -> tuple[Document, str] | None:
        """Return a document and its version, None where there is none."""
        return self._read(self._key(kind, name))

    def every(self, kind: str) -> list[Document]:
        """Return all documents of a kind, by name."""
        keys = sorted(self._bucket.keys(f"{self._under(kind)}/"))
        return [found[0] for key in keys if (found := self._read(key))]

    def write(self, kind: str, name: str, document: Document, version: str | None) -> None:
        """Have the document be this one; raise `Conflict` unless it is `version` now, None: not there."""
        text = _text(document).encode()
        try:
            self._put(kind, name, text, version)
        except Conflict:
            if not self._bucket.holds(self._key(kind, name), text):
                raise

    def remove(self, kind: str, name: str, version: str) -> None:
        """Remove the document; raise `Conflict` unless it is `version` now."""
        self._put(kind, name, _REMOVED, version)

    def _read(self, key: str) -> tuple[Document, str] | None:
        found = self._bucket.read(key)
        if found is None or found[0] == _REMOVED:
            return None
        return _parsed(found[0], self._bucket.url(key)), found[1]

    def _put(self, kind: str, name: str, text: bytes, version: str | None) -> None:
        key = self._key(kind, name)
        if self._bucket.write(key, text, version):
            return
        found = self._bucket.read(key) if version is None else None
        removed = found is not None and found[0] == _REMOVED
        if not (found and removed and self._bucket.write(key, text, found[1])):
            raise _conflict(kind, name)

    def _under(self, kind: str) -> str:
        return f"{self._prefix}/{kind}" if self._prefix else kind

    def _key(self, kind: str, name: str) -> str:
        return f"{self._under(kind)}/{_checked(name)}.json"


def store_of(place: str) -> DocumentStore:
    """Return the documents in a folder, or in s3://BUCKET/PREFIX."""
    return Prefix(place) if place.startswith("s3://") else Folder(Path(place))


def _parsed(text: bytes, place: str) -> Document:
    try:
        document: Document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} is no JSON: {error}") from error
    return document


def _text(document: Document) -> str:
    return json.dumps(document, indent=1) + "\n"


def _checked(name: str) -> str:
    if not name.replace("-", "").isalnum() or not name.isascii():
        raise ValueError(f"{name!r} is no name of SageMaker's")
    return name


def _conflict(kind: str, name: str) -> Conflict:
    return Conflict(f"{kind} {name} was changed by another")
