"""A program without a network: it reaches nobody, and nobody its ports."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from springboard.system import apart
from springboard.system.checkout import ROOT

LOOK = """
import json, os, socket
def reaches(address):
    try:
        socket.create_connection(address, 5).close()
    except OSError as error:
        return type(error).__name__
    return ""
own = socket.create_server(("127.0.0.1", 0))
port = int(os.environ["PORT"])
print(json.dumps({"user": os.geteuid(), "ours": reaches(("127.0.0.1", port)),
    "own": reaches(own.getsockname()), "elsewhere": reaches(("192.0.2.1", 80))}))
"""


@pytest.fixture
def possible() -> None:
    if subprocess.run(["unshare", "--user", "--net", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody make namespaces")


def run(command: list[str], program: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*command, sys.executable, "-c", program],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("possible")
def test_it_has_a_loopback_of_its_own_and_nothing_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        done = run(apart.COMMAND, LOOK, PORT=str(ours.getsockname()[1]))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "user": os.geteuid(),
        "ours": "ConnectionRefusedError",
        "own": "",
        "elsewhere": "OSError",
    }
    assert done.stderr == ""


@pytest.mark.usefixtures("possible")
def test_sockets_of_files_are_shared(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(tmp_path / 's')!r})"
        assert run(apart.COMMAND, program).returncode == 0


def test_where_the_system_does_not_let_it_the_program_runs_with_the_network() -> None:
    refused = "import sys; from springboard.system import apart; "
    refused += "apart.leave = lambda: 'unshare: Operation not permitted'; "
    refused += "sys.argv = ['apart', sys.executable, '-c', 'print(1 + 1)']; apart.main()"
    done = run([], refused)
    assert (done.returncode, done.stdout) == (0, "2\n")
    assert done.stderr == "TorchServe keeps the network (unshare: Operation not permitted)\n"
