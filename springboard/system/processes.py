"""Child processes that never outlive us, not even when we are killed."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Any


class Backoff:
    """How long to wait until what ended is started again: twice as long each time, until it has lasted."""

    def __init__(self, first: float, longest: float, settled: float = 60.0) -> None:
        """All in seconds; what lasted longer than `settled` ended of something new: `first` again."""
        self._first, self._longest, self._settled = first, longest, settled
        self._next = first

    def after(self, lasted: float) -> float:
        """Return the seconds to wait now."""
        pause = self._first if lasted > self._settled else self._next
        self._next = min(2 * pause, self._longest)
        return pause


class Child:
    """A process in a session of its own, with all that it starts.

    A Ctrl-C in the terminal does not reach it: whoever started it stops it, in order. If we end without that,
    however we end, a watcher kills it. (PR_SET_PDEATHSIG would fire when the starting thread ends.)
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        """Start `command`; `options` are those of `subprocess.Popen`."""
        self.process = subprocess.Popen(command, start_new_session=True, **options)
        # Only we hold the other end of its standard input, so it ends when we do.
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", 'cat; kill -s KILL -- "-$1"', "sh", str(self.process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        """Whether the process itself still runs."""
        return self.process.poll() is None

    def ended(self) -> str:
        """Return how the process ended, with the signal's name; empty while it runs."""
        code = self.process.poll()
        return "" if code is None else _exit(code)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; nothing happens when it is gone."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def stop(self, patience_s: float) -> None:
        """End the group: ask, and after `patience_s` seconds kill what is left of it."""
        self.signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
        self.signal(signal.SIGKILL)
        self.process.wait()
        self._watcher.kill()
        self._watcher.communicate()


def _exit(code: int) -> str:
    """Say what a return code of `subprocess` means; shells and Java make 128 + N of signal N."""
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended with status {code}"
    hint = ", as the kernel does when memory runs out" if name == "SIGKILL" else ""
    return f"killed by {name} ({number}){hint}"
