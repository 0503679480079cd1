"""Long work first, so that nothing long is left for one of the processes of `make test` at the end.

What is handed out is a group (`xdist_group`) or a test without one. tests/durations.json has the seconds that
each took when `make durations` was last run; it decides the order alone, so it may be out of date.
"""

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

DURATIONS = Path(__file__).with_name("durations.json")
WRITE = "SPRINGBOARD_WRITE_DURATIONS"
_SHORT_S = 2
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
    """Sort what xdist hands out, longest first."""
    if hasattr(config, "workerinput"):
        durations = json.loads(DURATIONS.read_text())
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
