"""Workers of one release take turns at the CPU: one computes on all cores while the others read and decode.

So a lone caller has all cores, and under load the networks never wait for a video. Where a GPU computes, the
cores are for decoding: nobody waits for another, and who decodes alone has all of them.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """Turns among processes that name the same file; the kernel ends the turn of one that dies."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def free(self) -> bool:
        """Whether nobody has a turn now, or shares one."""
        with self._path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and have it; closing the file ends it."""
        with self._path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Share a turn with who else shares one."""
        with self._path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield
