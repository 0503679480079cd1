"""The control plane before a front, asked by boto3 as it is."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

from springboard.auth.check import Auth, MetricsRule, Mode
from springboard.auth.keys import AccessKey, Keys
from springboard.control import hosted, wire
from springboard.control.documents import Documents
from springboard.control.endpoints import Endpoints
from springboard.control.store import Folder
from springboard.control.transforms import Transforms
from springboard.endpoint.document import Endpoint
from springboard.front.front import Front
from springboard.front.routes import create_app
from springboard.torchserve import settings as torchserve
from tests.stands.cloud import Cloud, cloud
from tests.stands.served import served
from tests.unit.control.hosts import IDENTITY, Control
from tests.unit.deploy.conftest import Bench


def _key(name: str, letter: str, **more: Any) -> AccessKey:
    return AccessKey(
        name=name,
        access_key_id="SB" + letter * 18,
        secret_access_key=letter * 40,
        created=datetime.now(UTC),
        **more,
    )


ADMIN, INVOKER = _key("ops", "A", role="admin"), _key("app", "B")


@dataclass
class Plane:
    """A control plane at work, and its documents."""

    url: str
    store: Folder

    def client(self, key: AccessKey = ADMIN, service: str = "sagemaker") -> Any:
        """boto3's own client, which checks nothing before it sends."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.url,
            region_name=IDENTITY.region,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
        )


@pytest.fixture(scope="session")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Plane]]:
    """Give each test a folder of its own behind one front."""
    folder = tmp_path_factory.mktemp("control")
    stores: list[Folder] = []
    front = Front(
        Endpoint(variants=()),
        Auth(frozenset({Mode.SIGV4}), Keys(access_keys=(ADMIN, INVOKER))),
        httpx.AsyncClient(),
    )
    app = create_app(front, MetricsRule.OPEN)
    operations: dict[str, Any] = {}
    wire.add(app, front, operations, IDENTITY)
    with served(app) as port:

        def fresh() -> Plane:
            stores.append(Folder(folder / str(len(stores))))
            documents = Documents(stores[-1], IDENTITY)
            operations.update(documents.operations | Endpoints(documents).operations)
            operations.update(Transforms(documents, lambda: {"dives"}).operations)
            return Plane(f"http://127.0.0.1:{port}", stores[-1])

        yield fresh


@pytest.fixture
def plane(planes: Callable[[], Plane]) -> Plane:
    """A control plane without any document."""
    return planes()


@pytest.fixture
def sagemaker(plane: Plane) -> Any:
    """An administrator's boto3."""
    return plane.client()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "documents")


@pytest.fixture
def control(tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Control:
    monkeypatch.setattr(torchserve, "_LONGEST", 500)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(hosted, "_AGAIN_SECONDS", 0)
    monkeypatch.setattr("springboard.control.agent._HEAL_SECONDS", 0)
    monkeypatch.setattr("springboard.control.agent._AGAIN_SECONDS", 0)
    bench = Bench(tmp_path / "host", monkeypatch)
    monkeypatch.setenv("SPRINGBOARD_ROOT", str(bench.layout.root))
    return Control(bench, folder)


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    """A stand-in S3 with the buckets of transform jobs."""
    with cloud() as one:
        for bucket in ("dives", "scores"):
            one.client("s3").create_bucket(Bucket=bucket)
        yield one
