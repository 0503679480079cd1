"""A host's agents: a process for each endpoint, brought back when it dies, gone with its endpoint."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from springboard.control import further
from springboard.control.further import Agents
from springboard.control.place import Site
from springboard.control.store import Folder
from tests.stands.waiting import wait_until


@pytest.fixture
def agents(tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agents]:
    """Agents that note their slot, and end well once there is a file of it."""
    monkeypatch.setattr(further, "Backoff", lambda *_: _AtOnce())
    script = f'cd {tmp_path}; echo "$0" >>begun; while [ ! -e "end$0" ]; do sleep 0.02; done'
    one = Agents(Site(tmp_path / "host"), folder, ["/bin/sh", "-c", script])
    yield one
    one.close()


class _AtOnce:
    def after(self, _: float) -> float:
        return 0.0


def test_an_agent_works_for_each_endpoint_and_is_brought_back(
    agents: Agents, folder: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def begun(*slots: int) -> bool:
        agents.look()
        path = tmp_path / "begun"
        return path.exists() and sorted(map(int, path.read_text().split())) == sorted(slots)

    wait_until(lambda: begun(0), "the first one's")
    folder.write("endpoint", "others", {"name": "others", "slot": 2}, None)
    folder.write("endpoint", "odd", {"name": "odd", "slot": "7"}, None)  # the first one's agent tells of it
    agents._place.at(3).own.mkdir(parents=True)  # left of one whose document is gone
    wait_until(lambda: begun(0, 2, 3), "the others'")

    agents._processes[2].child.signal(signal.SIGKILL)
    wait_until(lambda: begun(0, 2, 2, 3), "it to be brought back")
    assert "the agent of slot 2 killed by SIGKILL" in caplog.text
    (tmp_path / "end3").touch()
    agents._place.at(3).own.rmdir()
    wait_until(lambda: begun(0, 2, 2, 3) and 3 not in agents._processes, "one to end with its endpoint")
    (folder._folder / "endpoint" / "others.json").write_text("{")
    assert begun(0, 2, 2, 3), "what cannot be read ends nobody"
    (tmp_path / "end0").touch()

    def again() -> bool:
        agents.look()
        return (tmp_path / "begun").read_text().split().count("0") > 1

    wait_until(again, "the first one's to be brought back, however it ended")
