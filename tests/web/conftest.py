"""Chromium, a server with the demo's model, and one whose answers come when a test wants them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload

from springboard.system.checkout import ROOT
from springboard.torchserve.process import TorchServe
from tests.stands.browser import Tab, chromium, tab
from tests.stands.front import FrontProcess, write_endpoint
from tests.stands.release import build_puppet

Open = Callable[..., Tab]


# Of the package: once its tests are over, others may have an event loop of their own again.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="package")
def demo(browser: Browser) -> Iterator[FrontProcess]:
    """The demo release, as `make demo` serves it."""
    with FrontProcess("--weights", ROOT / "demo/weights") as server:
        yield server.wait_ready()


@dataclass
class Stage:
    """`stable` and `canary`, one worker each, in a TorchServe of its own."""

    stable: TorchServe
    canary: TorchServe

    def endpoint(self, folder: Path, **more: Any) -> Path:
        variants = [("stable", self.stable, 90), ("canary", self.canary, 10)]
        return write_endpoint(folder / "endpoint.yml", variants, **more)


@pytest.fixture(scope="package")
def stage(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("web")
    with (
        TorchServe(build_puppet(folder, "1.0.0")) as stable,
        TorchServe(build_puppet(folder, "1.1.0")) as canary,
    ):
        yield Stage(stable, canary)


@pytest.fixture(scope="package")
def puppet(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontProcess]:
    """An open front before the stage, whose videos say what happens to them."""
    with FrontProcess("--endpoint-file", stage.endpoint(tmp_path_factory.mktemp("endpoint"))) as server:
        yield server.wait_ready()


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Open]:
    """Open tabs that are closed, and looked through for faults, at the end of the test."""
    with ExitStack() as tabs:

        def opened(server: FrontProcess | str, **context: Any) -> Tab:
            url = server if isinstance(server, str) else server.url
            return tabs.enter_context(tab(browser, url, **context))

        yield opened


def video(name: str, says: str) -> FilePayload:
    """A file as Playwright chooses it, which says what the puppet shall do."""
    return {"name": name, "mimeType": "video/mp4", "buffer": says.encode()}
