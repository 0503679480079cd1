"""What of the suite's own is not seen by its running: the order in which it is handed out."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests import order


@pytest.fixture
def durations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "durations.json"
    monkeypatch.setattr(order, "DURATIONS", path)
    return path


def handed_out(*nodeids: str, **config: Any) -> list[str]:
    items = cast(list[pytest.Item], [SimpleNamespace(nodeid=nodeid) for nodeid in nodeids])
    order.pytest_collection_modifyitems(cast(pytest.Config, SimpleNamespace(**config)), items)
    return [item.nodeid for item in items]


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(order.QUICK, raising=False)


def test_what_took_longest_comes_first_and_a_group_stays_in_its_order(durations: Path) -> None:
    durations.write_text(json.dumps({"a.py::test_long[x@y]": 9, "hosts": 30, "gone": 100}))
    collected = ("a.py::test_new", "a.py::test_long[x@y]", "b.py::test_2@hosts", "b.py::test_1[@]@hosts")
    longest_first = [*collected[2:], collected[1], collected[0]]
    assert handed_out(*collected, workerinput={}) == longest_first
    assert handed_out(*collected) == list(collected), "one process alone keeps what shares a fixture together"


def test_a_quick_run_takes_what_is_short_and_the_shortest_of_the_rest(
    durations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durations.write_text(json.dumps({"a.py::test_1": order._QUICK_S - 2, "hosts": 300, "a.py::test_2": 2}))
    left_out: list[Any] = []
    hook = SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    collected = ("b.py::test_2@hosts", "a.py::test_new", "a.py::test_1", "a.py::test_2")
    monkeypatch.setenv(order.QUICK, "1")
    assert handed_out(*collected, hook=hook) == list(collected[1:])
    assert [item.nodeid for item in left_out] == [collected[0]]


def test_durations_are_written_when_asked_for(durations: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = [
        pytest.TestReport(name, ("", 0, ""), {}, "passed", None, cast(Any, phase), duration=seconds)
        for name, phase, seconds in (
            ("a.py::test_1@hosts", "setup", 4.0),
            ("a.py::test_2@hosts", "call", 5.0),
            ("a.py::test_short", "call", 1.0),
            ("a.py::test_long", "call", 20.0),
        )
    ]
    reporter = cast(pytest.TerminalReporter, SimpleNamespace(stats={"": reports[:1], "passed": reports[1:]}))
    monkeypatch.delenv(order.WRITE, raising=False)
    order.pytest_terminal_summary(reporter)
    assert not durations.exists()
    monkeypatch.setenv(order.WRITE, "1")
    order.pytest_terminal_summary(reporter)
    assert list(json.loads(durations.read_text()).items()) == [("a.py::test_long", 20), ("hosts", 9)]


def test_names_do_not_hold_what_is_made_anew_in_each_process() -> None:
    assert order.pytest_make_parametrize_id(bytes(41), "body") == "body"
    assert order.pytest_make_parametrize_id(b"score=1", "body") is None
