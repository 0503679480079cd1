"""Monitoring's tests: one process runs them all, because they share a whole stack."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitoring import stack as stacks
from tests.monitoring.stack import Stack


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("monitoring"))


@pytest.fixture(scope="session")
def tools() -> None:
    """Skips, except in CI, where Debian's packages are missing."""
    if missing := sorted({package for tool, package in stacks.NEEDED.items() if shutil.which(tool) is None}):
        reason = f"needs {', '.join(missing)}; run: make test-tools"
        if os.environ.get("CI"):
            pytest.fail(f"in CI, {reason}")
        pytest.skip(reason)


@pytest.fixture(scope="package")
def stack(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything at work, under mixed load."""
    with stacks.stack(tmp_path_factory.mktemp("stack")) as one, stacks.mixed_load(one):
        yield one
