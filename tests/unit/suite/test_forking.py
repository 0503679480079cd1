"""What `tests.stands.compiled` runs in a fork does and says what it would in a Python of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stands.compiled import in_forks, keeping

MODULES = {
    "answers": "import os; print(os.getcwd(), os.environ['GIVEN'], __name__, __import__('sys').argv)",
    "says a status": "print('said'); raise SystemExit(3)",
    "says why": "import sys; sys.exit('this is why')",
    "fails": "import sys; sys.stdout.write('half'); 1 / 0",
    "waits for a process": "import subprocess; print(subprocess.run(['sh', '-c', 'exit 4']).returncode)",
    "ends at once": "import atexit; atexit.register(print, 'last'); print('first')",
    "asks AWS": "import boto3; print(boto3.client('ec2', region_name='eu-west-1').meta.region_name)",
}


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with in_forks(tmp_path_factory.mktemp("forks")) as forks:
        yield forks


def ran(module: str, folder: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """Run it as Ansible does; return its status, its output and the end of its errors."""
    given = {"PATH": os.environ["PATH"], "GIVEN": "this", **keeping(), **environment}
    done = subprocess.run(
        [sys.executable], input=module, cwd=folder, env=given, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr[-len("division by zero\n") :]


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_a_module_does_in_a_fork_what_it_does_alone(
    forks: dict[str, str], tmp_path: Path, module: str
) -> None:
    alone = ran(module, tmp_path, {})
    assert alone[1] or alone[2]
    assert ran(module, tmp_path, forks) == alone


def test_a_module_that_is_killed_has_failed(forks: dict[str, str], tmp_path: Path) -> None:
    assert ran("import os; os.kill(os.getpid(), 9)", tmp_path, forks) == (1, "", "")
