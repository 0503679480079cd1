"""Archives of `serve --weights` are found by content; servers neither share half of one nor lose theirs."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import typer

from springboard.cli import packing


@pytest.fixture(autouse=True)
def no_server() -> Iterator[None]:
    yield
    end_of_servers()


def end_of_servers() -> None:
    for lock in packing._held:
        lock.close()
    packing._held.clear()


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was packed, in order."""
    done: list[bytes] = []

    def pack(weights: Path, folder: Path) -> None:
        done.append((weights / "model.pth").read_bytes())
        (folder / "dive-0.0.0-local.mar").write_bytes(done[-1])

    monkeypatch.setattr(packing, "_pack", pack)
    return done


def weights(folder: Path, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.pth").write_bytes(content)
    return folder


def test_the_same_weights_are_packed_once_wherever_they_lie(tmp_path: Path, packed: list[bytes]) -> None:
    store = tmp_path / "store"
    first = packing.archive_of(weights(tmp_path / "a", b"one"), store)
    assert packing.archive_of(weights(tmp_path / "b", b"one"), store) == first
    other = packing.archive_of(weights(tmp_path / "a", b"two"), store)
    assert (first.read_bytes(), other.read_bytes(), packed) == (b"one", b"two", [b"one", b"two"])
    assert first.name == other.name == "dive-0.0.0-local.mar"


def test_two_servers_at_once_get_one_whole_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=60)

    def pack(weights: Path, folder: Path) -> None:
        both.wait()
        (folder / "dive-0.0.0-local.mar").write_bytes(b"whole")
        both.wait()

    monkeypatch.setattr(packing, "_pack", pack)
    folder, store = weights(tmp_path / "a", b"one"), tmp_path / "store"
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: packing.archive_of(folder, store), range(2))
    assert first == second
    assert first.read_bytes() == b"whole"
    assert [path.name for path in store.iterdir() if path.is_dir()] == [first.parent.name]


def test_old_archives_go_unless_a_server_has_them(tmp_path: Path, packed: list[bytes]) -> None:
    store = tmp_path / "store"
    mine = [packing.archive_of(weights(tmp_path / "a", b"%d" % n), store) for n in range(4)]
    assert all(archive.is_file() for archive in mine)
    end_of_servers()
    (store / ".new-killed").mkdir()
    last = packing.archive_of(weights(tmp_path / "a", b"last"), store)
    assert [archive.is_file() for archive in mine] == [False, False, True, True]
    assert last.is_file()
    assert not (store / ".new-killed").exists()


def test_a_failed_packing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pack(weights: Path, folder: Path) -> None:
        (folder / "half.mar").touch()
        raise typer.Exit(2)

    monkeypatch.setattr(packing, "_pack", pack)
    with pytest.raises(typer.Exit):
        packing.archive_of(weights(tmp_path / "a", b"one"), tmp_path / "store")
    assert [path for path in (tmp_path / "store").iterdir() if path.is_dir()] == []


def test_weights_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        packing.archive_of(tmp_path / "absent", tmp_path / "store")
    assert capsys.readouterr().err == f"springboard: --weights: {tmp_path}/absent does not exist\n"
