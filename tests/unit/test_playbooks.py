"""What the playbooks promise on paper: roles say what they take, and every variable a user turns is used."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from springboard.torchserve import ROOT

ROLES = sorted(path for path in (ROOT / "playbooks" / "roles").iterdir() if path.is_dir())
VARIABLES = sorted((ROOT / "inventory" / "group_vars").rglob("*.yml"))
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
ANSIBLE = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_role_defaults_are_described(role: Path) -> None:
    """`meta/argument_specs.yml` and `defaults/main.yml` name the same variables, with the role's prefix."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    described = {name for spec in specs.values() for name in spec.get("options", {})}
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text()) or {}
    assert described == set(defaults)
    assert all(name.startswith(f"{role.name}_") for name in described)


@pytest.mark.parametrize("file", VARIABLES, ids=lambda file: file.name)
def test_every_variable_is_used(file: Path) -> None:
    used = "\n".join(
        path.read_text()
        for folder in ("playbooks", "inventory")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in (".yml", ".j2", ".service", ".socket", ".json")
    )
    for name in yaml.safe_load(file.read_text()):
        count = len(re.findall(rf"\b{name}\b", used))
        assert count > 1, f"{name} in {file.name} does nothing"


def test_no_variable_is_set_in_two_places() -> None:
    """Of two, the file whose name sorts last would win in silence."""
    names = [name for file in VARIABLES for name in yaml.safe_load(file.read_text())]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda playbook: playbook.name)
def test_playbook_is_well_formed(playbook: Path) -> None:
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "--syntax-check", "-i", "inventory/local.yml"]
    done = subprocess.run(
        [*command, str(playbook)], cwd=ROOT, env=ANSIBLE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
