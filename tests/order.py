"""Long work first, so that nothing long is left for one of the processes of `make test` at the end.

What is handed out is a group (`xdist_group`) or a test without one. tests/durations.json has the seconds that
each took when `make durations` was last run, of those that took `_SHORT_S` or more. It may be out of date: it
decides the order, and which of them `make test QUICK=1` still takes, the shortest.
"""

import json
import os
from collections import defaultdict
from itertools import accumulate
from pathlib import Path

import pytest

DURATIONS = Path(__file__).with_name("durations.json")
WRITE, QUICK = "SPRINGBOARD_WRITE_DURATIONS", "SPRINGBOARD_QUICK_TESTS"
_SHORT_S = 2
# So many seconds of longer ones: with all the short ones that is under four minutes on two cores.
_QUICK_S = 40
# Both chains of hosts wait more than they compute: one beside what computes takes less than both at once.
_BESIDE, _LATER = "hosts-edge", 5
_LONG = 40


def _unit(nodeid: str) -> str:
    """Return what xdist hands out with this test: it writes a test's group behind its name."""
    return nodeid.rpartition("@")[2] if nodeid.rfind("@") > nodeid.rfind("]") else nodeid


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long bytes by their parameter: a gzip has the time in it, and processes must agree on names."""
    return argname if isinstance(val, bytes) and len(val) > _LONG else None


@pytest.hookimpl(trylast=True)  # xdist has written the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort what xdist hands out, longest first; of a quick run leave out what is long."""
    durations: dict[str, float] = json.loads(DURATIONS.read_text())
    if QUICK in os.environ:
        shortest = sorted(durations, key=lambda unit: durations[unit])
        spent = accumulate(durations[unit] for unit in shortest)
        long = {unit for unit, seconds in zip(shortest, spent, strict=True) if seconds > _QUICK_S}
        config.hook.pytest_deselected(items=[item for item in items if _unit(item.nodeid) in long])
        items[:] = [item for item in items if _unit(item.nodeid) not in long]
    if hasattr(config, "workerinput"):
        durations[_BESIDE] = durations.get(_BESIDE, 0) / _LATER
        items.sort(key=lambda item: -durations.get(_unit(item.nodeid), 0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the durations, when asked to."""
    if WRITE not in os.environ:
        return
    took: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                took[_unit(report.nodeid)] += report.duration
    longest = sorted(((round(seconds), unit) for unit, seconds in took.items()), reverse=True)
    kept = {unit: seconds for seconds, unit in longest if seconds >= _SHORT_S}
    DURATIONS.write_text(json.dumps(kept, indent=1) + "\n")
