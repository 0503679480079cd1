"""Callers' keys in Secrets Manager: of two who change them at once, one is told."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from springboard.system.checkout import ROOT
from tests.stands.cloud import REGION, Cloud, cloud

NAME = "pool-keys"
# As Python starts with the command that issues a key, another administrator revokes one.
BETWEEN = f"""import os, sys
if sys.orig_argv[1:4] == ["-m", "springboard", "keys"]:
    import boto3
    boto3.client("secretsmanager").put_secret_value(SecretId="{NAME}", SecretString=os.environ["THEIRS"])
"""
THEIRS = '{"tokens": []}'


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud() as one:
        yield one


@pytest.fixture
def secrets(aws: Cloud) -> Iterator[Any]:
    client = aws.client("secretsmanager")
    client.create_secret(Name=NAME, SecretString='{"access_keys": [], "tokens": []}\n')
    yield client
    client.delete_secret(SecretId=NAME, ForceDeleteWithoutRecovery=True)


@pytest.fixture
def module() -> Any:
    """The Ansible module `kept_secret`."""
    spec = importlib.util.spec_from_file_location("kept_secret", ROOT / "playbooks/library/kept_secret.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def text(secrets: Any) -> str:
    return str(secrets.get_secret_value(SecretId=NAME)["SecretString"])


def create(aws: Cloud, folder: Path, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run keys.yml -e create=NAME, with no hosts to place them on."""
    inventory = folder / "inventory"
    inventory.mkdir(exist_ok=True)
    (inventory / "hosts.yml").write_text("springboard: {hosts: {pool-1: }}\n")
    if not (inventory / "group_vars").exists():
        (inventory / "group_vars").symlink_to(ROOT / "inventory" / "group_vars")
    given = {
        "create": name,
        "only": "nobody",
        "out": str(folder / f"{name}.env"),
        "springboard_keys_secret": NAME,
        "springboard_region": REGION,
        "springboard_models_bucket": "models",
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory / "hosts.yml")]
    return subprocess.run(
        [*command, "playbooks/keys.yml", "-e", json.dumps(given)],
        cwd=ROOT,
        env={**os.environ, **aws.environment, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_key_that_another_revokes_meanwhile_does_not_come_back(
    aws: Cloud, secrets: Any, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BETWEEN)
    done = create(aws, tmp_path, "judge", PYTHONPATH=str(tmp_path), THEIRS=THEIRS)
    assert done.returncode != 0
    assert f"somebody else changed the secret {NAME} since it was read" in done.stdout
    assert text(secrets) == THEIRS
    assert not (tmp_path / "judge.env").exists()


def test_what_is_current_by_now_is_not_written_over(module: Any, secrets: Any) -> None:
    read = secrets.get_secret_value(SecretId=NAME)
    secrets.put_secret_value(SecretId=NAME, SecretString="theirs")
    with pytest.raises(module.RefusedError, match="somebody else changed the secret pool-keys"):
        module.update(secrets, NAME, "ours", {}, check=False, before=read["SecretString"])
    # At the last moment, too: between a look and the write.
    with pytest.raises(module.RefusedError, match="somebody else changed the secret pool-keys"):
        module.replace(secrets, NAME, "ours", read["VersionId"])
    assert text(secrets) == "theirs"
    assert module.update(secrets, NAME, "ours", {}, check=False, before="theirs")
    assert text(secrets) == "ours"


def test_who_does_not_hear_that_it_is_written_has_written_it(
    module: Any, secrets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = secrets.update_secret_version_stage

    def twice(**asked: str) -> None:
        move(**asked)
        move(**asked)

    monkeypatch.setattr(secrets, "update_secret_version_stage", twice)
    assert module.update(secrets, NAME, "ours", {}, check=False)
    assert text(secrets) == "ours"
