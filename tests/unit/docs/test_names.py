"""What the pages name is there: files, variables, metrics, error codes, tests, rooms."""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import springboard
from model_handler import video as decoding
from springboard.deploy.settings import Canary
from springboard.endpoint.document import Limits
from springboard.system.checkout import ROOT
from tests import pages

REFERENCE = ROOT / "docs" / "reference"
TEXT = {page: page.read_text(encoding="utf-8") for page in pages.PAGES}


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of every table."""
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line[:2] == "| "
    ]


@pytest.mark.parametrize("page", TEXT, ids=lambda page: page.name)
def test_files_are_where_pages_say(page: Path) -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {
        "build"
    }
    for name in re.findall(r"`([\w.*{},/-]+)`", TEXT[page]):
        top = name.partition("/")[0]
        if "/" not in name or top not in folders or name == "inventory/hosts.yml":
            continue
        for path in expanded(name):
            assert list(ROOT.glob(path)), name


def expanded(name: str) -> list[str]:
    """Return the paths of `a/{b,c}/d`."""
    found = re.search(r"\{([^}]*)\}", name)
    return [name.replace(found[0], one) for one in found[1].split(",")] if found else [name.rstrip("/")]


@pytest.mark.parametrize("page", TEXT, ids=lambda page: page.name)
def test_metrics_and_variables_are_there(page: Path) -> None:
    metrics = set(re.findall(r"\bspringboard_\w+", (REFERENCE / "metrics.md").read_text()))
    roles = "".join(path.name + "|" for path in (ROOT / "playbooks" / "roles").iterdir())
    sources = [*(ROOT / "playbooks").rglob("*.yml"), *(ROOT / "inventory").rglob("*.yml")]
    variables = set(re.findall(r"\w+", "".join(path.read_text() for path in sources)))
    for name in re.findall(rf"`((?:{roles}springboard)_\w+)`", TEXT[page]):
        assert name in metrics | variables, name


def test_tests_that_pages_name_are_there() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for text in TEXT.values():
        for name in re.findall(r"`(test_\w+)`", text):
            assert f"def {name}(" in tests or (name == "test_second_converge_changes_nothing"), name


def test_every_error_code_is_explained_with_its_status() -> None:
    there = {(row[0], row[1]) for row in rows((REFERENCE / "errors.md").read_text()) if row[0].isdigit()}
    explained = {
        (row[0], code)
        for row in rows(TEXT[ROOT / "docs" / "errors.md"])
        for code in re.findall(r"`\w+`", row[1])
        if row[0].isdigit()
    }
    edge = {
        pair
        for row in rows(TEXT[ROOT / "docs" / "errors.md"])
        for pair in re.findall(r"(\d+) (`[a-z_]+`)", row[1])
    }
    assert explained | edge >= there, there - explained - edge
    assert explained | edge <= there, (explained | edge) - there


def test_figures_of_the_code_are_the_pages() -> None:
    """Numbers that stand in prose, because a reader wants them there."""
    watch, deploy, call = (TEXT[ROOT / "docs" / f"{name}.md"] for name in ("watch", "deploy", "call"))
    alerts = [row for row in rows((REFERENCE / "alerts.md").read_text()) if row[0].startswith("[")]
    assert f"{len(alerts)} of them" in watch
    defaults = {f"`{name}`": field.default for name, field in Canary.model_fields.items()}
    assert {name for name in defaults if name not in deploy} == set()
    for row in rows(deploy):
        for name in re.findall(r"`max_\w+`", row[1]):
            assert row[2] == str(defaults[name]), name
    assert {name for name in fields(decoding.Limits) if f"`{name}`" not in call} == set()
    (block,) = [
        block for block in pages.every("check: endpoint.yml") if "these are the defaults" in block.text
    ]
    assert yaml.safe_load(block.text)["limits"] == Limits().model_dump()


def fields(kind: type[Any]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def test_architecture_shows_the_rooms_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [set(line.split(" | ")) for line in contracts[0]["layers"]]
    folders = [{room for room in line if (ROOT / "springboard" / room).is_dir()} for line in layers]
    shown = [
        set(re.findall(r"springboard\.(\w+)", row[1]))
        for row in rows(TEXT[ROOT / "docs" / "architecture.md"])
        if row[0].isdigit()
    ]
    assert shown == [line for line in folders if line]
    assert set().union(*layers) - {"__main__"} <= set(re.findall(r"\w+", springboard.__doc__ or ""))


def test_readme_shows_every_folder() -> None:
    house = TEXT[ROOT / "README.md"].partition("## The house")[2].partition("\n## ")[0]
    made = {"build", "__pycache__"}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."} - made
    folders = {name for name in folders if not name.endswith(".egg-info")}
    assert {name for name in folders if f"`{name}/`" not in house} == set()
