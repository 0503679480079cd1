"""Both stores of documents: a folder, and a prefix of a bucket."""

from pathlib import Path
from typing import cast

import pytest
from mypy_boto3_s3 import S3Client

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


def test_a_bucket_that_cannot_be_asked_is_told(objects: Objects) -> None:
    objects.away = True
    with pytest.raises(ReleaseError, match=r"S3 could not be reached for s3://documents/model/a\.json"):
        Prefix("s3://documents", cast("S3Client", objects)).read("model", "a")
