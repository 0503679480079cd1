"""Dashboards: of Grafana's own types, complete, and with data in every panel for every variable's value."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from monitoring.dashboards import build
from tests.monitoring.promql import metrics_of
from tests.monitoring.stack import Stack
from tests.stands.waiting import wait_until

FOLDER = Path(build.__file__).parent
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
# Of Grafana's ids, those that are used and were looked up.
UNITS = {
    *("none", "short", "percentunit", "reqps", "ops", "s", "ms", "µs", "bytes", "Bps"),
    *("celsius", "watt", "joule"),
}
# Versions that were there when this was written; npm's newest may change under us.
PACKAGES = ("@grafana/schema@13.2.3", "typescript@7.0.2")


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]


def queries(name: str) -> list[tuple[str, str]]:
    """Every query with the panel it is in, the annotations' too."""
    found = [(panel["title"], target["expr"]) for panel in panels(name) for target in panel["targets"]]
    marks = DASHBOARDS[name]["annotations"]["list"]
    return found + [(f"marks: {one['name']}", one["target"]["expr"]) for one in marks]


def test_dashboards_are_what_their_sources_say() -> None:
    written = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert written == build.render(), "run: python -m monitoring.dashboards.build"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_complete(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == f"springboard-{name}"
    assert [one["name"] for one in dashboard["templating"]["list"]] == [
        *("datasource", "endpoint", "host", "variant", "release")
    ]
    linked = {link["url"].removeprefix("/d/springboard-") for link in dashboard["links"]}
    assert linked == set(DASHBOARDS) - {name}
    assert {"Deploys", "Weights"} <= {one["name"] for one in dashboard["annotations"]["list"]}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels(name):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_heeds_the_host_variable(name: str) -> None:
    for panel in panels(name):
        for target in panel["targets"]:
            # Objectives are the endpoint's; Prometheus watches all hosts.
            names = metrics_of(target["expr"])
            whole = {
                metric
                for metric in names
                if metric.startswith(("endpoint:", "endpoint_release:", "springboard:"))
            }
            whole |= names & {"ALERTS"} | {metric for metric in names if "_config_last_" in metric}
            assert "$host" in target["expr"] or whole or "30 days" in panel["title"], panel["title"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_dashboards_have_grafanas_types(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("in CI, needs npm (Node.js)")
        pytest.skip("needs npm (Node.js)")
    (tmp_path / "package.json").write_text('{"private": true}')
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", *PACKAGES]
    done = subprocess.run(install, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"npm's registry is not reachable: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    shutil.copy(Path(__file__).with_name("dashboards.ts"), tmp_path)
    for name in DASHBOARDS:
        text = (FOLDER / f"{name}.json").read_text()
        (tmp_path / f"{name}.ts").write_text(
            f"import type {{ Strict }} from './dashboards.js'; export const dashboard: Strict = {text};"
        )
    # What Grafana's types must refuse, to see that they are applied at all.
    broken = (FOLDER / "host.json").read_text().replace('"colorMode": "value"', '"colorMode": "vlaue"')
    (tmp_path / "broken.ts").write_text(
        f"import type {{ Strict }} from './dashboards.js'; export const dashboard: Strict = {broken};"
    )
    options = ["--strict", "--noEmit", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"]
    tsc = [str(tmp_path / "node_modules" / ".bin" / "tsc"), *options, *(f"{name}.ts" for name in DASHBOARDS)]
    done = subprocess.run(tsc, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    done = subprocess.run([*tsc, "broken.ts"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert '"vlaue"' in done.stdout


def test_dashboards_speak_only_of_metrics_that_are_really_exported(stack: Stack) -> None:
    named = {
        metric for name in DASHBOARDS for _, expression in queries(name) for metric in metrics_of(expression)
    }
    # Prometheus' own, there while an alert is pending or firing.
    named -= {"ALERTS"}
    wait_until(lambda: named <= stack.metric_names(), f"{named - stack.metric_names()}", 60)


def values_of(stack: Stack, query: str, chosen: dict[str, str]) -> list[str]:
    """Do as Grafana does with `label_values(series, label)`."""
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
    assert found, query
    series = with_variables(found[1], chosen)
    return sorted(stack.ask(f"label/{found[2]}/values", **{"match[]": series}))


def with_variables(expression: str, chosen: dict[str, str]) -> str:
    for variable, value in chosen.items():
        expression = expression.replace(f"${variable}", value)
    # Four scrapes, as Grafana takes it, but of a second here.
    return expression.replace("$__rate_interval", "20s")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_shows_data_for_every_value_of_every_variable(stack: Stack, name: str) -> None:
    everything = {one["name"]: ".*" for one in DASHBOARDS[name]["templating"]["list"]}
    choices = [everything]
    for one in DASHBOARDS[name]["templating"]["list"]:
        if one["type"] == "query":
            values = values_of(stack, one["query"]["query"], everything)
            assert values, one["name"]
            choices += [{**everything, one["name"]: value} for value in values]
    assert {choice["variant"] for choice in choices} == {".*", "stable", "canary"}
    assert {choice["release"] for choice in choices} == {".*", "1.0.0", "1.1.0"}
    stack.make_annotations()

    # Many panels do not ask for this or that variable.
    missing = {
        with_variables(expression, choice): title
        for choice in choices
        for title, expression in queries(name)
        if title != "marks: Alerts"  # nothing critical is wrong here
    }

    def complete() -> bool:
        for expression in list(missing):
            if has_data(stack, expression):
                del missing[expression]
        return not missing

    try:
        wait_until(complete, "data in every panel", 240)
    except AssertionError:
        pytest.fail(f"no data in: {missing}")


def has_data(stack: Stack, expression: str) -> bool:
    """Whether a graph of the last two minutes would show a number, as Grafana asks for it."""
    now = time.time()
    answer = stack.ask("query_range", query=expression, start=now - 120, end=now, step=5)
    return any(value != "NaN" for series in answer["result"] for _, value in series["values"])
