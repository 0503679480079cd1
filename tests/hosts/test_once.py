"""What is made once for all processes: by one of them, and it goes when nobody uses it any more."""

import subprocess
import sys
from pathlib import Path

import pytest

from springboard.system.checkout import ROOT
from tests.hosts import once

PROGRAM = """
import sys; from pathlib import Path; from tests.hosts import once
once.BUILD = Path(sys.argv[1])
def make(draft):
    draft.mkdir()
    with (once.BUILD / "made").open("a") as made: made.write("x")
print(once.once("thing", sys.argv[2].encode(), make), flush=True)
sys.stdin.read()
"""


def process(folder: Path, ingredients: str) -> "subprocess.Popen[str]":
    """Return one that uses the thing until its standard input ends."""
    command = [sys.executable, "-c", PROGRAM, str(folder), ingredients]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def path_of(running: "subprocess.Popen[str]") -> Path:
    assert running.stdout
    return Path(running.stdout.readline().strip())


def test_processes_that_come_together_make_it_once_and_others_leave_it_while_it_is_used(
    tmp_path: Path,
) -> None:
    with process(tmp_path, "a") as one, process(tmp_path, "a") as two:
        first, second = path_of(one), path_of(two)
        assert first == second
        assert first.is_dir()
        assert (tmp_path / "made").read_text() == "x"
        with process(tmp_path, "b") as other:
            assert path_of(other) != first
            assert first.is_dir()
            other.communicate()
        for running in (one, two):
            running.communicate()
    with process(tmp_path, "c") as last:
        kept = path_of(last)
        assert [folder for folder in tmp_path.glob("thing-*") if folder.is_dir()] == [kept]
        last.communicate()


def test_what_could_not_be_made_is_made_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "BUILD", tmp_path)

    def fail(draft: Path) -> None:
        draft.mkdir()
        raise AssertionError("no host")

    with pytest.raises(AssertionError, match="no host"):
        once.once("thing", b"a", fail)
    assert once.once("thing", b"a", Path.mkdir).is_dir()


def test_a_digest_tells_contents_names_and_modes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "file"
    seen = []
    for change in (lambda: file.write_text("1"), lambda: file.write_text("2"), lambda: file.chmod(0o755)):
        change()
        seen.append(once.digest(tmp_path / "a", b"more"))
    file.rename(file.with_name("other"))
    seen += [once.digest(tmp_path / "a", b"more"), once.digest(tmp_path / "a", b"mor", b"e")]
    assert len(set(seen)) == len(seen)
