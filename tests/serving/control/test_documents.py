"""The control plane's documents in a real S3."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from springboard.control.store import Conflict, Prefix
from tests.stands.seaweedfs import ObjectStore

pytestmark = pytest.mark.xdist_group("releases")


def test_of_writers_at_once_exactly_one_wins(object_store: ObjectStore) -> None:
    store, version = Prefix("s3://models/control", object_store.client), None
    for round_ in range(3):  # none is there, then one that was removed, then one is

        def write(number: int, version: str | None = version) -> bool:
            try:
                store.write("model", "race", {"n": number}, version)
            except Conflict:
                return False
            return True

        numbers = range(10 * round_, 10 * round_ + 6)
        with ThreadPoolExecutor(len(numbers)) as threads:
            won = list(threads.map(write, numbers))
        assert won.count(True) == 1
        found = store.read("model", "race")
        assert found
        assert found[0] == {"n": numbers[won.index(True)]}
        assert store.every("model") == [found[0]]
        version = found[1]
        if round_ == 0:
            store.remove("model", "race", version)
            assert store.read("model", "race") is None
            version = None
