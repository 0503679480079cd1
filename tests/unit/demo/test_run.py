"""`make demo`: what it says at the end, and whether its server stays."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo import run


@pytest.mark.parametrize("keep", [True, False])
def test_with_keep_it_says_where_to_open_the_page_and_waits(
    keep: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    happened = []

    @contextmanager
    def serving(weights: Path) -> Iterator[str]:
        yield "http://127.0.0.1:4242"
        happened.append("stopped")

    monkeypatch.setattr(run, "serving", serving)
    monkeypatch.setattr(run, "score_each", lambda *_, **__: [])
    monkeypatch.setattr(signal, "pause", lambda: happened.append("waited"))
    monkeypatch.setattr("sys.argv", ["demo.run", *(["--keep"] if keep else []), "weights", "clip.mp4"])
    with pytest.raises(SystemExit):  # nothing was scored
        run.main()
    assert happened == (["waited", "stopped"] if keep else ["stopped"])
    assert ("open http://127.0.0.1:4242" in capsys.readouterr().out) == keep
