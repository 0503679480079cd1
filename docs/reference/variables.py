"""variables.md: what the roles can be told, from their argument_specs and defaults."""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from docs.reference.markdown import code, table
from springboard.system.checkout import ROOT


def page() -> str:
    """Return the page of role variables."""
    text = (
        "# Role variables\n\nWhat each Ansible role can be told. Most are set from the knobs in "
        "`inventory/group_vars/all`, which have comments; turn those first.\n"
    )
    for role in sorted((ROOT / "playbooks" / "roles").iterdir()):
        specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
        defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text(encoding="utf-8")) or {}
        entries = specs["argument_specs"]
        spec, options = entries["main"], _options(entries.values())
        about = f"{spec['short_description'].rstrip('.')}. {_said(spec.get('description'))}"
        text += f"\n## {role.name}\n\n{about}\n"
        rows = [
            (code(name), _kind(one), _default(defaults.get(name)), _said(one["description"]))
            for name, one in options.items()
        ]
        text += "\n" + table(("variable", "type", "default", "meaning"), rows) if rows else ""
    return text


def _options(specs: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: option for spec in specs for name, option in spec.get("options", {}).items()}


def _kind(option: dict[str, Any]) -> str:
    kind = option.get("type", "str")
    elements = f" of {option['elements']}" if "elements" in option else ""
    choices = f": {', '.join(map(str, option['choices']))}" if "choices" in option else ""
    return f"{kind}{elements}{choices}"


def _default(value: object) -> str:
    shown = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=9999)
    return code(" ".join(str(shown).removesuffix("...\n").split()))


def _said(text: str | list[str] | None) -> str:
    said = " ".join([text] if isinstance(text, str) else text or [])
    return re.sub(r"\bC\(([^)]*)\)", r"`\1`", said)
