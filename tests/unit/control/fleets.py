"""Hosts of a fleet that share their control plane's documents, on the bench."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from mypy_boto3_s3 import S3Client
from typer.testing import CliRunner

from springboard.cli.app import app
from springboard.control import hosted
from springboard.control.documents import Documents
from springboard.control.endpoints import BUSY
from springboard.control.fleet import FleetAgent, FleetEndpoints
from springboard.control.lease import Lease
from springboard.control.place import Site
from springboard.control.store import Prefix
from springboard.deploy import follow as following
from springboard.deploy import settings
from springboard.deploy.stop import Stopped
from tests.stands.objects import Objects
from tests.unit.control.hosts import IDENTITY
from tests.unit.control.test_agent import blue_green
from tests.unit.deploy.conftest import Bench

NAME = "scores"
KEY = f"channels/{NAME}.json"
CANARY = blue_green("CANARY", CanarySize={"Type": "CAPACITY_PERCENT", "Value": 20})


class Killed(BaseException):
    """As by -9: nobody catches it."""


class Node:
    """One host, and its agent's part in the lease."""

    def __init__(self, fleet: "Fleet", bench: Bench) -> None:
        self.fleet, self.bench = fleet, bench
        self.place = Site(bench.layout.root)
        self.configure(follow={"control": True})
        self.lease = Lease(fleet.store, lambda: fleet.time)

    def configure(self, follow: dict[str, Any]) -> None:
        """Have host.yml say so."""
        path = self.bench.layout.settings
        path.parent.mkdir(parents=True, exist_ok=True)
        worker = {"runtime": str(self.bench.host.worker.runtime)}
        host = {"models": "s3://models", "worker": worker, "endpoint": NAME, "follow": follow}
        path.write_text(yaml.safe_dump(host))

    def work(self, done: Callable[[], bool] | None = None) -> None:
        """Have its agent work until that is so; unless told otherwise, until nothing is under way."""

        def ask() -> None:
            self.lease.ask()
            if not self.lease._held and (done or self.fleet.settled)():
                raise Stopped("told to stop")

        hosted.work(
            FleetAgent(
                "", self.place, self.fleet.store, self.bench.host, ask, look_seconds=0, lease=self.lease
            )
        )

    def look(self) -> None:
        """Have its agent look a few times, and find nothing to do or another at it."""
        looks = iter(range(5))
        self.work(lambda: next(looks, None) is None)

    def __call__(self, *words: str) -> str:
        done = CliRunner().invoke(app, [*words])
        assert done.exit_code == 0, done.output
        return done.output

    def serves(self, version: str, variant: str = "AllTraffic") -> bool:
        promoted = self.bench.state.promoted
        assert promoted
        assert self.bench.plan(host=settings.here(self.place)) == []
        return (promoted.version, self.bench.state.deploying, self.bench.variants()) == (
            version,
            None,
            [(variant, version, 100)],
        )


class Fleet:
    """Hosts, of which the one that was made last acts, and what they share."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch
        self.objects, self.time = Objects(), 0.0
        self.store = Prefix(f"s3://models/control/{NAME}", cast("S3Client", self.objects))
        documents = Documents(self.store, IDENTITY, registry="s3://models")
        self.operations = documents.operations | FleetEndpoints(documents, name=NAME).operations

    @contextmanager
    def host(self, name: str) -> Iterator[Node]:
        """Make one, which acts until the end."""
        with self._monkeypatch.context() as patches:
            bench = Bench(self._folder / name, patches)
            patches.setenv("SPRINGBOARD_ROOT", str(bench.layout.root))
            patches.setattr(following, "Registry", lambda *_, **__: bench.registry)
            yield Node(self, bench)

    def call(self, operation: str, **asked: Any) -> dict[str, Any]:
        return self.operations[operation](asked)

    def make(self, version: str, **environment: str) -> str:
        name = f"m{version.replace('.', '-')}"
        data = {"ModelDataUrl": f"s3://models/releases/dive/{version}/", "Environment": environment}
        self.call("CreateModel", ModelName=name, PrimaryContainer=data)
        variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1}
        self.call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant])
        return name

    def create(self, version: str, **environment: str) -> None:
        config = self.make(version, **environment)
        self.call("CreateEndpoint", EndpointName=NAME, EndpointConfigName=config)

    def update(self, version: str, **more: Any) -> None:
        self.call("UpdateEndpoint", EndpointName=NAME, EndpointConfigName=self.make(version), **more)

    def told(self) -> dict[str, Any]:
        return self.call("DescribeEndpoint", EndpointName=NAME)

    def settled(self) -> bool:
        there = self.store.every("endpoint")
        return all(one["status"] not in BUSY for one in there) and [
            one["serving"]["variants"][0]["release"] for one in there if one["serving"]
        ] == ([self.channel["release"]] if self.channel else [])

    @property
    def channel(self) -> dict[str, Any]:
        return dict(json.loads(self.objects.held.get(KEY, b"{}")))

    def move(self, release: str, **more: Any) -> None:
        """As Ansible does."""
        self.objects.held[KEY] = json.dumps({"release": release, **more}).encode()

    def expire(self) -> None:
        self.time += 100

    @contextmanager
    def taken_over(self) -> Iterator[None]:
        """Have another host hold the lease, whoever had it."""
        other = Lease(self.store, lambda: self.time)
        assert not other.free()
        self.expire()
        with other.held() as ours:
            assert ours
            yield
