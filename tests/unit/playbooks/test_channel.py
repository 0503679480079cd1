"""The channel in the playbooks: moved last, by runs for all hosts, and allowed where it is turned on."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from springboard.deploy.channel import Settings
from springboard.system.checkout import ROOT

PLAYBOOKS = ROOT / "playbooks"
# Notes how it was called; shows a channel, and refuses to move one where a file says so.
COMMAND = """#!/bin/sh
cd "$(dirname "$0")"
echo "$@" >> called
case "$1 $2" in
deploy*) echo unchanged ;;
*show) echo '{"version": "5e0f", "channel": {"release": "1.4.0"}}' ;;
*set)
  cat > stdin
  [ ! -e refuses ] || { echo "springboard: somebody else was quicker" >&2; exit 1; }
  echo changed ;;
esac
"""
GIVEN = {
    "springboard_models_bucket": "some-models",
    "springboard_canary": {"weight": 5},
    "springboard_deploy_settings": {"shadow": {"release": "1.6.0"}, "cache": {"max_bytes": 1}},
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
}


def plays(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((PLAYBOOKS / name).read_text())
    return found


@dataclass
class Run:
    """What came of a playbook whose hosts did as they were told in place of deploying."""

    status: int
    said: str
    folder: Path

    @property
    def moved(self) -> list[str]:
        called = self.folder / "called"
        lines = called.read_text().splitlines() if called.exists() else []
        return [line for line in lines if line.startswith("channel set")]

    @property
    def deployed(self) -> set[str]:
        return {path.name for path in self.folder.glob("served-*")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "springboard").write_text(COMMAND)
    (tmp_path / "springboard").chmod(0o755)
    for part in ("tasks", "library"):
        (tmp_path / part).symlink_to(PLAYBOOKS / part)
    (tmp_path / "group_vars").symlink_to(ROOT / "inventory" / "group_vars")
    local = {"ansible_connection": "local"}
    hosts = {"springboard": {"hosts": {"one": local, "two": local}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts))
    return tmp_path


def run(folder: Path, name: str, *options: str, on: bool = True, dies: str = "", **given: Any) -> Run:
    """Run a playbook with a file in place of what it does on hosts; on the one named, that fails."""
    found = plays(name)
    (acting,) = [play for play in found if play["name"] in ("Deploy", "Roll back")]
    for part in ("roles", "vars", "become"):
        acting.pop(part, None)
    served = f"{folder}/served-{{{{ inventory_hostname }}}}"
    acting["tasks"] = [
        {"ansible.builtin.command": {"argv": ["touch", served]}},
        {"ansible.builtin.fail": {"msg": "it fails its checks"}, "when": f"inventory_hostname == '{dies}'"},
    ]
    text = yaml.safe_dump(found).replace("/var/lib/springboard", f"{folder}/{{{{ inventory_hostname }}}}")
    text = text.replace("/usr/local/bin/springboard", f"{folder}/springboard")
    (folder / name).write_text(text)
    variables = {**GIVEN, "channel_command": str(folder / "springboard"), "springboard_channel": on, **given}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(folder / "hosts.yml")]
    done = subprocess.run(
        [*command, "-e", json.dumps(variables), *options, str(folder / name)],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(done.returncode, " ".join((done.stdout + done.stderr).split()), folder)


SET = "channel set 1.5.0 --models=s3://some-models --endpoint=dive-scoring --settings -"


def test_it_moves_once_after_all_hosts_with_the_inventory_s_settings(folder: Path) -> None:
    done = run(folder, "deploy.yml", release="1.5.0")
    assert done.status == 0, done.said
    assert done.moved == [SET]
    assert done.deployed == {"served-one", "served-two"}
    given = json.loads((folder / "stdin").read_text())
    assert given == {"canary": {"weight": 5}, "settings": {"shadow": {"release": "1.6.0"}}}


def test_each_batch_renews_the_hold_of_the_hosts_before_it(folder: Path) -> None:
    done = run(folder, "deploy.yml", release="1.5.0", batches=1)
    assert done.status == 0, done.said
    assert (folder / "called").read_text().splitlines() == ["deploy 1.5.0 --wait", SET]
    assert "Renew the hold of the hosts before this batch" in done.said


def test_where_a_host_fails_it_stays(folder: Path) -> None:
    done = run(folder, "deploy.yml", release="1.5.0", dies="two")
    assert done.status != 0
    assert done.moved == []


def test_where_no_channel_is_followed_nobody_asks_for_one(folder: Path) -> None:
    done = run(folder, "deploy.yml", "--limit", "one,localhost", on=False, release="1.5.0")
    assert done.status == 0, done.said
    assert not (folder / "called").exists()


def test_some_hosts_get_no_other_release_than_the_channel_s(folder: Path) -> None:
    limited = ("--limit", "one,localhost")
    done = run(folder, "deploy.yml", *limited, release="1.5.0")
    assert done.status != 0
    assert "The channel of dive-scoring names 1.4.0, and this run leaves hosts out" in done.said
    assert done.deployed == set()
    done = run(folder, "deploy.yml", *limited, release="1.4.0")
    assert done.status == 0, done.said
    assert (done.deployed, done.moved) == ({"served-one"}, [])


def test_a_channel_that_cannot_be_moved_ends_the_run_with_what_follows(folder: Path) -> None:
    (folder / "refuses").touch()
    done = run(folder, "deploy.yml", release="1.5.0")
    assert done.status != 0
    assert (
        "within the hour they go back to what it names: springboard: somebody else was quicker" in done.said
    )


def serve(folder: Path, **releases: str) -> None:
    for host, release in releases.items():
        (folder / host).mkdir(exist_ok=True)
        state = {"promoted": {"version": release, "instance": "x"}}
        (folder / host / "deployment.json").write_text(json.dumps(state))


def test_a_rollback_moves_it_to_what_all_hosts_serve_then(folder: Path) -> None:
    serve(folder, one="1.5.0", two="1.5.0")
    done = run(folder, "rollback.yml")
    assert done.status == 0, done.said
    assert done.moved == [SET]


def test_a_rollback_to_different_releases_or_of_some_hosts_leaves_it(folder: Path) -> None:
    serve(folder, one="1.5.0", two="1.4.0")
    done = run(folder, "rollback.yml")
    assert done.status != 0
    assert "Hosts serve different releases (1.5.0, 1.4.0), so the channel of dive-scoring stays" in done.said
    serve(folder, two="1.5.0")
    done = run(folder, "rollback.yml", dies="two")
    assert done.status != 0
    assert "The channel of dive-scoring stays as it is, for two took no part" in done.said
    assert done.moved == []


@pytest.mark.parametrize("name", ["configure.yml", "deploy.yml", "rollback.yml"])
def test_it_is_the_last_that_a_run_does(name: str) -> None:
    *_, acting, last = plays(name)
    assert last["tasks"][-1]["ansible.builtin.import_tasks"] == "tasks/channel.yml"
    assert "springboard_channel | bool" in last["tasks"][-1]["when"]
    assert "not ansible_check_mode" in last["tasks"][-1]["when"]
    assert "ansible.builtin.import_tasks" not in str(acting.get("tasks", "")).replace("host_", "")


def test_playbooks_pass_on_what_a_channel_knows() -> None:
    variables = (ROOT / "inventory/group_vars/all/springboard.yml").read_text()
    (line,) = [line for line in variables.splitlines() if "selectattr('key', 'in'" in line]
    passed = set(yaml.safe_load(line[line.index("[") : line.index("]") + 1]))
    assert passed | {"variant", "workers", "capture"} == set(Settings.model_fields)  # those are documents'


def test_policies_allow_channels_where_they_are_followed(tmp_path: Path) -> None:
    templates = {
        "deploy": PLAYBOOKS / "policies/deploy.json.j2",
        "read": PLAYBOOKS / "roles/aws_host/templates/read.json.j2",
    }
    looked_up = (
        "lookup('ansible.builtin.template', '{}', template_vars={{'springboard_channel': {on},"
        " 'aws_host_follows_channel': {on}}}) | string"
    )
    rendered = ", ".join(
        f"'{name}-{on}': {looked_up.format(path, on=on)}"
        for name, path in templates.items()
        for on in (False, True)
    )
    content = f"{{{{ {{ {rendered} }} | to_json }}}}"
    task = {"ansible.builtin.copy": {"dest": f"{tmp_path}/rendered.json", "content": content}}
    given = {
        "policies_partition": "aws",
        "policies_keys": "x",
        "aws_host_partition": "aws",
        "springboard_models_bucket": "some-models",
        "springboard_deployment": "pool",
        "springboard_region": "us-east-1",
        "ansible_python_interpreter": sys.executable,
    }
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "tasks": [task],
        "vars": given,
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    (tmp_path / "group_vars").symlink_to(ROOT / "inventory" / "group_vars")
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "play.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads((tmp_path / "rendered.json").read_text())
    for name, acts in (("deploy", ["s3:GetObject", "s3:PutObject"]), ("read", ["s3:GetObject"])):
        assert "channels" not in made[f"{name}-False"]
        statements = json.loads(made[f"{name}-True"])["Statement"]
        mine = "arn:aws:s3:::some-models/channels/*"
        allowed = [one["Action"] for one in statements if mine in str(one["Resource"])]
        assert allowed == [acts]
        (listing,) = [one for one in statements if one["Sid"] == "ListReleases"]
        assert listing["Condition"] == {"StringLike": {"s3:prefix": ["releases/*", "channels/*"]}}
