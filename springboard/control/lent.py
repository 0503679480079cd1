"""Documents of another user, as one who is root touches them."""

import os
import pwd
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from springboard.control.store import Document, DocumentStore, Folder


class AsUser(DocumentStore):
    """Documents of another user, which this process, as root, touches with that one's rights and no others.

    So nothing that user puts there, a link say, leads root elsewhere.
    """

    def __init__(self, store: DocumentStore, user: str) -> None:
        """Raise KeyError where there is no such user."""
        self._store, self._user = store, pwd.getpwnam(user)

    def read(self, kind: str, name: str) -> tuple[Document, str] | None:
        """Return a document and its version, None where there is none."""
        with self._lent():
            return self._store.read(kind, name)

    def every(self, kind: str) -> list[Document]:
        """Return all documents of a kind, by name."""
        with self._lent():
            return self._store.every(kind)

    def write(self, kind: str, name: str, document: Document, version: str | None) -> None:
        """Have the document be this one; raise `Conflict` unless it is `version` now, None: not there."""
        with self._lent():
            self._store.write(kind, name, document, version)

    def remove(self, kind: str, name: str, version: str) -> None:
        """Remove the document; raise `Conflict` unless it is `version` now."""
        with self._lent():
            self._store.remove(kind, name, version)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep out other processes that take their turn, too."""
        with ExitStack() as held:
            with self._lent():
                held.enter_context(self._store.turn())
            yield

    @classmethod
    def of(cls, folder: Path) -> DocumentStore:
        """Return a folder's documents: root touches those of another user with that one's rights."""
        owner = folder.stat().st_uid
        mine = owner == os.geteuid() or os.geteuid() != 0
        return Folder(folder) if mine else cls(Folder(folder), pwd.getpwuid(owner).pw_name)

    @contextmanager
    def _lent(self) -> Iterator[None]:
        group, user = os.getegid(), os.geteuid()
        os.setegid(self._user.pw_gid)
        os.seteuid(self._user.pw_uid)
        try:
            yield
        finally:
            os.seteuid(user)
            os.setegid(group)
