"""alerts.md: every alert, from the rules."""

import re

import yaml

from docs.reference.markdown import table
from springboard.system.checkout import ROOT


def page() -> str:
    """Return the page of alerts."""
    text = (
        "# Alerts\n\nWhat the rules in `monitoring/rules` tell of, each with its runbook: meaning, impact, "
        "diagnosis, mitigation. [Watch it](../watch.md) says where they go.\n"
    )
    for file in sorted((ROOT / "monitoring" / "rules").glob("*.yml")):
        groups = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
        if alerts:
            about = file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
            rows = [_row(rule) for rule in alerts]
            text += f"\n## {file.stem}\n\n{about}\n\n" + table(("alert", "severity", "after", "tells"), rows)
    return text


def _row(rule: dict[str, object]) -> tuple[str, str, str, str]:
    name = str(rule["alert"])
    labels, annotations = rule["labels"], rule["annotations"]
    assert isinstance(labels, dict) and isinstance(annotations, dict)  # noqa: S101, PT018 - for mypy
    # Which one it is of, and how much of it, is in the alert itself.
    summary = re.sub(r"^\{\{ [^}]+ \}\}: ", "", annotations["summary"])
    summary = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"`\1`", summary)
    summary = re.sub(r"\{\{ [^}]+ \}\}", "N", summary)
    return (
        f"[{name}](../../monitoring/runbooks/{name}.md)",
        labels["severity"],
        str(rule.get("for", "")),
        summary,
    )
