"""A folder that videos are dropped into: files are taken whole, once, and nothing else is."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from springboard.cli.app import app
from springboard.endpoint.asynchronous import Async
from springboard.jobs.desk import Desk
from springboard.jobs.folder import Folder
from springboard.jobs.job import Job
from springboard.jobs.local import LocalQueue
from tests.stands.waiting import wait_until


class Watched:
    """A folder, and the queue that its files come to."""

    def __init__(self, tmp_path: Path) -> None:
        self.place = tmp_path / "dives"
        self.place.mkdir()
        self.settings = Async(output=f"{tmp_path}/scores", queue=f"{tmp_path}/queue")
        self.queue = LocalQueue(tmp_path / "queue")
        self.jobs: list[Job] = []

    def folder(self, pattern: str = "*", settle: float = 0.1) -> Folder:
        return Folder(self.place, Desk(self.settings, "dive-scoring"), pattern, settle)

    @contextmanager
    def running(self, pattern: str = "*") -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self.folder(pattern).run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def names(self) -> list[str]:
        """Take what is on the queue; return the names of all that came so far."""
        while claim := self.queue.claim(0):
            self.jobs.append(Job.read(claim.message))
            self.queue.done(claim)
        return sorted(one.input.rpartition("/")[2] for one in self.jobs)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    one = Watched(tmp_path)
    yield one
    one.queue.close()


def test_what_lies_there_and_what_comes_is_taken_also_below(watched: Watched) -> None:
    (watched.place / "before.mp4").write_bytes(b"one")
    with watched.running():
        wait_until(lambda: watched.names() == ["before.mp4"], "what lay there")
        (watched.place / "heat 3").mkdir()
        (watched.place / "heat 3" / "after.mp4").write_bytes(b"two")
        wait_until(lambda: watched.names() == ["after.mp4", "before.mp4"], "what came")
    (after,) = [one for one in watched.jobs if "after" in one.input]
    assert after.input == f"file://{watched.place}/heat%203/after.mp4"
    assert after.output.startswith(f"{watched.settings.output}/heat 3/after.mp4.")


def test_a_file_is_taken_when_no_process_writes_it_any_more(watched: Watched) -> None:
    folder, path = watched.folder(settle=0), watched.place / "1.mp4"
    with path.open("wb") as file:
        file.write(b"the first part")
        file.flush()
        folder._wait_for(iter([path]))
        for _ in range(3):
            folder.take()
        assert watched.names() == []
    folder.take()
    assert watched.names() == ["1.mp4"]


def test_a_file_that_still_changes_is_not_taken(watched: Watched) -> None:
    folder, path = watched.folder(settle=0), watched.place / "1.mp4"
    folder._wait_for(iter([path]))
    for size in range(1, 4):
        path.write_bytes(b"x" * size)
        folder._wait_for(iter([path]))
        folder.take()
        assert watched.names() == []
    folder.take()
    assert watched.names() == ["1.mp4"]


def test_a_video_is_taken_once_and_another_one_under_its_name_again(watched: Watched) -> None:
    path = watched.place / "1.mp4"
    path.write_bytes(b"one")
    for content in (b"", b"", b"another one"):
        if content:
            path.write_bytes(content)
        folder = watched.folder(settle=0)  # as after a restart
        for _ in range(3):
            folder._wait_for(iter([path]))
            folder.take()
    assert watched.names() == ["1.mp4", "1.mp4"]
    assert len({one.id for one in watched.jobs}) == 2


def test_what_is_no_whole_video_is_left_alone(watched: Watched) -> None:
    for name in (".hidden.mp4", "1.mp4.part", "2.crdownload", "notes.txt"):
        (watched.place / name).write_bytes(b"x")
    (watched.place / ".sync").mkdir()
    (watched.place / ".sync" / "3.mp4").write_bytes(b"x")
    (watched.place / "empty.mp4").touch()
    (watched.place / "link.mp4").symlink_to("/etc/hostname")
    os.mkfifo(watched.place / "pipe.mp4")
    Path(os.fsdecode(os.fsencode(watched.place) + b"/\xff.mp4")).write_bytes(b"x")
    (watched.place / "good.mp4").write_bytes(b"x")
    folder = watched.folder("*.mp4", settle=0)
    for _ in range(3):
        folder._wait_for(folder._found())
        folder.take()
    assert watched.names() == ["good.mp4"]


def test_a_queue_that_is_away_loses_no_file(watched: Watched, tmp_path: Path) -> None:
    (blocked := tmp_path / "blocked").touch()
    settings = watched.settings.model_copy(update={"output": f"{blocked}/scores"})
    path = watched.place / "1.mp4"
    path.write_bytes(b"x")
    folder = Folder(watched.place, Desk(settings, "dive-scoring"), settle=0)
    folder._wait_for(iter([path]))
    for _ in range(3):
        folder.take()
    assert watched.names() == []
    blocked.unlink()
    folder._desk = Desk(settings.model_copy(update={"queue": watched.settings.queue}), "dive-scoring")
    folder.take()
    assert watched.names() == ["1.mp4"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("async: {output: /srv/scores}", "none of the folders of async.inputs"),
        ("async: {output: '@/scores', inputs: ['@']}", "results would be taken for videos"),
        ("", "has no `async`"),
    ],
)
def test_a_folder_that_cannot_be_watched_is_said(tmp_path: Path, settings: str, said: str) -> None:
    path = tmp_path / "endpoint.yml"
    path.write_text(f"variants: []\n{settings.replace('@', str(tmp_path))}\n")
    done = CliRunner().invoke(app, ["watch", str(tmp_path), "--endpoint-file", str(path)])
    assert (done.exit_code, said in done.stderr) == (2, True), done.output
