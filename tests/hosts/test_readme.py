"""docs/host.md, followed word by word with a test host in place of the reader's."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from springboard.system.checkout import ROOT
from tests import pages
from tests.hosts.harness import Hosts, Node
from tests.hosts.served import CLIP, Caller, Models, publisher, settings

# What stands there for things of the reader's.
READER = {
    "dives.example.com": "{address}",
    "~/checkpoint": "demo/weights",
    "~/dive.mp4": str(CLIP),
    "my-models": "models",
    "my-dives": "dives",
    "1.0.0": "1.2.0",
}


def test_page_of_a_host_followed_word_by_word_serves(
    serving: Callable[[str], tuple[Node, Caller]], hosts: Hosts, models: Models, tmp_path: Path
) -> None:
    node, caller = serving("read")
    ours = [(theirs, text.format(address=node.address)) for theirs, text in READER.items()]
    inventory, given = (
        yaml.safe_load(with_ours(block.text, ours)) for block in pages.every("run: host", "yaml")
    )
    commands = [
        with_ours(line, ours) for block in pages.every("run: host", "sh") for line in block.commands()
    ]
    assert len(commands) == 5

    checkout = tmp_path / "springboard"
    ignored = shutil.ignore_patterns("__pycache__", "build", ".git", ".venv", ".*_cache")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    (checkout / ".venv").symlink_to((ROOT / ".venv").resolve())
    (checkout / "inventory" / "hosts.yml").write_text(yaml.safe_dump(inventory))
    # What a reader with S3, a GPU and traffic does not have to set.
    given |= settings(models)
    variables = checkout / "inventory" / "group_vars" / "all" / "springboard.yml"
    text = variables.read_text()
    for name, value in given.items():
        text, found = re.subn(rf"^{name}: .*$", f"{name}: {json.dumps(value)}", text, flags=re.MULTILINE)
        assert found == 1, name
    variables.write_text(text)
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    options = f"-i {hosts.base}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
    ssh.chmod(0o755)

    environment = publisher(models.url) | {"PATH": f"{ssh.parent}:{os.environ['PATH']}"}
    environment |= {"ANSIBLE_SSH_CONTROL_PATH_DIR": hosts.control}
    for command in commands:
        done = subprocess.run(
            shlex.split(command), cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    hosts.forget_connections()
    assert caller.score()["model"]["version"] == "1.2.0"
    assert "my-app" in node.run("springboard", "keys", "list")
    for block in pages.every("run: on-host", "sh"):
        for command in block.commands():
            node.sh(command)


def with_ours(text: str, pairs: list[tuple[str, str]]) -> str:
    for theirs, ours in pairs:
        text = text.replace(theirs, ours)
    return text
