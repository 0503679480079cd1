"""What README and docs/ have a reader do with a server of their own, done with the puppet's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from springboard.system.checkout import ROOT
from tests import pages
from tests.pages import Block
from tests.stands.front import FrontProcess

pytestmark = pytest.mark.xdist_group("front")

THEIRS = "http://127.0.0.1:8080"


@pytest.fixture
def reader(front: FrontProcess) -> dict[str, str]:
    """The environment of a reader who has no AWS account, and has done what docs/call.md says."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for block in pages.every("run: environment", "sh"):
        for command in block.commands():
            name, _, value = command.removeprefix("export ").partition("=")
            ours[name] = value.replace(THEIRS, front.url)
    return {
        **ours,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.mark.parametrize("block", pages.every("run: local"), ids=str)
def test_block_of_a_page_works(block: Block, front: FrontProcess, reader: dict[str, str]) -> None:
    program = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-W", "error", "-c"]}
    text = block.text.replace(THEIRS, front.url)
    command = [*program[block.language], text]
    done = subprocess.run(
        command, cwd=ROOT, env=reader, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    # curl ends well also with an error's answer.
    assert '"error"' not in done.stdout, done.stdout
    assert done.stdout
