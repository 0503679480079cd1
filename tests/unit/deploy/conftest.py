"""A host in a folder, for tests of deployments: services and traffic only take notes."""

import errno
import json
import os
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from springboard.cli.app import app
from springboard.deploy import assemble, rollout, traffic
from springboard.deploy import follow as following
from springboard.deploy import plan as planning
from springboard.deploy import state as deployment
from springboard.deploy import units as services
from springboard.deploy.canary import Rejected, Trial
from springboard.deploy.figures import FrontAway
from springboard.deploy.instances import Instance, InstanceError
from springboard.deploy.layout import Layout
from springboard.deploy.rollout import Rollout
from springboard.deploy.settings import Host
from springboard.deploy.state import State
from springboard.deploy.units import ServiceError
from springboard.releases import copies
from springboard.releases.manifest import Manifest, ReleaseError
from springboard.system import gpu
from springboard.system.files import sha256, write_atomically
from springboard.torchserve import settings as torchserve
from tests.stands.objects import Objects

CHANNEL = "channels/dive-scoring.json"
# As they are: one test may make many hosts.
_SAVE, _MAKE = deployment.save, assemble.make


class Bench:
    """A host in a folder; releases are tiny archives, services are sets.

    Whatever a deployment does to the host is noted in `acts`. The one at `fails_at`, named or counted from 0,
    fails once, as it would on a host; those in `broken` fail always.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = Layout(root)
        self.running: set[str] = set()
        self.enabled: set[str] = set()
        self.said: list[str] = []
        self.tried: list[tuple[int, float]] = []
        self.acts: list[str] = []
        self.fails_at: str | int = ""
        self.broken: set[str] = set()
        self.failed: Exception | None = None
        self.on_act: Callable[[int], None] = lambda _: None
        self.ask: Callable[[], None] = lambda: None
        self.on_canary: Callable[[], None] = lambda: None
        self.host = Host.model_validate(
            {"models": "s3://models", "worker": {"runtime": str(root / "worker")}}
        )
        self.runtime("w1", "2.13.0+cu130")
        for name, do in (
            ("start", self.running.add),
            ("stop", self.running.discard),
            ("enable", self.enabled.add),
            ("disable", self.enabled.discard),
        ):
            monkeypatch.setattr(services, name, self._acting(name, ServiceError("systemctl failed"), do))
        monkeypatch.setattr(services, "enabled", self.enabled.__contains__)
        monkeypatch.setattr(services, "running", self.running.__contains__)
        monkeypatch.setattr(services, "processes", lambda _: [])
        monkeypatch.setattr(Instance, "start", lambda one, *_: self._start(one))
        monkeypatch.setattr(Instance, "ready", lambda one: one.name in self.running)
        off = InstanceError("gives the golden clip 10 points")
        monkeypatch.setattr(Instance, "warm_up", self._acting("warm up", off, lambda *_: 50.0))
        monkeypatch.setattr(Instance, "check", self._acting("check", off, lambda *_: 50.0))
        monkeypatch.setattr(Trial, "run", lambda trial, *step, **__: self._run(trial, *step))
        away = FrontAway("the front did not take over")
        monkeypatch.setattr(
            traffic.Traffic, "_wait_taken_over", self._acting("endpoint", away, lambda *_: None)
        )
        monkeypatch.setattr(traffic.Traffic, "drained", lambda *_: None)
        full = OSError(errno.ENOSPC, "No space left on device")
        monkeypatch.setattr(traffic, "write_atomically", self._acting("write", full, write_atomically))
        monkeypatch.setattr(deployment, "save", self._acting("save", full, _SAVE))
        monkeypatch.setattr(assemble, "make", self._acting("make", full, _MAKE))
        monkeypatch.setattr(rollout, "Registry", lambda *_, **__: self.registry)
        monkeypatch.setattr(gpu, "count", lambda: 0)
        monkeypatch.setattr(os, "fsync", lambda _: None)  # nobody pulls the plug
        self.registry: Any = _Registry(self)
        self.layout.unit.parent.mkdir(parents=True)
        self.layout.unit.write_text("[Service]")

    def runtime(self, name: str, torch: str) -> None:
        """Have the next instances run on this worker runtime."""
        folder = self.host.worker.runtime
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "runtime.json").write_text(json.dumps({"id": name, "torch": torch, "java": "/java"}))

    def act(self, name: str, error: Exception) -> None:
        """Note an act; raise `error` where this one is to fail."""
        self.acts.append(name)
        self.on_act(len(self.acts) - 1)
        if self.fails_at in (name, len(self.acts) - 1):
            self.fails_at = ""
            self.failed = error
            raise error
        if name in self.broken:
            raise error

    def _acting(self, name: str, error: Exception, do: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            self.act(name, error)
            return do(*arguments)

        return wrapper

    def _start(self, instance: Instance) -> None:
        services.start(instance.name)
        self.act(f"ready {instance.version}", InstanceError("its weights are missing"))

    def _run(self, trial: Trial, weight: int, seconds: float) -> None:
        self.tried.append((weight, seconds))
        shares = [("stable", trial._old, 100 - weight), ("canary", trial._new, weight)]
        trial._traffic.show(shares)
        self.on_canary()
        trial._ask()
        self.act(f"canary {weight}", Rejected("error ratio: high"))

    def release(
        self,
        version: str,
        torch: str = "2.13.0+cpu",
        folder: Path | None = None,
        archive: bytes | None = None,
    ) -> bool:
        """Have a whole copy of a release on this host, or in another folder."""
        folder = (folder or self.layout.releases) / version
        if folder.exists():
            return False
        folder.mkdir(parents=True)
        mar, golden = folder / f"dive-{version}.mar", folder / "golden.mp4"
        with zipfile.ZipFile(mar, "w") as packed:
            packed.writestr(
                "MAR-INF/MANIFEST.json", json.dumps({"model": {"configFile": "model-config.yaml"}})
            )
            packed.writestr("model-config.yaml", yaml.safe_dump({"minWorkers": 1, "maxWorkers": 1}))
        if archive is not None:
            mar.write_bytes(archive)
        golden.write_bytes(b"x")
        document = {
            "version": version,
            "archive": {"file": mar.name, "sha256": sha256(mar), "size_bytes": mar.stat().st_size},
            "golden": {"file": "g.mp4", "sha256": sha256(golden), "score": 50, "tolerance": 1},
            "torch": torch,
        }
        (folder / "manifest.json").write_text(json.dumps(document))
        return True

    def rollout(self, **settings: Any) -> Rollout:
        """A new engine, as each run of the command has."""
        return Rollout(self.layout, self.host.model_copy(update=settings), self.said.append, self.ask)

    def plan(self, version: str | None = None, in_place: bool = False, host: Host | None = None) -> list[str]:
        """Return what `springboard deploy --check` would say."""
        registry: Any = self.registry
        found = planning.plan(self.state, host or self.host, self.layout, registry, version, in_place)
        return found.says

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


class _Registry:
    """Has every release."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def url(self, version: str) -> str:
        return version

    def manifest(self, version: str) -> Manifest:
        published = self._bench.layout.root / "published"
        self._bench.release(version, folder=published)
        return copies.load(published / version)

    def fetch(self, version: str, folder: Path, _: object) -> bool:
        self._bench.act("fetch", ReleaseError("S3 could not be reached"))
        return self._bench.release(version, folder=folder)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    # Long paths: TorchServe's sockets must fit into one, which assemble.py checks.
    monkeypatch.setattr(torchserve, "_LONGEST", 500)
    return Bench(tmp_path / "host", monkeypatch)


class Shore:
    """A host that follows, and the bucket with its channel."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench, self.bucket = bench, Objects()
        monkeypatch.setenv("SPRINGBOARD_ROOT", str(bench.layout.root))
        monkeypatch.setattr("springboard.releases.bucket.boto3.client", lambda *_, **__: self.bucket)
        monkeypatch.setattr(following, "Registry", lambda *_, **__: bench.registry)
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        self.settings(follow={})

    def settings(self, **more: Any) -> None:
        path = self.bench.layout.settings
        path.parent.mkdir(parents=True, exist_ok=True)
        worker = {"runtime": str(self.bench.host.worker.runtime)}
        path.write_text(yaml.safe_dump({"models": "s3://models", "worker": worker, **more}))

    def channel(self, release: str, **more: Any) -> None:
        self.bucket.held[CHANNEL] = json.dumps({"release": release, **more}).encode()

    def follow(self, *options: str) -> Result:
        return self("follow", *options)

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words])


@pytest.fixture
def shore(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Shore:
    return Shore(bench, monkeypatch)


def last(result: Result) -> str:
    """Return the last line, which says what came of it."""
    return str(result.output.splitlines()[-1])
