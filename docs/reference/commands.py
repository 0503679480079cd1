"""commands.md: the `springboard` command and archive.sh, as their own --help says it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from docs.reference.markdown import code, prose, table
from springboard.cli.app import app
from springboard.system.checkout import ROOT


def page() -> str:
    """Return the page of the command line."""
    text = "# Command line\n\n`springboard` is `.venv/bin/springboard` in a clone and on every host's path.\n"
    for name, command in _leaves("springboard", typer.main.get_command(app)):
        context = command.make_context(name, [], resilient_parsing=True)
        records = [one.get_help_record(context) for one in command.get_params(context)]
        rows = [
            (code(usage), _shown(meaning)) for usage, meaning in filter(None, records) if usage != "--help"
        ]
        text += f"\n## {name}\n\n{prose(command.help)}\n"
        text += "\n" + table(("", ""), rows) if rows else ""
    shown = subprocess.run(
        [ROOT / "archive.sh", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    return text + f"\n## archive.sh\n\n```text\n{shown.rstrip()}\n```\n"


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name; typer's classes have no public types."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for part in sorted(below):
        yield from _leaves(f"{name} {part}", below[part])


def _shown(meaning: str) -> str:
    return meaning.replace(str(Path.home()), "~").replace("[", "(").replace("]", ")")
