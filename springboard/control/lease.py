"""Which of several hosts acts on the documents they share: one at a time, the holder of a lease.

The lease is a document, which its holder keeps changing. Nobody compares clocks: a host that sees it
unchanged for `EXPIRES_SECONDS` of its own takes the holder for dead, and that one takes it for lost well
before, counted from when its last change began.
"""

import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from springboard.control.store import Conflict, Document, DocumentStore
from springboard.deploy.stop import Stopped
from springboard.releases.manifest import ReleaseError

log = logging.getLogger("springboard.control")

EXPIRES_SECONDS = 60.0
_LOST_SECONDS = 40.0
_RENEW_SECONDS = 10.0
_WHERE = ("lease", "agents")


def _now() -> float:
    """Return a time that goes on while the machine sleeps, as the other hosts' does."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseLost(Stopped):
    """Another host may be at work by now; the message says why."""


class Lease:
    """The lease, as one process sees it and may hold it."""

    def __init__(self, store: DocumentStore, clock: Callable[[], float] = _now) -> None:
        """`store` holds the lease; `clock` tells seconds, and need agree with no other host's."""
        self._store, self._clock = store, clock
        self._token = secrets.token_hex(8)
        self._seen: str | None = None
        self._since = clock()
        self._held = self._lost = False
        self._renewed = 0.0

    def free(self) -> bool:
        """Whether nobody else holds it, as far as can be seen from here. Faults of S3 are `ReleaseError`s."""
        found = self._store.read(*_WHERE)
        version = found[1] if found else None
        if version != self._seen:
            self._seen, self._since = version, self._clock()
        if found is None or _token(found[0]) in ("", self._token):
            return True
        return self._clock() - self._since > EXPIRES_SECONDS

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold it where it is `free`, renewed in a thread; yields False where another holds or took it."""
        if not (self.free() and self._write(self._token, self._seen)):
            yield False
            return
        self._held, self._lost, ended = True, False, threading.Event()
        beside = threading.Thread(target=self._keep, args=(ended,), daemon=True)
        beside.start()
        try:
            yield True
        finally:
            ended.set()
            beside.join()
            self._held = False
            self._change("")

    def ask(self) -> None:
        """Raise `LeaseLost` where this process held it and another may have it now."""
        if self._held and (self._lost or self._clock() - self._renewed > _LOST_SECONDS):
            raise LeaseLost("another host may have taken over: this one could not renew its lease in time")

    def renew(self) -> None:
        """Change it, so that no other host takes this one for dead."""
        self._lost = self._lost or not self._change(self._token)

    def _keep(self, ended: threading.Event) -> None:
        while not ended.wait(_RENEW_SECONDS):
            self.renew()

    def _change(self, token: str) -> bool:
        """Change what is ours; False where it is another's by now. What S3 refuses now it may take later."""
        try:
            found = self._store.read(*_WHERE)
            return bool(found and _token(found[0]) == self._token and self._write(token, found[1]))
        except (ReleaseError, OSError, ValueError) as error:
            log.warning("the lease is not written, and expires unless it is soon: %s", error)
            return True

    def _write(self, token: str, version: str | None) -> bool:
        began = self._clock()
        document = {"holder": socket.gethostname(), "token": token, "beat": secrets.token_hex(8)}
        try:
            self._store.write(*_WHERE, document, version)
        except Conflict:
            return False
        self._renewed = began
        return True


def _token(document: Document) -> object:
    """Return whose it is, empty: nobody's. One of another shape is somebody's, who expires as all do."""
    return document.get("token") if isinstance(document, dict) else None
