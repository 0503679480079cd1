"""What a thousand dives cost, by the dated price table of docs/aws.md."""

import re

from springboard.system.checkout import ROOT

_ROW = re.compile(r"^\| `([a-z0-9.]+)` \|.*\| (\d+) \| ([\d.]+) \| [\d,]+ \|$", re.MULTILINE)
_DATE = re.compile(r"as of (\w+ \d{4})")


def table() -> tuple[str, dict[str, float]]:
    """Return the table's date, and dollars an hour by instance type."""
    text = (ROOT / "docs" / "aws.md").read_text()
    prices = {name: float(dollars) for name, _, dollars in _ROW.findall(text)}
    dated = _DATE.search(text)
    assert prices
    assert dated
    return dated[1], prices


def per_thousand(rate: float) -> dict[str, float]:
    """Return dollars for a thousand dives by instance type, were this the rate (dives a second) of each."""
    _, prices = table()
    return {name: round(dollars / (3.6 * rate), 4) for name, dollars in prices.items()} if rate else {}
