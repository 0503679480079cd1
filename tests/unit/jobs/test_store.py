"""Results: whole or not there, and never changed once they are."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from springboard.jobs.store import Store, StoreAway
from tests.stands.cloud import Cloud
from tests.stands.objects import refused


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "scores") if request.param == "folder" else "s3://scores/some"


@pytest.fixture
def store(aws: Cloud) -> Iterator[Store]:
    client = aws.client("s3")
    client.create_bucket(Bucket="scores")
    yield Store(client)
    for one in client.list_objects_v2(Bucket="scores").get("Contents", []):
        client.delete_object(Bucket="scores", Key=one["Key"])


def test_the_first_result_stays(store: Store, root: str) -> None:
    place = f"{root}/sub/one%2F1.out"
    assert not store.has(place)
    assert store.get(place) is None
    assert store.put_new(place, b"first")
    assert not store.put_new(place, b"second")
    assert store.has(place)
    assert store.get(place) == b"first"
    store.remove(place)
    assert not store.has(place)
    store.remove(place)


def test_of_many_that_write_one_result_one_does(store: Store, root: str) -> None:
    wrote: list[int] = []

    def write(number: int) -> None:
        if store.put_new(f"{root}/1.out", b"%d" % number * 10_000):
            wrote.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrote) == 1
    assert store.get(f"{root}/1.out") == b"%d" % wrote[0] * 10_000


def test_a_folder_holds_nothing_but_results(store: Store, tmp_path: Path) -> None:
    store.put_new(f"{tmp_path}/1.out", b"{}")
    store.put_new(f"{tmp_path}/1.out", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["1.out"]


@pytest.mark.parametrize("place", ["s3://absent-bucket/1.out", "/proc/none/1.out"])
def test_a_place_that_cannot_be_written_says_why(store: Store, place: str) -> None:
    with pytest.raises(StoreAway, match=place.split("/")[2]):
        store.put_new(place, b"{}")


def test_a_write_that_meets_another_is_to_be_tried_again(aws: Cloud) -> None:
    """S3's 409: the other's write may fail yet, and then there is no result at all."""

    def meets(**_: object) -> None:
        raise refused(409, "ConditionalRequestConflict")

    client = aws.client("s3")
    client.meta.events.register_first("before-call.s3.PutObject", meets)
    try:
        with pytest.raises(StoreAway, match="ConditionalRequestConflict"):
            Store(client).put_new("s3://scores/1.out", b"{}")
    finally:
        client.meta.events.unregister("before-call.s3.PutObject", meets)
