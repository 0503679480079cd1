"""The table that `springboard fleet` draws."""

import time
from collections import Counter
from contextlib import suppress

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from springboard.client.fleet import Fleet, Row
from springboard.client.view import said_seconds

_LOUD = {"silent": "bold red", "differs": "bold yellow", "draining": "yellow"}
_RIGHT, _FOLDED = ("ready", "rate", "p95", "GPU", "age"), ("host", "type", "release")


def watch(fleet: Fleet, console: Console, seconds: float) -> None:
    """Draw again and again until Ctrl-C."""
    with suppress(KeyboardInterrupt), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            fleet.look()
            live.update(drawn(fleet), refresh=True)
            time.sleep(seconds)


def drawn(fleet: Fleet) -> RenderableType:
    """Return a table of the hosts, a line of counts, and a line for each thing that is wrong or not known."""
    table = Table(box=SIMPLE_HEAD, header_style="bold cyan", padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("host", "zone", "type", "image", "phase", "release", *_RIGHT):
        right, folds = name in _RIGHT, name in _FOLDED
        table.add_column(name, justify="right" if right else "left", no_wrap=not folds, overflow="fold")
    rows = fleet.rows()
    for row in rows:
        table.add_row(*_cells(row))
    phases = Counter(row.status or row.phase for row in rows)
    counts = ", ".join(f"{count} {phase}" for phase, count in phases.most_common())
    named = f"the channel names {fleet.wanted}" if fleet.wanted else "no channel"
    line = f"{len(rows)} host{'s' * (len(rows) != 1)} of {fleet.endpoint}: {counts or 'none'}; {named}"
    why = [f"{row.name}: {row.why}" for row in rows if row.why]
    return Group(table, Text(line), *(Text(one, style="red") for one in (*fleet.told, *why)))


def _cells(row: Row) -> tuple[Text | str, ...]:
    ready = "-" if row.ready is None else f"{row.ready}/{row.workers}"
    good = row.status == "InService" and row.ready == row.workers
    return (
        Text(row.name),  # nothing of these is markup
        row.zone.rpartition("-")[2],
        f"{row.type} spot" if row.spot else row.type,
        f"…{row.image[-6:]}",
        Text(row.phase, style=_LOUD.get(row.phase, "")),
        Text(row.release or "-"),
        Text(ready, style="green" if good else "bold red" if row.status else ""),
        "-" if row.rate is None else f"{row.rate:.1f}/s",
        said_seconds(row.p95_seconds),
        "-" if row.gpu is None else f"{row.gpu:.0%}",
        _age(row.age_seconds),
    )


def _age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
