"""Real systemd hosts for tests; see `harness`."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.hosts import harness, served
from tests.hosts.harness import Hosts, Node
from tests.hosts.served import Caller, Converged, Models

# What goes on beside all the rest; each has hosts and a network of its own, and shares the converged host.
# Who makes it in the first minutes are those of the other chain: here it is wanted last.
EDGE_CHAIN = (
    "test_container",
    "test_debian13",
    "test_edge",
    "test_fleet",
    "test_gpu",
    "test_harness",
    "test_monitoring",
    "test_readme",
)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes run all tests with hosts: of each chain's hosts some are used by several tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            chain = "hosts-edge" if item.path.stem in EDGE_CHAIN else "hosts-deploy"
            item.add_marker(pytest.mark.xdist_group(chain))
            item.add_marker(pytest.mark.timeout(2400))  # whichever comes first converges a host


@pytest.fixture(scope="package")
def hosts() -> Iterator[Hosts]:
    """The session's network of nodes. Skips, except in CI, where nodes cannot be had."""
    missing = [tool for tool in harness.NEEDED if shutil.which(tool) is None]
    reason = ""
    if os.geteuid() != 0:
        reason = "test hosts need root"
    elif missing:
        reason = f"test hosts need {', '.join(missing)}; run: make test-tools"
    if reason and os.environ.get("CI"):
        pytest.fail(f"in CI, {reason}")
    if reason:
        pytest.skip(reason)
    with harness.session() as session:
        yield session


@pytest.fixture
def node(hosts: Hosts) -> Iterator[Callable[..., Node]]:
    """`node(name, layer=None)` starts a host that goes with the test."""
    started: list[Node] = []

    def start(name: str, layer: Path | None = None) -> Node:
        started.append(hosts.start(name, layer))
        return started[-1]

    yield start
    for one in started:
        if one.name in hosts.nodes:
            one.stop()


@pytest.fixture(scope="package")
def models(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """Releases in a real S3 that nodes reach with their role's credentials."""
    with served.models(hosts, tmp_path_factory.mktemp("models")) as published:
        yield published


@pytest.fixture(scope="package")
def converged(hosts: Hosts, models: Models) -> Converged:
    """A host that was brought to serve 1.0.0 of `models`, frozen."""
    return served.converge(hosts, models)


@pytest.fixture
def serving(
    converged: Converged, node: Callable[..., Node]
) -> Iterator[Callable[[str], tuple[Node, Caller]]]:
    """`serving(name)` boots a host from the converged one and returns it with a caller, once it serves."""
    with ExitStack() as opened:

        def start(name: str) -> tuple[Node, Caller]:
            host = node(name, converged.layer)
            caller = served.caller(host, converged)
            opened.callback(caller.client.close)
            return host, caller

        yield start
