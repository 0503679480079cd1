"""A host in a folder, for tests of deployments: services and traffic only take notes."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from springboard.deploy import assemble, rollout, traffic
from springboard.deploy import state as deployment
from springboard.deploy import units as services
from springboard.deploy.canary import Rejected, Trial
from springboard.deploy.figures import FrontAway
from springboard.deploy.instances import Instance
from springboard.deploy.layout import Layout
from springboard.deploy.rollout import Rollout
from springboard.deploy.settings import Host
from springboard.deploy.state import State
from springboard.system import gpu
from springboard.system.files import sha256


class Bench:
    """A host in a folder; releases are tiny archives, services are sets."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = Layout(root)
        self.running: set[str] = set()
        self.enabled: set[str] = set()
        self.said: list[str] = []
        self.tried: list[tuple[int, float]] = []
        self.fails_at = ""
        self.on_disable: Callable[[str], None] = lambda _: None
        self.host = Host.model_validate(
            {"models": "s3://models", "worker": {"runtime": str(root / "worker")}}
        )
        self.runtime("w1", "2.13.0+cu130")
        for name, act in (("start", self.running.add), ("stop", self.running.discard)):
            monkeypatch.setattr(services, name, act)
        monkeypatch.setattr(services, "enable", self.enabled.add)
        monkeypatch.setattr(services, "disable", self._disable)
        monkeypatch.setattr(services, "enabled", self.enabled.__contains__)
        monkeypatch.setattr(services, "running", self.running.__contains__)
        monkeypatch.setattr(services, "processes", lambda _: [])
        monkeypatch.setattr(Instance, "start", lambda one, _: self._start(one))
        monkeypatch.setattr(Instance, "ready", lambda one: one.name in self.running)
        monkeypatch.setattr(Instance, "warm_up", lambda *_: 50.0)
        monkeypatch.setattr(Instance, "check", lambda *_: 50.0)
        monkeypatch.setattr(Trial, "run", lambda _, *step, **__: self._run(*step))
        monkeypatch.setattr(traffic.Traffic, "_wait_taken_over", lambda _: self._fail("endpoint"))
        monkeypatch.setattr(traffic.Traffic, "drained", lambda *_: None)
        monkeypatch.setattr(rollout, "Registry", self._registry)
        monkeypatch.setattr(gpu, "count", lambda: 0)
        self.layout.unit.parent.mkdir(parents=True)
        self.layout.unit.write_text("[Service]")

    def runtime(self, name: str, torch: str) -> None:
        """Have the next instances run on this worker runtime."""
        folder = self.host.worker.runtime
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "runtime.json").write_text(json.dumps({"id": name, "torch": torch, "java": "/java"}))

    def _disable(self, name: str) -> None:
        self.enabled.discard(name)
        self.on_disable(name)

    def _fail(self, at: str) -> None:
        if self.fails_at == at:
            self.fails_at = ""
            raise FrontAway(f"failed at {at}")

    def _start(self, instance: Instance) -> None:
        services.start(instance.name)
        self._fail("start")

    def _run(self, weight: int, seconds: float) -> None:
        self.tried.append((weight, seconds))
        if self.fails_at == f"canary {weight}":
            raise Rejected("error ratio: high")
        if self.fails_at == "killed":
            raise KeyboardInterrupt

    def _registry(self, _: str) -> Any:
        bench = self

        class Stub:
            def url(self, version: str) -> str:
                return version

            def fetch(self, version: str, folder: Path) -> bool:
                return bench.release(version)

        return Stub()

    def release(self, version: str, torch: str = "2.13.0+cpu") -> bool:
        folder = self.layout.releases / version
        if folder.exists():
            return False
        folder.mkdir(parents=True)
        mar = folder / f"dive-{version}.mar"
        with zipfile.ZipFile(mar, "w") as archive:
            archive.writestr(
                "MAR-INF/MANIFEST.json", json.dumps({"model": {"configFile": "model-config.yaml"}})
            )
            archive.writestr("model-config.yaml", yaml.safe_dump({"minWorkers": 1, "maxWorkers": 1}))
        (folder / "golden.mp4").write_bytes(b"x")
        document = {
            "version": version,
            "archive": {"file": mar.name, "sha256": sha256(mar), "size_bytes": mar.stat().st_size},
            "golden": {"file": "g.mp4", "sha256": "0" * 64, "score": 50, "tolerance": 1},
            "torch": torch,
        }
        (folder / "manifest.json").write_text(json.dumps(document))
        return True

    def rollout(self, **settings: Any) -> Rollout:
        """A new engine, as each run of the command has."""
        return Rollout(self.layout, self.host.model_copy(update=settings), self.said.append)

    @property
    def state(self) -> State:
        return deployment.load(self.layout.state)

    def variants(self) -> list[tuple[str, str, int]]:
        found = yaml.safe_load(self.layout.endpoint.read_text())["variants"]
        return [(one["name"], one["release"], one["weight"]) for one in found]

    def consistent(self, version: str) -> bool:
        """Whether files and units say with one voice that this release serves."""
        promoted = self.state.promoted
        return (
            promoted is not None
            and (promoted.version, self.state.deploying) == (version, None)
            and self.variants() == [("stable", version, 100)]
            and self.enabled == {promoted.instance}
            and promoted.instance in self.running
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    # Short: TorchServe's sockets must fit into a path, which assemble.py checks.
    monkeypatch.setattr(assemble, "_SOCKET_PATH", 500)
    return Bench(tmp_path, monkeypatch)
