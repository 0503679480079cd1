"""What roles and deployments have to say alike, and no import shows: variables, paths, commands."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from jinja2.nativetypes import NativeEnvironment

from springboard.cli.app import app
from springboard.deploy import assemble
from springboard.deploy.assemble import Runtime
from springboard.deploy.layout import Layout
from springboard.deploy.settings import Canary, Host, Worker
from springboard.endpoint.document import Limits
from springboard.system.checkout import ROOT
from tests.unit.deploy.conftest import Bench

ROLES = ROOT / "playbooks" / "roles"
HERE = Layout(Path("/"))


def text(path: str) -> str:
    return (ROOT / "playbooks" / path).read_text()


def defaults(role: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text(f"roles/{role}/defaults/main.yml"))
    return found


def combine(first: dict[str, Any], second: dict[str, Any], recursive: bool) -> dict[str, Any]:
    """Ansible's filter, as far as it is used."""
    merged = dict(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and recursive
        merged[key] = combine(merged[key], value, recursive) if both else value
    return merged


# What a host without a GPU says.
DEVICES = {"__model_release_devices": {"stdout_lines": ["0", "2"]}}


def host_yml(**variables: Any) -> dict[str, Any]:
    """host.yml as the role writes it."""
    environment = NativeEnvironment()
    environment.filters["combine"] = combine
    expressions = yaml.safe_load(text("roles/model_release/vars/main.yml"))
    runtime = {"stat": {"lnk_source": "/opt/springboard/worker/abc"}}
    given = defaults("model_release") | {"__model_release_runtime": runtime} | DEVICES | variables
    for name in ("_model_release_gpus", "_model_release_cores", "_model_release_workers"):
        given[name] = environment.from_string(expressions[name]).render(given)
    rendered: Any = environment.from_string(expressions["_model_release_host"]).render(given)
    assert isinstance(rendered, dict)
    return rendered


def test_the_role_writes_a_host_yml_that_deployments_read() -> None:
    """With the role's defaults it is what deployments take without it."""
    host = Host.model_validate(host_yml())
    worker = Worker(runtime=Path("/opt/springboard/worker/abc"))
    assert host == Host(models="", worker=worker)


@pytest.mark.parametrize(
    ("gpus", "cores", "given", "workers"),
    [
        (0, 8, "auto", 1),
        (1, 4, "auto", 2),
        (1, 1, "auto", 1),
        (4, 8, "auto", 2),
        (4, 7, "auto", 1),
        (4, 48, 3, 3),
        (0, 8, "3", 3),
    ],
)
def test_a_host_has_workers_by_its_gpus_and_cores(
    gpus: int, cores: int, given: int | str, workers: int
) -> None:
    asked = {"stdout_lines": [str(gpus), str(cores)]} if given == "auto" else {"skipped": True}
    written = host_yml(__model_release_devices=asked, model_release_workers=given)
    assert Host.model_validate(written).worker.workers == workers


def test_every_setting_can_be_given_by_a_variable() -> None:
    settings = {
        "shadow": {"release": "1.6.0"},
        "weight": 70,
        "beside": [{"name": "other", "release": "1.7.0", "weight": 30, "workers": 1}],
        "cors": {"origins": ["https://pages.example"]},
        "cache": {"max_bytes": 1_000_000},
        "page": False,
        "aliases": ["aqa-2021-08-04"],
        "variant": "AllTraffic",
        "unproven": True,
        "async": {"output": "s3://scores/dives", "max_concurrent": 2},
        "capture": {"destination": "s3://captured/dives", "sampling_percentage": 5},
        "truth": {"max_answers": 1000},
        "keep_warm_seconds": 60.0,
        "keep_releases": 5,
        "ready_timeout_seconds": 60.0,
        "release_signers": ["ssh-ed25519 AAAA ci@example.com"],
        "worker": {"workers": 3},
    }
    host = Host.model_validate(
        host_yml(
            model_release_models="s3://models",
            model_release_endpoint="dives",
            model_release_allowed_buckets=["dives"],
            model_release_limits=Limits().model_dump(),
            model_release_workers=2,
            model_release_canary=Canary().model_dump(mode="json"),
            model_release_front_url="http://127.0.0.1:9",
            model_release_channel=True,
            model_release_settings=settings,
        )
    )
    assert set(Host.model_fields) == host.model_fields_set
    assert host.worker.workers == 3


def test_what_variables_take_for_the_limits_defaults_they_are() -> None:
    """nginx and the units follow limits that nobody has set."""
    variables = (ROOT / "inventory/group_vars/all/springboard.yml").read_text()
    taken = re.findall(r"springboard_limits\.(\w+) \| default\((\d+)\)", variables)
    assert {name for name, _ in taken} == {"deadline_seconds", "max_body_bytes", "upload_idle_seconds"}
    for name, value in taken:
        assert getattr(Limits(), name) == int(value), name


@pytest.mark.parametrize(
    ("file", "pattern", "path"),
    [
        ("roles/model_release/tasks/main.yml", r"dest: (\S+host\.yml)", HERE.settings),
        ("roles/torchserve/tasks/main.yml", r"dest: (\S+torchserve@\.service)", HERE.unit),
        ("roles/front/templates/springboard-front.service", r"--endpoint-file (\S+)", HERE.endpoint),
        ("roles/front/tasks/build.yml", r"Path\('(\S+)'\)", HERE.endpoint),
        ("roles/front/tasks/main.yml", r"path: (\S+endpoint\.yml)", HERE.endpoint),
        ("rollback.yml", r"src: (\S+)", HERE.state),
        ("roles/model_release/tasks/follow.yml", r"'(/var/\S+\.json)'", HERE.followed),
        ("roles/model_release/tasks/follow.yml", r"'(/var/\S+)/springboard_follow.prom'", HERE.figures),
        ("roles/front/tasks/keys_follow.yml", r"(/var/\S+)/springboard_keys.prom", HERE.figures),
        ("roles/front/templates/springboard-keys-follow.service", r"-(/var/\S+)", HERE.figures),
        ("roles/torchserve/tasks/prune.yml", r"find (\S+)", HERE.instances),
        ("roles/base/tasks/accounts.yml", r"- (\S+/instances)", HERE.instances),
        ("roles/base/tasks/accounts.yml", r"- (\S+/releases)", HERE.releases),
    ],
)
def test_roles_and_deployments_mean_the_same_places(file: str, pattern: str, path: Path) -> None:
    assert set(re.findall(pattern, text(file))) == {str(path)}


def test_the_unit_and_the_pruning_find_what_an_instance_is_made_of(bench: Bench) -> None:
    bench.release("1.0.0")
    made = assemble.make(bench.layout, bench.host, "1.0.0")
    unit = text("roles/torchserve/templates/torchserve@.service")
    named = set(re.findall(rf"{HERE.instances}/%i/([\w.-]+)", unit))
    assert named == {"work", "cache", "sockets", "torchserve.env", "runtime", "model-store"}
    assert named <= {path.name for path in made.folder.iterdir()}
    assert f"-name {(made.folder / 'runtime').name} -printf '%l" in text("roles/torchserve/tasks/prune.yml")
    assert (made.folder / "runtime").readlink() == bench.host.worker.runtime
    assert f"User={assemble._USER}\n" in unit
    assert assemble._USER in yaml.safe_load(text("roles/base/vars/main.yml"))["_base_users"]
    assert yaml.safe_load(text("roles/base/vars/main.yml"))["_base_callers"] == assemble._CALLERS
    front = text("roles/front/templates/springboard-front.service")
    assert f"SupplementaryGroups={assemble._CALLERS}\n" in front


def test_a_runtime_is_described_as_deployments_read_it(tmp_path: Path) -> None:
    build = yaml.safe_load(text("roles/torchserve/tasks/build.yml"))
    (block,) = [task["block"] for task in build if "block" in task]
    (told,) = [
        task["vars"]["_torchserve_made"] for task in block if "_torchserve_made" in task.get("vars", {})
    ]
    described = dict.fromkeys(told, "1")
    (tmp_path / "runtime.json").write_text(str(described).replace("'", '"'))
    assert Runtime.load(tmp_path).id == "1"


def test_playbooks_and_timers_run_commands_that_there_are() -> None:
    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    offered = {
        (name, option)
        for name, one in commands.items()
        for parameter in one.params
        for option in parameter.opts
    }
    for name, file in (("deploy", "roles/model_release/vars/main.yml"), ("rollback", "rollback.yml")):
        options = re.findall(r"'(--[\w-]+)'", text(file))
        assert options
        assert {(name, option) for option in options} <= offered
    for file in ("rollback.yml", "roles/model_release/tasks/deploy.yml"):
        assert re.findall(r"'/usr/local/bin/springboard', '(\w+)'", text(file))[0] in commands
    tidy = text("roles/model_release/templates/springboard-tidy.service")
    assert re.findall(r"ExecStart=/usr/local/bin/springboard (\w+)", tidy)[0] in commands
