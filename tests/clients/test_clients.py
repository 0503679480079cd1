"""Other people's clients before a front with keys: the same cases in each, errors by the right names."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from springboard.auth import keys
from springboard.torchserve.process import TorchServe
from tests.stands.environments import BIN, installed
from tests.stands.front import FrontProcess, write_endpoint
from tests.stands.release import build_puppet

pytestmark = pytest.mark.xdist_group("clients")

HERE = Path(__file__).parent
CLIENTS: list[dict[str, Any]] = yaml.safe_load((HERE / "clients.yml").read_text())
TOOLS = {"go": "golang-go", "java": "default-jdk-headless"}
RIGHT = {
    "aws": {
        "good": "84.15 stable",
        "not a dive": "ModelError 422 not_a_dive",
        "too large": "ValidationError",
        "good again": "84.15 stable",
        "unknown endpoint": "ValidationError",
    },
    "http": {
        "good": "84.15",
        "not a dive": "422 not_a_dive",
        "too large": "413 body_too_large",
        "good again": "84.15",
    },
}
FORBIDDEN = {"aws": "AccessDeniedException", "http": "403 not_authorized"}


@dataclass(frozen=True)
class Served:
    """A front that asks for keys, and what a client's environment needs to know of it."""

    environment: dict[str, str]

    def run(self, client: dict[str, Any], **other: str) -> dict[str, str]:
        """Run a client's program and return its answers by case."""
        program, *arguments = client["command"]
        bin_folder = _installed(client)
        path = f"{bin_folder}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}"
        command = [shutil.which(program, path=path) or program, *arguments]
        done = subprocess.run(
            command,
            cwd=bin_folder.parent / "programs",
            env={**os.environ, **self.environment, **other, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answers: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return answers


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("clients")
    file = folder / "keys.json"
    key, token = keys.create_access_key(file, "app"), keys.create_token(file, "app-token")
    with TorchServe(build_puppet(folder, "1.0.0", workers=1)) as stable:
        endpoint = write_endpoint(
            folder / "endpoint.yml", [("stable", stable, 100)], limits={"max_body_bytes": 2_000_000}
        )
        options = ("--auth", "sigv4", "--auth", "bearer", "--keys-file", file)
        with FrontProcess("--endpoint-file", endpoint, *options) as front:
            front.wait_ready()
            yield Served(
                {
                    "URL": front.url,
                    "TOKEN": token,
                    "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": front.url,
                    "AWS_ACCESS_KEY_ID": key.access_key_id,
                    "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
                    "AWS_DEFAULT_REGION": "eu-central-1",
                    "AWS_REGION": "eu-central-1",
                    "AWS_EC2_METADATA_DISABLED": "true",
                    "AWS_CONFIG_FILE": os.devnull,
                    "HOME": str(folder),
                }
            )


def _installed(client: dict[str, Any]) -> Path:
    """Return the folder of commands of the client's own environment, made once for its pins.

    Skips, except in CI, where a compiler is missing that only apt has.
    """
    program = client["command"][0]
    if program in TOOLS and shutil.which(program) is None:
        reason = f"needs {program}; run: make test-tools ({TOOLS[program]})"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    folder = installed(pip=client.get("pip", []), npm=client.get("npm", []))
    # Beside what is installed, where Node.js looks for it.
    shutil.copytree(HERE / "programs", folder / "programs", dirs_exist_ok=True)
    return folder / "bin"


@pytest.mark.parametrize("client", CLIENTS, ids=[client["name"] for client in CLIENTS])
def test_a_client_scores_and_names_its_errors(served: Served, client: dict[str, Any]) -> None:
    assert served.run(client) == RIGHT[client["speaks"]]


@pytest.mark.parametrize("client", CLIENTS, ids=[client["name"] for client in CLIENTS])
def test_a_client_with_a_wrong_key_is_told_so_and_nothing_else(
    served: Served, client: dict[str, Any]
) -> None:
    answers = served.run(client, AWS_SECRET_ACCESS_KEY="wrong", TOKEN="wrong")
    refused = FORBIDDEN[client["speaks"]]
    # What is too large is refused before its signature can be checked: its body is part of it.
    assert set(answers.values()) <= {refused, RIGHT[client["speaks"]]["too large"]}
    assert answers["good"] == answers["good again"] == refused


def test_who_sends_a_stream_reads_that_its_body_is_not_signed(served: Served) -> None:
    (client,) = (client for client in CLIENTS if "aws_sdk_client.mjs" in client["command"])
    said = served.run({**client, "command": ["node", "aws_sdk_stream.mjs"]})["stream"]
    assert said.startswith("AccessDeniedException: ")
    assert "x-amz-content-sha256: UNSIGNED-PAYLOAD" in said
    assert "as bytes, not as a stream" in said
