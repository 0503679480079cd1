"""What roles are told where hosts follow the secret with callers' keys."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from springboard.system.checkout import ROOT

TEMPLATE = ROOT / "playbooks/roles/aws_host/templates/read.json.j2"


def told(folder: Path, **given: Any) -> dict[str, Any]:
    """Return the keys and the secret that the front's role gets, and the hosts' policy."""
    content = f"""{{{{
        {{'keys': front_keys, 'secret': front_keys_secret, 'region': front_keys_region,
        'policy': lookup('ansible.builtin.template', '{TEMPLATE}') | string}} | to_json }}}}"""
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.copy": {"dest": f"{folder}/told.json", "content": content}}],
        "vars": {
            "springboard_region": "us-east-1",
            "springboard_models_bucket": "models",
            "ansible_python_interpreter": sys.executable,
            **given,
        },
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    (folder / "group_vars").symlink_to(ROOT / "inventory" / "group_vars")
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "play.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return said


def test_hosts_that_follow_the_secret_may_read_it_and_get_no_keys_from_here(tmp_path: Path) -> None:
    said = told(tmp_path, springboard_keys_secret="my-keys", springboard_keys_follow=True)
    assert (said["keys"], said["secret"], said["region"]) == ({}, "my-keys", "us-east-1")
    (secret,) = [one for one in json.loads(said["policy"])["Statement"] if one["Sid"] == "ReadCallersKeys"]
    assert secret["Action"] == ["secretsmanager:GetSecretValue"]
    assert secret["Resource"] == ["arn:aws:secretsmanager:us-east-1:*:secret:my-keys-??????"]


def test_hosts_of_a_fleet_write_the_control_planes_documents_and_its_channel_alone(tmp_path: Path) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0f7e"
    on = {"springboard_control": True, "springboard_channel": True, "model_bucket_kms_key_arn": key}
    statements = {one["Sid"]: one for one in json.loads(told(tmp_path, **on)["policy"])["Statement"]}
    bucket = "arn:aws:s3:::models"
    assert statements["ReadReleases"]["Resource"] == [
        f"{bucket}/{one}/*" for one in ("releases", "channels", "control/dive-scoring")
    ]
    prefixes = statements["ListReleases"]["Condition"]["StringLike"]["s3:prefix"]
    assert prefixes == ["releases/*", "channels/*", "control/dive-scoring/*"]
    assert statements["WriteDocuments"]["Action"] == ["s3:PutObject"]
    assert statements["WriteDocuments"]["Resource"] == [
        f"{bucket}/control/dive-scoring/*",
        f"{bucket}/channels/dive-scoring.json",
    ]
    encrypt = statements["EncryptDocuments"]
    assert (encrypt["Action"], encrypt["Resource"]) == (["kms:GenerateDataKey"], key)


@pytest.mark.parametrize("alone", ["springboard_control", "springboard_channel"])
def test_hosts_that_share_no_documents_write_none(tmp_path: Path, alone: str) -> None:
    said = told(tmp_path, **{alone: True})
    assert "s3:PutObject" not in said["policy"]
    assert "control/" not in said["policy"]


def test_without_a_secret_there_is_nothing_to_follow(tmp_path: Path) -> None:
    said = told(tmp_path, springboard_keys_follow=True)
    assert (said["keys"], said["secret"]) == ({}, "")
    assert "secretsmanager" not in said["policy"]
