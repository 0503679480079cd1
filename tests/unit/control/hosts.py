"""A host with a control plane, on the bench."""

from collections.abc import Callable
from typing import Any

import yaml
from typer.testing import CliRunner

from springboard.cli.app import app
from springboard.control import hosted
from springboard.control.documents import Documents
from springboard.control.endpoints import BUSY, slot_of
from springboard.control.further import FurtherAgent, HostEndpoints
from springboard.control.hosted import HostAgent
from springboard.control.names import Identity
from springboard.control.place import Site
from springboard.control.store import DocumentStore
from springboard.deploy import settings
from springboard.deploy.stop import Stopped
from tests.unit.deploy.conftest import Bench

IDENTITY = Identity("eu-west-1", "123456789012")


class Control:
    """A host with a control plane: its documents, the API's operations, and agents that come and go."""

    def __init__(self, bench: Bench, store: DocumentStore) -> None:
        self.bench, self.store = bench, store
        self.place = Site(bench.layout.root)
        self.configure()
        documents = Documents(self.store, IDENTITY, registry="s3://models")
        self.operations = documents.operations | HostEndpoints(documents).operations

    def configure(self, **more: Any) -> None:
        """Have host.yml say so."""
        path = self.bench.layout.settings
        path.parent.mkdir(parents=True, exist_ok=True)
        worker = {"runtime": str(self.bench.host.worker.runtime)}
        host = {"models": "s3://models", "worker": worker, "endpoint": "scores", **more}
        path.write_text(yaml.safe_dump(host))

    def call(self, operation: str, **asked: Any) -> dict[str, Any]:
        return self.operations[operation](asked)

    def make(self, version: str, more: dict[str, Any] | None = None, **environment: str) -> str:
        """Have a model of a release, and a configuration of the same name; return it.

        `more` is said of the configuration.
        """
        name = f"m{version.replace('.', '-')}"
        data = {"ModelDataUrl": f"s3://models/releases/dive/{version}/", "Environment": environment}
        self.call("CreateModel", ModelName=name, PrimaryContainer=data)
        variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1}
        self.call(
            "CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant], **(more or {})
        )
        return name

    def create(self, version: str, endpoint: str = "dives") -> None:
        self.call("CreateEndpoint", EndpointName=endpoint, EndpointConfigName=self.make(version))

    def update(self, version: str, endpoint: str = "dives", **more: Any) -> None:
        self.call("UpdateEndpoint", EndpointName=endpoint, EndpointConfigName=self.make(version), **more)

    def told(self, endpoint: str = "dives") -> dict[str, Any]:
        return self.call("DescribeEndpoint", EndpointName=endpoint)

    def deploy(self, *words: str) -> None:
        """As Ansible does."""
        done = CliRunner().invoke(app, ["deploy", *words])
        assert done.exit_code == 0, done.output

    def work(self, done: Callable[[], bool] | None = None) -> None:
        """Have an agent work until that is so; unless told otherwise, until nothing is under way."""

        def ask() -> None:
            if (done or self.settled)():
                raise Stopped("told to stop")

        hosted.work(HostAgent("", self.place, self.store, self.bench.host, ask, look_seconds=0))

    def work_further(self, slot: int = 1, done: Callable[[], bool] | None = None) -> None:
        """Have a further endpoint's agent work until that is so; unless told otherwise, until it serves."""

        def idle() -> bool:
            mine = self.of(slot)
            return bool(mine) and not any(one["status"] in BUSY for one in mine)

        def ask() -> None:
            if (done or idle)():
                raise Stopped("told to stop")

        place = self.place.at(slot)
        hosted.work(FurtherAgent("", place, self.store, self.bench.host, ask, look_seconds=0))

    def of(self, slot: int) -> list[dict[str, Any]]:
        """Return the documents of endpoints in a place."""
        return [one for one in self.store.every("endpoint") if slot_of(one) == slot]

    def settled(self) -> bool:
        """Whether nothing is under way at the first endpoint, and all say that one thing serves."""
        there = self.of(0)
        promoted = self.bench.state.promoted
        if any(one["status"] in BUSY for one in there) or (promoted and not there):
            return False
        serving = [one["serving"]["variants"][0]["release"] for one in there if one["serving"]]
        return serving == ([promoted.version] if promoted else [])

    def serves(self, version: str, variant: str = "AllTraffic") -> bool:
        """Whether documents, units and endpoint.yml say so, and whoever deploys finds nothing to do."""
        (told,) = self.of(0)
        promoted = self.bench.state.promoted
        assert promoted
        assert self.bench.plan(host=settings.here(self.place)) == []
        return (
            (told["status"], told["serving"]["variants"][0]["release"]) == ("InService", version)
            and (promoted.version, self.bench.state.deploying) == (version, None)
            and self.bench.variants() == [(variant, version, 100)]
            and self.bench.enabled == {promoted.instance}
            and promoted.instance in self.bench.running
        )
