"""What the front's tests share: two releases of the puppet at work, and a front before them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from springboard.torchserve.process import TorchServe
from tests.stands.front import FrontProcess, write_endpoint
from tests.stands.release import build_puppet


@dataclass
class Stage:
    """`stable` (1.0.0, two workers) and `canary` (1.1.0, one worker), each in a TorchServe of its own."""

    stable: TorchServe
    canary: TorchServe


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("puppets")
    with (
        TorchServe(build_puppet(folder, "1.0.0", workers=2)) as stable,
        TorchServe(build_puppet(folder, "1.1.0", workers=1)) as canary,
    ):
        yield Stage(stable, canary)


@pytest.fixture(scope="session")
def endpoint_file(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90/10 over the stage; body limit 1 MB."""
    path = tmp_path_factory.mktemp("endpoint") / "endpoint.yml"
    variants = [("stable", stage.stable, 90), ("canary", stage.canary, 10)]
    return write_endpoint(path, variants, limits={"max_body_bytes": 1_000_000})


@pytest.fixture(scope="session")
def front(endpoint_file: Path) -> Iterator[FrontProcess]:
    """An open front before the stage; tests that edit its endpoint start their own."""
    with FrontProcess("--endpoint-file", endpoint_file) as process:
        yield process.wait_ready()
