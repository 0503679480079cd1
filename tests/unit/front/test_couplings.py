"""What other files know of the front without importing it: each list here is compared with the code."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI
from jinja2 import Environment
from starlette.routing import Mount

from model_handler.request.errors import ScoringError
from springboard.auth import following
from springboard.auth.check import Auth, MetricsRule, Mode
from springboard.auth.keys import Keys
from springboard.deploy import figures, follow, told, upkeep
from springboard.endpoint.document import Endpoint
from springboard.front import server
from springboard.front.errors import BodyTooLarge
from springboard.front.front import Front
from springboard.front.metrics import names
from springboard.front.routes import create_app
from springboard.refusal import Refusal
from springboard.system.checkout import ROOT

EDGE = ROOT / "playbooks" / "roles" / "edge"
# What nginx, the balancer's side, answers with words that the front has no error class for.
NGINX_ONLY = {"no_such_route", "front_unreachable"}
# Told by GpuWatch, TorchServe and prometheus_client.
OTHERS = ("springboard_gpu_", "springboard_torchserve_", "process_")
LOGGERS = {"access", "exchange", "front", "dispatch", "readiness", "shadow", "server"}


def idle_front() -> Front:
    return Front(Endpoint(variants=()), Auth(frozenset({Mode.NONE}), Keys()), httpx.AsyncClient())


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(idle_front(), MetricsRule.OPEN)


def paths(app: FastAPI) -> set[str]:
    """Each route as a path that could be asked for; the page's own files stand for what is mounted."""
    found = set()
    for route in app.routes:
        path: str = route.path  # type: ignore[attr-defined]
        found.add(f"{path}/file" if isinstance(route, Mount) else re.sub(r"{[^}]*}", "dive", path))
    return found


def locations(control: bool = False) -> Iterator[tuple[str, str]]:
    """The public server's locations, as (modifier, path); those of a loop come one by one."""
    text = (EDGE / "templates" / "nginx.conf.j2").read_text().partition("# nginx's own counters")[0]
    given = Environment(autoescape=True).compile_expression
    (below,) = re.findall(r"{% set further = (.*?) %}", text)
    place = "location {{ path }} {"
    for listed in re.findall(r"{% for path in (.*?) %}", text):
        found = given(listed)(edge_control=control, further=given(below)()) or ()
        text = text.replace(place, "".join(place.replace("{{ path }}", path) + "\n" for path in found), 1)
    yield from re.findall(r"location (=|~|) ?(\S+) {", text)


def test_every_route_passes_the_edge_and_the_edge_lets_nothing_else_pass(app: FastAPI) -> None:
    exact = {path for modifier, path in locations() if modifier}
    prefixes = {path for modifier, path in locations() if not modifier} - {"/"}
    asked = paths(app)
    assert len(exact) > 4
    assert not {path for path in asked if path not in exact and not path.startswith(tuple(prefixes))}
    # `/` answers 404 in the front's words.
    assert exact - {"/"} <= asked | {f"{path}/" for path in asked}
    assert not {prefix for prefix in prefixes if not any(path.startswith(prefix) for path in asked)}


def test_all_that_passes_the_edge_passes_it_below_a_further_endpoints_path() -> None:
    given = list(locations(control=True))
    further = [re.compile(path) for modifier, path in given if modifier == "~"]
    assert len(further) == 3
    for modifier, path in given:
        if modifier == "~" or path.startswith(("/.errors/", "/stub_status")) or path in ("/", "/endpoints/"):
            continue
        asked = f"/endpoints/others/front{path}{'' if modifier else 'more'}"
        assert sum(bool(one.match(asked)) for one in further) == 1, asked
    assert not any(one.match("/endpoints/others/invocations") for one in further)


def errors() -> dict[str, type[ScoringError]]:
    found, left = {}, [ScoringError]
    while left:
        one = left.pop()
        found[one.code] = one
        left += one.__subclasses__()
    return found


def edge_errors() -> list[dict[str, Any]]:
    variables = yaml.safe_load((EDGE / "vars" / "main.yml").read_text())
    return list(variables["_edge_errors"])


@pytest.mark.parametrize("error", edge_errors(), ids=lambda error: str(error["nginx"]))
def test_the_edges_own_errors_are_the_fronts(error: dict[str, Any]) -> None:
    if error["code"] in NGINX_ONLY:
        return
    known = errors()[error["code"]]
    assert error["status"] == known.status
    if typed := error.get("typed"):
        own = known.sagemaker if issubclass(known, Refusal) else None
        assert tuple(typed) == (own or (424, "ModelError"))
    if known is BodyTooLarge:
        told = re.sub(r"{{.*?}}", "25,000,000", error["message"])
        assert told.split() == BodyTooLarge(25_000_000).message.split()
        assert set(error["more"]) == set(BodyTooLarge(1).details)


def test_loggers_keep_the_names_that_readers_filter_by() -> None:
    for module in (ROOT / "springboard" / "front").rglob("*.py"):
        for name in re.findall(r"getLogger\((.*?)\)", module.read_text()):
            assert name.strip('"').removeprefix("springboard.") in LOGGERS, module
    assert server.log.name == "springboard.server"
    assert {f"springboard.{name}" for name in LOGGERS} <= set(logging.Logger.manager.loggerDict)


@pytest.fixture(scope="module")
def rendered() -> set[str]:
    """The names of all samples that a front with a GPU can show, and of TorchServe's page."""
    script = """if True:
        from tests.unit.front.test_couplings import idle_front
        import time
        metrics = idle_front().metrics
        with metrics.gpus:
            # A thread of its own asks the GPU.
            while not any("gpu" in family.name for family in metrics.registry.collect()):
                time.sleep(0.01)
            families = list(metrics.registry.collect())
        for family in families:
            ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            print(*(family.name + end for end in ends.get(family.type, [""])))
    """
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'tests' / 'stands' / 'nvml'}:{ROOT}",
        "SPRINGBOARD_STAND_IN_XIDS": os.devnull,
    }
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    return {*run.stdout.split(), "springboard_torchserve_up"}


@pytest.fixture(scope="module")
def shown(rendered: set[str]) -> set[str]:
    """Those, and what deployments and hosts tell node exporter."""
    return rendered | set(told.ABOUT) | set(upkeep.ABOUT) | set(follow.ABOUT) | set(following.ABOUT)


def samples(declared: names.Declared) -> set[str]:
    ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    return {declared.name + end for end in ends[declared.kind]}


def test_what_is_declared_is_what_is_rendered(rendered: set[str]) -> None:
    declared = {name for one in names.ALL for name in samples(one)}
    others = {name for name in rendered if name.startswith(OTHERS)}
    assert declared == rendered - others
    assert others


def readers() -> Iterator[Path]:
    for folder in ("rules", "dashboards", "runbooks"):
        for end in ("yml", "json", "md"):
            yield from (ROOT / "monitoring" / folder).glob(f"*.{end}")
    yield from (ROOT / "springboard" / "client").glob("*.py")


def variables() -> set[str]:
    """Public variables of playbooks have the same beginning: runbooks name them too."""
    files = [*(ROOT / "playbooks").rglob("*.yml"), *(ROOT / "inventory").rglob("*.yml")]
    return {name for file in files for name in re.findall(r"\b(springboard_[a-z_]+)\b", file.read_text())}


def test_every_metric_that_is_read_is_rendered(shown: set[str]) -> None:
    # A histogram may go by its bare name; `springboard_x_...` is short for several.
    known = shown | {re.sub("_(total|bucket|sum|count)$", "", name) for name in shown} | variables()
    read = set()
    for reader in readers():
        text = re.sub(r"\w+:springboard_\w+:\w+", "", reader.read_text())
        for name in re.findall(r"\bspringboard_[a-z0-9_]+", text):
            read.add(name)
            assert name in known or (name.endswith("_") and any(one.startswith(name) for one in known)), (
                f"{reader} reads {name}"
            )
    assert len(read) > 30


def test_what_a_deployment_reads_is_rendered(rendered: set[str]) -> None:
    assert len(figures.READ) > 5
    assert set(figures.READ) <= rendered
