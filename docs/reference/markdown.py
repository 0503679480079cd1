"""Markdown, as the pages use it."""

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a cell's line breaks become spaces and its bars are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """Return it as code, or nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def prose(docstring: str | None) -> str:
    """Return a docstring without its indentation."""
    lines = (docstring or "").strip().splitlines()
    return "\n".join(line.strip() for line in lines)


def anchor(heading: str) -> str:
    """Return a heading's anchor, as forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
