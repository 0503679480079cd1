"""Children: how they ended is told so that a person knows where to look."""

import pytest

from springboard.system.processes import Child


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "ended with status 3"),
        ("exit 0", "ended with status 0"),
        ("kill -KILL $$", "killed by SIGKILL (9), as the kernel does when memory runs out"),
        ("kill -SEGV $$", "killed by SIGSEGV (11)"),
        ("exit 143", "killed by SIGTERM (15)"),  # as Java does
    ],
)
def test_the_end_of_a_child_names_its_signal(script: str, told: str) -> None:
    child = Child(["/bin/sh", "-c", script])
    try:
        child.process.wait(30)
        assert child.ended() == told
    finally:
        child.stop(0)


def test_a_child_that_runs_has_not_ended() -> None:
    child = Child(["/bin/cat"], stdin=-1)
    try:
        assert child.ended() == ""
    finally:
        child.stop(0)
        assert child.process.stdin
        child.process.stdin.close()
