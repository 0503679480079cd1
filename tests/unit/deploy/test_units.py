"""systemd's commands, as deployments run them."""

import signal
import subprocess
from typing import Any

import pytest

from springboard.deploy import units
from springboard.deploy.stop import Stop, Stopped
from springboard.deploy.units import ServiceError

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses that the next commands end with."""
    statuses: list[int] = []

    def run(command: list[str], **options: Any) -> Done:
        assert options["start_new_session"], "Ctrl-C in a terminal goes to all of one session"
        return subprocess.CompletedProcess(command, statuses.pop(0), "active\n", "no such unit")

    monkeypatch.setattr(subprocess, "run", run)
    return statuses


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_was_told_to_stop_with_us_is_run_again(number: int, ends: list[int]) -> None:
    """As by `systemctl stop` of a unit of systemd-run; half a change of state would be neither way."""
    ends += [-number, 0, -number, 0]
    units.start("1.0.0_0000000")
    assert units.running("1.0.0_0000000")
    assert ends == []


def test_what_systemd_says_is_told(ends: list[int]) -> None:
    ends += [1]
    with pytest.raises(
        ServiceError, match=r"systemctl start torchserve@1\.0\.0_0000000\.service: no such unit"
    ):
        units.start("1.0.0_0000000")


def test_a_signal_is_found_by_whoever_asks_and_a_second_one_adds_nothing() -> None:
    stop = Stop()
    stop.ask()
    stop.tell("SIGINT")
    stop.tell("SIGTERM")
    for _ in range(2):
        with pytest.raises(Stopped, match=r"told to stop \(SIGINT\)"):
            stop.ask()
