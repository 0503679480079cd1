"""Rules: valid, tested on all sides, with a runbook each, and only of metrics that exist."""

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.promql import metrics_of
from tests.monitoring.stack import RULES, Stack
from tests.stands.waiting import wait_until

RUNBOOKS = RULES.parent / "runbooks"
TESTS = sorted((RULES / "tests").glob("*.yml"))


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
# It is never silent: whoever is sent it misses it.
WATCHDOG = "SpringboardWatchdog"


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("tools")
def test_rules_are_valid() -> None:
    done = promtool("check", "rules", *RULES.glob("*.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_resolve_when_they_should(path: Path) -> None:
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", sorted(ALERTS.keys() - {WATCHDOG}))
def test_every_alert_is_tested_silent_firing_resolved_and_at_its_edge(alert: str) -> None:
    groups = [group for path in TESTS for group in yaml.safe_load(path.read_text())["tests"]]
    (story,) = [group for group in groups if group["name"] == alert]
    fired = [bool(at["exp_alerts"]) for at in story["alert_rule_test"] if at["alertname"] == alert]
    assert fired == [False, True, False]
    assert [group for group in groups if group["name"].startswith(f"{alert} at its edge")]
    edges = [group for group in groups if _is_edge(group["name"], alert)]
    assert not any(at["exp_alerts"] for group in edges for at in group["alert_rule_test"])


@pytest.mark.usefixtures("tools")
def test_edges_are_edges(tmp_path: Path) -> None:
    """With thresholds a little looser and without `for`, every alert fires at what was its edge."""
    shutil.copytree(RULES, tmp_path / "rules")
    for path in (tmp_path / "rules").glob("*.yml"):
        document = yaml.safe_load(path.read_text())
        for group in document["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    rule.pop("for", None)
                    rule["expr"] = loosened(rule["expr"])
        path.write_text(yaml.safe_dump(document))
    stayed = set()
    for path in (tmp_path / "rules" / "tests").glob("*.yml"):
        document = yaml.safe_load(path.read_text())
        document["tests"] = [group for group in document["tests"] if "at its edge" in group["name"]]
        path.write_text(yaml.safe_dump(document))
        done = promtool("test", "rules", path)
        failed = set(re.findall(r"name: (.*),", done.stdout + done.stderr))
        stayed |= {group["name"] for group in document["tests"]} - failed
    assert not stayed


def conditions_dropped() -> Iterator[tuple[str, str]]:
    """Every alert's name with its expression less one operand of an `and` or `unless`."""
    for alert, rule in ALERTS.items():
        for expression in without_a_condition(rule["expr"]):
            yield alert, expression


def without_a_condition(expression: str) -> Iterator[str]:
    """Leave out each operand of an `and`, each right one of an `unless`, in whatever brackets."""
    groups: dict[int, list[tuple[int, str, int]]] = {0: []}  # operators by where their brackets open
    opened, ends = [0], {0: len(expression)}
    for found in re.finditer(r"[()]|\b(?:and|or|unless)\b(?: on \([^)]*\))?", expression):
        if found[0] == "(":
            opened.append(found.end())
            groups[found.end()] = []
        elif found[0] == ")":
            ends[opened.pop()] = found.start()
        else:
            groups[opened[-1]].append((found.start(), found[0].split()[0], found.end()))
    for start, operators in groups.items():
        marks = [(start, "", start), *operators, (ends[start], "", ends[start])]
        for (begin, before, after), (end, following, rest) in itertools.pairwise(marks):
            if before in ("and", "unless"):
                yield expression[:begin] + expression[end:]
            elif following == "and":
                yield expression[:after] + " " + expression[rest:]


def test_conditions_are_found_in_brackets_too() -> None:
    assert [
        " ".join(one.split()) for one in without_a_condition("(a > 1 and b or c(x)) unless on (h) d > 2")
    ] == [
        "(a > 1 and b or c(x))",
        "( b or c(x)) unless on (h) d > 2",
        "(a > 1 or c(x)) unless on (h) d > 2",
    ]


@pytest.mark.usefixtures("tools")
def test_every_condition_keeps_its_alert_silent_at_an_edge(tmp_path: Path) -> None:
    """Without any one of an alert's conditions, one of its edges is not silent any more."""
    mutants: dict[str, dict[str, str]] = {}
    for alert, expression in conditions_dropped():
        known = mutants.setdefault(alert, {})
        known[f"{alert}_{len(known)}"] = expression
    shutil.copytree(RULES, tmp_path / "rules")
    for path in (tmp_path / "rules").glob("*.yml"):
        path.write_text(yaml.safe_dump(_mutated(yaml.safe_load(path.read_text()), mutants)))
    done = promtool("check", "rules", *(tmp_path / "rules").glob("*.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    tests = sorted((tmp_path / "rules" / "tests").glob("*.yml"))
    for path in tests:
        path.write_text(yaml.safe_dump(_edges(yaml.safe_load(path.read_text()), mutants)))
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda path: promtool("test", "rules", path), tests))
    fired = {name for done in runs for name in re.findall(r"alertname: (\w+),", done.stdout + done.stderr)}
    assert not {name: text for known in mutants.values() for name, text in known.items() if name not in fired}


def _mutated(document: dict[str, Any], mutants: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return a file of rules with each alert's mutants in its place, so that one run tries them all."""
    for group in document["groups"]:
        group["rules"] = [
            {**rule, **other}
            for rule in group["rules"]
            for other in (
                [{"alert": name, "expr": expression} for name, expression in mutants[rule["alert"]].items()]
                if rule.get("alert") in mutants
                else [{}]
            )
        ]
    return document


def _edges(document: dict[str, Any], mutants: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return a file of tests with the edges alone, each of which expects silence of the alert's mutants."""
    edges = []
    for alert, known in mutants.items():
        for test in document["tests"]:
            if _is_edge(test["name"], alert):
                silent = [
                    {**at, "alertname": name}
                    for at in test["alert_rule_test"]
                    for name in known
                    if at["alertname"] == alert
                ]
                edges.append({**test, "alert_rule_test": silent})
    return {**document, "tests": edges}


def _is_edge(test: str, alert: str) -> bool:
    return test.startswith((f"{alert} at its edge", f"{alert} but "))


def loosened(expression: str) -> str:
    """Move each threshold by a tenth, and let it be reached."""

    def looser(found: re.Match[str]) -> str:
        comparison, number = found[1], float(found[2])
        if re.findall(r"\b(?:and|or|unless)\b", found.string[: found.start()])[-1:] == ["unless"]:
            return f"{comparison} {number * 0.9!r}"
        if comparison in (">", ">="):
            return f">= {number * 0.9!r}"
        return f"<= {number * 1.1!r}"

    expression = re.sub(r"(>=|>)\s*1 - scalar", ">= 0.9 * (1 - scalar", expression)
    expression = re.sub(r"(0\.9 \* \(1 - scalar\([^)]*\))", r"\1)", expression)
    return re.sub(r"(>=|<=|>|<) (\d+(?:\.\d+)?)(?![\w.])", looser, expression)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in (("none",) if alert == WATCHDOG else ("warning", "critical"))
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"{{{{ $externalLabels.runbooks }}}}/{alert}.md"
    text = (RUNBOOKS / f"{alert}.md").read_text()
    headings = re.findall(r"^#+ .*", text, re.MULTILINE)
    assert headings == [f"# {alert}", "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
    sections = [part.strip() for part in re.split(r"^## .*", text, flags=re.MULTILINE)[1:]]
    assert all(sections)
    assert "\n    " in f"\n{sections[2]}", "Diagnosis has a command"


# What roles base, edge, exporters, front, gpu and prometheus bring, and what every Debian or Ubuntu has.
ON_A_HOST = {
    *(
        "amtool",
        "ansible-inventory",
        "apt-get",
        "cat",
        "curl",
        "cut",
        "df",
        "du",
        "echo",
        "grep",
        "head",
        "journalctl",
        "jq",
    ),
    *(
        "ls",
        "nvidia-smi",
        "openssl",
        "promtool",
        "runuser",
        "sort",
        "springboard",
        "systemctl",
        "tail",
        "uname",
    ),
    *("timedatectl", "uniq"),
}


@pytest.mark.parametrize("alert", ALERTS)
def test_runbooks_take_only_commands_that_are_there(alert: str) -> None:
    for line in re.findall(r"^    (.*)", (RUNBOOKS / f"{alert}.md").read_text(), re.MULTILINE):
        unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", line)
        commands = {part.split()[0] for part in re.split(r"[|;]", unquoted) if part.strip()}
        assert commands <= ON_A_HOST, line


def test_no_runbook_is_left_of_an_alert_that_went() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)


def test_runbooks_lead_to_each_other() -> None:
    for path in RUNBOOKS.glob("*.md"):
        for link in re.findall(r"\]\((?!https:)([^)]*)\)", path.read_text()):
            assert (RUNBOOKS / link).is_file(), f"{path.name} links to {link}"


def test_rules_speak_only_of_metrics_that_are_really_exported(stack: Stack) -> None:
    named = {name for rule in rules() for name in metrics_of(rule["expr"])}
    assert "springboard_gpu_xid_errors_total" in named, "the parser finds names"

    def unknown() -> set[str]:
        return named - stack.metric_names()

    wait_until(lambda: not unknown(), f"a sample of each of {sorted(unknown())}", 60)
