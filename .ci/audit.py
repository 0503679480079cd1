#!/usr/bin/env python3
"""Asks the public advisories (osv.dev) about our packages and the netty in TorchServe's jar.

usage: .ci/audit.py JAR    with pip-audit in PATH (requirements/audit.txt), and a network

Ends with 1 where there is an advisory that .ci/audit.yml does not name, or names no longer.
"""

import datetime
import json
import re
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LISTS = ("worker", "front", "openvino", "dev", "docs", "peers", "quantise", "torch-cuda")
OSV = "https://api.osv.dev/v1"


def allowed(entries: list[dict[str, Any]], today: datetime.date) -> tuple[set[str], list[str]]:
    """Return the ids that do not concern us, and a complaint of each whose day is over."""
    return (
        {one["id"] for one in entries if one["until"] >= today},
        [
            f"{one['id']}: look again, until {one['until']} it was taken for harmless ({one['why']})"
            for one in entries
            if one["until"] < today
        ],
    )


def libraries(jar: Path) -> list[tuple[str, str]]:
    """Return the libraries that a jar of many tells of, as (group:artifact, version).

    TorchServe's has dropped what the others' build systems wrote; netty tells of itself.
    """
    with zipfile.ZipFile(jar) as archive:
        text = archive.read("META-INF/io.netty.versions.properties").decode()
    found = re.findall(r"^([\w-]+)\.version=(\S+)$", text, re.MULTILINE)
    return sorted({(f"io.netty:{name}", version) for name, version in found})


def ask(path: str, question: object = None) -> Any:
    """Ask osv.dev."""
    data = json.dumps(question).encode() if question else None
    with urllib.request.urlopen(f"{OSV}/{path}", data, 60) as answer:  # noqa: S310 - https, by the constant
        return json.load(answer)


def of_jar(jar: Path, known: set[str]) -> list[str]:
    """Return the advisories about a jar's libraries that are not known."""
    named = libraries(jar)
    queries = [
        {"package": {"ecosystem": "Maven", "name": name}, "version": version} for name, version in named
    ]
    unknown = []
    for (name, version), answer in zip(
        named, ask("querybatch", {"queries": queries})["results"], strict=True
    ):
        for one in answer.get("vulns", []):
            ids = {one["id"], *ask(f"vulns/{one['id']}").get("aliases", [])}
            if not ids & known:
                unknown.append(f"{name} {version}: {', '.join(sorted(ids))}")
    return unknown


def of_packages(known: set[str]) -> list[str]:
    """Have pip-audit look at every list of packages; return those with advisories that are not known."""
    ignored = [word for one in sorted(known) for word in ("--ignore-vuln", one)]
    unknown = []
    for name in LISTS:
        command = ["pip-audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off", *ignored]
        if subprocess.run([*command, "-r", str(ROOT / f"requirements/{name}.txt")], check=False).returncode:
            unknown.append(f"requirements/{name}.txt: see above")
    return unknown


def main() -> None:
    """Say what is new, and end with 1 where something is."""
    entries = yaml.safe_load((ROOT / ".ci/audit.yml").read_text())
    known, overdue = allowed(entries, datetime.datetime.now(datetime.UTC).date())
    found = [*overdue, *of_packages(known), *of_jar(Path(sys.argv[1]), known)]
    print("\n".join(found) or "nothing new")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
