"""The blocks of README and docs/, each with the way in which a test executes or validates it.

A comment before a block names that way: `<!-- run: NAME -->` where a test executes it, `<!-- check: NAME -->`
where one validates it. unit/docs/test_blocks.py refuses a block of commands, Python, YAML or JSON without
one, and one that no test knows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from springboard.system.checkout import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
_WAY = re.compile(r"<!-- (?P<way>run|check): (?P<name>[^>]+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, `run: NAME` or `check: NAME` (or ""), its text."""

    page: Path
    line: int
    language: str
    way: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """Return the commands of a block of shell, a line that ends with a backslash joined with its next."""
        lines = (line.strip() for line in self.text.replace("\\\n", " ").splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def blocks(page: Path) -> Iterator[Block]:
    """Yield a page's blocks in their order. One without a fence has the language "?"."""
    way = ""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            found = _WAY.fullmatch(token.content.strip())
            way = f"{found['way']}: {found['name']}" if found else ""
        elif token.type in ("fence", "code_block"):
            line = token.map[0] + 1 if token.map else 0
            yield Block(page, line, token.info.strip() if token.type == "fence" else "?", way, token.content)
            way = ""
        elif token.type != "inline":
            way = ""


def every(way: str, language: str = "") -> list[Block]:
    """Return the blocks of all pages that are handled in this way."""
    found = [block for page in PAGES for block in blocks(page)]
    return [block for block in found if block.way == way and language in ("", block.language)]
