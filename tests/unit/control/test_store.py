"""Both stores of documents: a folder, and a prefix of a bucket."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from mypy_boto3_s3 import S3Client

from springboard.control import store as stores
from springboard.control.store import Conflict, DocumentStore, Folder, Prefix
from springboard.releases.manifest import ReleaseError
from tests.stands.objects import Objects


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture(params=["folder", "s3://documents", "s3://documents/control/gpu1/"])
def store(request: pytest.FixtureRequest, tmp_path: Path, objects: Objects) -> DocumentStore:
    if request.param == "folder":
        return Folder(tmp_path / "documents")
    return Prefix(request.param, cast("S3Client", objects))


def test_who_was_slower_is_told_and_changes_nothing(store: DocumentStore) -> None:
    assert store.read("model", "a") is None
    assert store.every("model") == []
    store.write("model", "a", {"n": 1}, None)
    found = store.read("model", "a")
    assert found
    store.write("model", "a", {"n": 2}, found[1])
    for version in (found[1], None):
        with pytest.raises(Conflict):
            store.write("model", "a", {"n": 3}, version)
    with pytest.raises(Conflict):
        store.remove("model", "a", found[1])
    assert store.every("model") == [{"n": 2}]
    assert store.change("model", "a", lambda document: {"n": document["n"] + 1}) == {"n": 3}
    assert store.every("model") == [{"n": 3}]
    assert store.change("model", "b", lambda _: {"n": 1}) is None


def test_a_change_is_made_again_of_what_another_wrote_meanwhile(store: DocumentStore) -> None:
    store.write("model", "a", {"n": 1}, None)
    seen = []

    def how(document: dict[str, int]) -> dict[str, int]:
        seen.append(document["n"])
        if len(seen) == 1:
            found = store.read("model", "a")
            assert found
            store.write("model", "a", {"n": 10}, found[1])
        return {"n": document["n"] + 1}

    assert store.change("model", "a", how) == {"n": 11}
    assert (seen, store.every("model")) == ([1, 10], [{"n": 11}])


def test_a_write_whose_answer_is_lost_is_no_others(store: DocumentStore, objects: Objects) -> None:
    objects.loses_answer = True
    store.write("model", "a", {"n": 1}, None)
    objects.loses_answer, changed = True, iter([{"n": 2}])
    assert store.change("model", "a", lambda _: next(changed)) == {"n": 2}
    assert store.every("model") == [{"n": 2}]


def test_what_was_removed_is_gone_and_may_be_made_anew(store: DocumentStore) -> None:
    for number in (1, 2):
        store.write("model", "a", {"n": number}, None)
        found = store.read("model", "a")
        assert found
        store.remove("model", "a", found[1])
        assert store.read("model", "a") is None
        assert store.every("model") == []
        with pytest.raises(Conflict):
            store.remove("model", "a", found[1])
        with pytest.raises(Conflict):
            store.write("model", "a", {"n": 3}, found[1])
    store.write("model", "a", {"n": 4}, None)
    assert store.every("model") == [{"n": 4}]


def test_a_name_leads_nowhere_else(store: DocumentStore) -> None:
    for name in ("../endpoint/a", "", "a.b", "ä"):
        with pytest.raises(ValueError, match="is no name of SageMaker's"):
            store.read("model", name)


def test_an_object_of_any_size_takes_no_readers_memory(objects: Objects) -> None:
    objects.held["model/a.json"] = bytes(33 << 20)
    with pytest.raises(ReleaseError, match=r"s3://documents/model/a\.json has more than 33,554,432 bytes"):
        Prefix("s3://documents", cast("S3Client", objects)).read("model", "a")


def test_a_bucket_that_cannot_be_asked_is_told(objects: Objects) -> None:
    objects.away = True
    with pytest.raises(ReleaseError, match=r"S3 could not be reached for s3://documents/model/a\.json"):
        Prefix("s3://documents", cast("S3Client", objects)).read("model", "a")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_fifo, r"a\.json is no plain file"),
        (Path.mkdir, r"a\.json is no plain file"),
        (lambda path: path.symlink_to("/dev/zero"), r"a\.json is no plain file"),
        (
            lambda path: os.truncate(path, 1 << 40) if path.touch() is None else None,
            "has more than 33,554,432",
        ),
        (lambda path: path.write_text("[" * 1_000_000), r"a\.json is no JSON: "),
        (lambda path: path.write_text('{"n": 1'), r"a\.json is no JSON: Expecting"),
    ],
)
def test_what_lies_among_documents_has_nobody_wait_and_is_named(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    (tmp_path / "model").mkdir()
    make(tmp_path / "model" / "a.json")
    store = Folder(tmp_path)
    acts: list[Callable[[], object]] = [
        lambda: store.read("model", "a"),
        lambda: store.every("model"),
        lambda: store.write("model", "a", {}, "1"),
    ]
    for act in acts:
        with pytest.raises((OSError, ValueError), match=said):
            act()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", [".lock", "model/.a.json.new"])
def test_who_writes_waits_for_nobody_to_read_a_fifo(tmp_path: Path, name: str) -> None:
    (tmp_path / "model").mkdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(OSError, match="No such device or address"):
        Folder(tmp_path).write("model", "a", {}, None)


def test_a_lock_that_somebody_keeps_is_named_and_not_waited_for_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_LOCK_SECONDS", 0.1)
    store = Folder(tmp_path)
    with (tmp_path / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match=r"\.lock was locked for 0\.1 s; who has it: fuser"):
            store.write("model", "a", {"n": 1}, None)
    store.write("model", "a", {"n": 1}, None)
    assert store.every("model") == [{"n": 1}]


def test_one_at_a_time_has_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_LOCK_SECONDS", 0.1)
    ours, theirs = Folder(tmp_path), Folder(tmp_path)
    with ours.turn():
        ours.write("model", "a", {"n": 1}, None)  # others may change documents meanwhile, and so may we
        with pytest.raises(TimeoutError, match=r"\.turn was locked for 0\.1 s"), theirs.turn():
            pytest.fail("two at a time")
    with theirs.turn():
        assert theirs.read("model", "a")
