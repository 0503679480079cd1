"""What CI's audit lets through, and what it does not. The advisories are asked where there is a network."""

import datetime
import importlib.util
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from springboard.system.checkout import ROOT

TODAY = datetime.date(2026, 11, 28)


@pytest.fixture
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "model-server.jar"
    with zipfile.ZipFile(path, "w") as archive:
        told = "netty-codec-http.version=4.1.53.Final\nnetty-codec-http.longCommitHash=abc\n"
        archive.writestr("META-INF/io.netty.versions.properties", told)
    return path


def test_what_is_not_on_the_list_is_told(audit: Any, jar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(path: str, question: object = None) -> Any:
        asked.append(question)
        if path == "querybatch":
            return {"results": [{"vulns": [{"id": "GHSA-1"}, {"id": "GHSA-2"}]}]}
        return {"aliases": ["CVE-2020-1"]} if path == "vulns/GHSA-1" else {}

    monkeypatch.setattr(audit, "ask", ask)
    assert audit.of_jar(jar, {"CVE-2020-1"}) == ["io.netty:netty-codec-http 4.1.53.Final: GHSA-2"]
    package = {"ecosystem": "Maven", "name": "io.netty:netty-codec-http"}
    assert asked[0] == {"queries": [{"package": package, "version": "4.1.53.Final"}]}


def test_what_was_let_through_comes_back_after_its_day(audit: Any) -> None:
    entries = [
        {"id": "CVE-2020-1", "until": TODAY, "why": "x"},
        {"id": "CVE-2020-2", "until": TODAY - datetime.timedelta(days=1), "why": "not in use"},
    ]
    known, overdue = audit.allowed(entries, TODAY)
    assert known == {"CVE-2020-1"}
    assert overdue == [
        "CVE-2020-2: look again, until 2026-11-27 it was taken for harmless (not in use)",
    ]


def test_the_list_and_the_page_tell_of_the_same_faults() -> None:
    entries = yaml.safe_load((ROOT / ".ci/audit.yml").read_text())
    ids = [entry["id"] for entry in entries]
    assert ids == sorted(set(ids))
    assert all(isinstance(one["until"], datetime.date) and one["why"] for one in entries)
    page = (ROOT / "docs/dependencies.md").read_text()
    assert set(re.findall(r"CVE-\d+-\d+", page)) == set(ids)


def test_every_list_of_packages_is_asked_about(audit: Any) -> None:
    # The CPU's torch is the CUDA one's version, and is on no index that the advisories know.
    lists = {path.stem for path in (ROOT / "requirements").glob("*.txt")} - {"torch-cpu", "audit"}
    assert set(audit.LISTS) == lists


def test_the_workflow_finds_torchserve_among_the_packages() -> None:
    workflow = (ROOT / ".github/workflows/audit.yml").read_text()
    (command,) = re.findall(r"(sed -n .*requirements/worker\.txt)", workflow)
    found = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.fullmatch(r"torchserve==\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", found)
