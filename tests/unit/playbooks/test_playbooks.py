"""What the playbooks promise on paper: roles say what they take, and every variable a user turns is used."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from springboard.system.checkout import ROOT

ROLES = sorted(path for path in (ROOT / "playbooks" / "roles").iterdir() if path.is_dir())
VARIABLES = sorted((ROOT / "inventory" / "group_vars").rglob("*.yml"))
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
ANSIBLE = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs in the checkout, however it ends."""
    command = [ROOT / ".venv/bin" / program, *arguments]
    return subprocess.run(command, cwd=ROOT, env=ANSIBLE, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_role_defaults_are_described(role: Path) -> None:
    """`meta/argument_specs.yml` and `defaults/main.yml` name the same variables, with the role's prefix."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    described = {name for spec in specs.values() for name in spec.get("options", {})}
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text()) or {}
    assert described == set(defaults)
    assert all(name.startswith(f"{role.name}_") for name in described)


@pytest.fixture(scope="module")
def used() -> set[str]:
    """Every word in playbooks, roles and group_vars that is neither in a comment nor a variable being set."""
    folders = [ROOT / "playbooks" / "tasks"]
    folders += [role / part for role in ROLES for part in ("tasks", "templates", "vars", "defaults")]
    files = [*VARIABLES, *PLAYBOOKS, *(path for folder in folders for path in folder.rglob("*.*"))]
    text = "\n".join(path.read_text() for path in files)
    text = re.sub(r"(?m)(^|\s)#.*$", "", text)
    return set(re.findall(r"\w+", re.sub(r"(?m)^\w+:", "", text)))


@pytest.mark.parametrize("file", VARIABLES, ids=lambda file: file.name)
def test_every_variable_is_used(file: Path, used: set[str]) -> None:
    ours = {name for name in yaml.safe_load(file.read_text()) if not name.startswith("ansible_")}
    assert ours - used == set(), "these do nothing"


def test_word_in_a_comment_or_where_it_is_set_is_no_use(used: set[str]) -> None:
    assert {"edge_enabled", "springboard_edge", "front_listen"} <= used
    assert not {"knob", "vault_smtp_password"} & used


def test_no_variable_is_set_in_two_places() -> None:
    """Of two, the file whose name sorts last would win in silence."""
    names = [name for file in VARIABLES for name in yaml.safe_load(file.read_text())]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda playbook: playbook.name)
def test_playbook_is_well_formed(playbook: Path) -> None:
    done = run("ansible-playbook", "--syntax-check", "-i", "inventory/local.yml", playbook)
    assert done.returncode == 0, done.stderr


def test_rollback_without_hosts_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("springboard:\n")
    done = run("ansible-playbook", "-i", tmp_path / "hosts.yml", "playbooks/rollback.yml")
    assert done.returncode != 0
    assert "no host in the group springboard. Give one: -i inventory/" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("system", "version", "machine", "told", "said"),
    [
        ("Debian", "12.11", "x86_64", False, ""),
        ("Debian", "13.1", "x86_64", False, ""),
        (
            "Debian",
            "14.0",
            "x86_64",
            False,
            "is Debian 14; Springboard was made for and tested on Debian 12 and",
        ),
        ("Ubuntu", "24.04", "x86_64", False, ""),
        (
            "Ubuntu",
            "22.04",
            "x86_64",
            False,
            "is Ubuntu 22.04; Springboard was made for and tested on Debian 12",
        ),
        ("Ubuntu", "26.04", "x86_64", False, "-e springboard_untested_system=true"),
        ("Ubuntu", "26.04", "x86_64", True, ""),
        ("Rocky", "9.4", "x86_64", True, "needs Debian 12 or 13 or Ubuntu 24.04 on x86_64"),
    ],
)
def test_systems_that_were_not_tested_are_refused_unless_told(
    tmp_path: Path, system: str, version: str, machine: str, told: bool, said: str
) -> None:
    facts = {"distribution": system, "distribution_version": version, "architecture": machine}
    given = {"springboard_untested_system": told, "ansible_facts": facts | {"service_mgr": "systemd"}}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    tasks = [{"ansible.builtin.import_tasks": str(ROOT / "playbooks/tasks/host_machine.yml")}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play | {"tasks": tasks}]))
    done = run("ansible-playbook", "-e", json.dumps(given), tmp_path / "play.yml")
    assert (done.returncode == 0) is (said == ""), done.stdout
    assert said in " ".join(done.stdout.split())


@pytest.mark.parametrize("playbook", ["configure.yml", "monitor.yml"])
def test_plays_that_install_packages_wait_for_the_machine_and_are_never_asked(playbook: str) -> None:
    """A machine that boots for the first time holds apt; debconf and needrestart ask, or restart things."""
    plays = yaml.safe_load((ROOT / "playbooks" / playbook).read_text())
    installing = [play for play in plays if play.get("roles")]
    assert installing
    for play in installing:
        assert play["module_defaults"]["ansible.builtin.apt"]["lock_timeout"] >= 600
        assert play["environment"] == {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
        assert play["gather_facts"] is False, "facts are gathered once the machine is ready"
        assert play["pre_tasks"][0]["ansible.builtin.import_tasks"] == "tasks/host_ready.yml"


def test_the_host_that_an_image_is_taken_of_is_configured_as_all_are() -> None:
    plays = {
        name: yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text()) for name in ("configure", "image")
    }
    (configure,) = (play for play in plays["configure"] if play.get("roles"))
    (build,) = (play for play in plays["image"] if "module_defaults" in play)
    same = ("become", "environment", "gather_facts", "module_defaults")
    assert {word: build[word] for word in same} == {word: configure[word] for word in same}
    given = yaml.safe_load((ROOT / "playbooks/roles/image/vars/main.yml").read_text())
    roles = [one if isinstance(one, str) else one["role"] for one in configure["roles"]]
    assert given["_image_roles"] == roles


def test_no_role_ends_where_a_package_list_is_down_that_it_does_not_need() -> None:
    for tasks in (ROOT / "playbooks" / "roles").rglob("tasks/*.yml"):
        for task in yaml.safe_load(tasks.read_text()):
            apt = task.get("ansible.builtin.apt", {})
            assert "update_cache" not in apt or "name" in apt, f"{tasks}: use tasks/package_lists.yml"


def _tasks(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in found:
        yield task
        for part in ("block", "rescue", "always"):
            yield from _tasks(task.get(part, []))


@pytest.mark.parametrize("playbook", ["keys.yml", "remove.yml", "replace.yml"])
def test_what_a_run_asks_a_host_it_asks_there(playbook: str) -> None:
    """A play's connection and Python are its delegated tasks' too: those of this machine."""
    first = yaml.safe_load((ROOT / "playbooks" / playbook).read_text())[0]
    assert "connection" not in first
    assert "ansible_python_interpreter" not in first.get("vars", {})


@pytest.mark.parametrize("file", sorted((ROOT / "playbooks/tasks").glob("*.yml")), ids=lambda file: file.stem)
def test_a_host_that_may_be_out_of_reach_does_not_end_a_play_without_a_word(file: Path) -> None:
    """Ansible takes such a host for ignored and, in a play with any_errors_fatal, ends all the same."""
    for task in _tasks(yaml.safe_load(file.read_text())):
        assert "ignore_unreachable" not in task or task["any_errors_fatal"] is False, task["name"]


def test_no_private_key_is_printed_by_diff() -> None:
    """People add --diff to --check, in CI too; what only root may read is nothing for its log."""
    for path in (ROOT / "playbooks" / "roles").rglob("tasks/*.yml"):
        for task in _tasks(yaml.safe_load(path.read_text())):
            copied = task.get("ansible.builtin.copy") or task.get("ansible.builtin.template") or {}
            if str(copied.get("mode", "")).endswith("0") and "content" not in copied:
                assert task.get("diff") is False or task.get("no_log"), f"{path}: {task['name']}"


@pytest.mark.parametrize("status", [200, 503])
def test_a_host_that_serves_nothing_ends_the_run_with_what_to_do(tmp_path: Path, status: int) -> None:
    (tmp_path / "hosts.yml").write_text(
        "springboard:\n  hosts:\n    new-host: {ansible_connection: local, ansible_become: false}\n"
    )

    class Front(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as front:
        threading.Thread(target=front.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{front.server_address[1]}"
        given = ("-e", f"model_release_front_url={url}", "-e", f"ansible_python_interpreter={sys.executable}")
        done = run("ansible-playbook", "-i", tmp_path / "hosts.yml", *given, "playbooks/serving.yml")
        front.shutdown()
    said = "new-host is set up and serves nothing: callers get 503." in " ".join(done.stdout.split())
    assert (done.returncode == 0, said) == (status == 200, status == 503), done.stdout + done.stderr


def test_site_serves_the_release_that_is_named_and_tells_of_hosts_that_serve_none() -> None:
    plays = yaml.safe_load((ROOT / "playbooks" / "site.yml").read_text())
    deploy = next(play for play in plays if play["import_playbook"] == "deploy.yml")
    assert "springboard_release" in deploy["when"]
    assert plays[-1]["import_playbook"] == "serving.yml"


def test_a_run_on_some_hosts_and_for_some_things_is_checked_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("springboard:\n  hosts: {one: {}, two: {}}\n")
    (tmp_path / "group_vars").symlink_to(ROOT / "inventory" / "group_vars")
    some = ("--limit", "two", "--tags", "certificate")
    done = run("ansible-playbook", "-i", tmp_path / "hosts.yml", *some, "playbooks/configure.yml")
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "springboard_models_bucket is '' and must be the name" in said, done.stdout + done.stderr
