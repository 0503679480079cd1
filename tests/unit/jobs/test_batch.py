"""A batch: each video once, whatever stops it, in memory that does not grow; a second run does nothing."""

import json
import shutil
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from springboard.jobs.asking import Answer
from springboard.jobs.batch import Batch, OtherBatch, Tally
from springboard.jobs.job import Job
from springboard.jobs.store import Store, StoreAway
from tests.stands.cloud import Cloud
from tests.unit.jobs.shop import Said, Shop, dive_or_not, lines

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    one = Shop(tmp_path, {"lease_seconds": 30.0, "max_concurrent": 8})
    yield one
    one.queue.close()


def _places(count: int) -> list[str]:
    return [f"s3://dives/{'bad' if n % 10 == 9 else 'good'}/{n:04}.mp4" for n in range(count)]


def _batch(shop: Shop, places: list[str], store: Store | None = None, root: str = "", **more: Any) -> Batch:
    work = Batch(
        root or f"{shop.folder}/out", "dive-scoring", shop.queue, store or Store(), at_once=8, part=10, **more
    )
    work.prepare("these", lambda after: (one for one in places if one > after))
    return work


def test_each_video_is_a_line_of_a_part_or_of_the_failures(shop: Shop) -> None:
    places, root = sorted(_places(45)), f"{shop.folder}/out"
    said = Said(dive_or_not)
    work = _batch(shop, places)
    with shop.working(lambda _: said):
        assert work.run(threading.Event())
    results, failures = (lines(Store(), root, kind) for kind in ("part", "failures"))
    assert [one["input"] for one in results] == [one for one in places if "good" in one]
    assert all(one["of"] == one["input"] and one["score"] == 50 for one in results)
    assert [one["input"] for one in failures] == [one for one in places if "bad" in one]
    assert {(one["code"], one["message"]) for one in failures} == {("not_a_dive", "This is no dive.")}
    assert (work.tally.scored, work.tally.failed) == (41, {"not_a_dive": 4})
    assert len(said.asked) == len(set(said.asked)) == 45
    assert [path for path in Path(root, ".batch", "work").rglob("*") if path.is_file()] == []
    again = _batch(shop, [*places, "s3://dives/new"])  # nobody works, and nothing is left to do
    assert again.run(threading.Event())
    assert (again.tally.scored, again.tally.failed, again.total) == (41, {"not_a_dive": 4}, 45)
    assert shop.queue.backlog().waiting == 0


def test_results_are_kept_by_whoever_asks_for_them_as_they_are(shop: Shop) -> None:
    kept: dict[str, bytes | dict[str, Any]] = {}

    def keep(_: int, results: list[tuple[str, bytes]], failures: list[tuple[str, dict[str, Any]]]) -> None:
        if not kept:
            kept[""] = b""
            raise StoreAway("the first time")
        kept.update(results)
        kept.update(failures)

    places = sorted(_places(20))
    with shop.working(lambda _: Said(dive_or_not)):
        assert _batch(shop, places, timeout=7, keep=keep).run(threading.Event())
    del kept[""]
    assert kept == {
        place: {"code": "not_a_dive", "message": "This is no dive."}
        if "bad" in place
        else json.dumps({"score": 50, "of": place}).encode()
        for place in places
    }
    assert lines(Store(), f"{shop.folder}/out", "part") == []


def _until(work: Batch, done: int) -> bool:
    """Run it until so many are done; no more than 8 are from one look to the next."""
    stop = threading.Event()

    def told(so_far: Tally) -> None:
        if so_far.done >= done:
            stop.set()

    return work.run(stop, told)


def test_one_that_is_stopped_again_and_again_goes_on_elsewhere_and_scores_nothing_twice(
    shop: Shop, aws: Cloud
) -> None:
    aws.client("s3").create_bucket(Bucket="batches")
    store, root, places = Store(aws.client("s3")), "s3://batches/out", sorted(_places(40))
    asked: Counter[str] = Counter()

    def answer(job: Job) -> Answer:
        asked[job.input] += 1
        return dive_or_not(job)

    with shop.working(lambda _: Said(answer), store):
        stopped = [_until(_batch(shop, places, store, root), done) for done in (6, 16, 26, 1000)]
    assert stopped == [False, False, False, True]
    assert set(asked.values()) == {1}
    found = [one["input"] for kind in ("part", "failures") for one in lines(store, root, kind)]
    assert sorted(found) == places


def test_no_more_jobs_wait_than_are_allowed(shop: Shop) -> None:
    work, stop, seen = _batch(shop, sorted(_places(40))), threading.Event(), []

    def told(_: Tally) -> None:
        seen.append(shop.queue.backlog().waiting)
        if len(seen) == 5:
            stop.set()

    assert not work.run(stop, told)
    assert set(seen) == {8}


def test_a_store_that_is_away_now_and_then_costs_nothing(shop: Shop) -> None:
    class Flaky(Store):
        calls = 0

        def put_new(self, place: str, content: bytes, media_type: str = "application/json") -> bool:
            self.calls += 1
            if (
                self.calls % 3 == 2
                and "listed" not in place
                and not place.endswith((".list", "source.json", "/name"))
            ):
                raise StoreAway(f"{place} is away")
            return super().put_new(place, content, media_type)

        def remove(self, place: str) -> None:
            self.calls += 1
            if self.calls % 7 == 0:
                raise StoreAway(f"{place} is away")
            super().remove(place)

    places = sorted(_places(30))
    work = _batch(shop, places, Flaky())
    with shop.working(lambda _: Said(dive_or_not)):
        assert work.run(threading.Event())
    assert (work.tally.scored, work.tally.failed.total()) == (27, 3)
    out = f"{shop.folder}/out"
    found = [one["input"] for kind in ("part", "failures") for one in lines(Store(), out, kind)]
    assert sorted(found) == places


def test_a_listing_that_was_cut_off_goes_on_where_it_was(shop: Shop) -> None:
    places = [f"s3://dives/{n:04}" for n in range(35)]

    def cut_off(after: str) -> Iterator[str]:
        yield from places[:25]
        raise StoreAway("S3 cannot be reached")

    work = Batch(f"{shop.folder}/out", "dive-scoring", shop.queue, Store(), at_once=8, part=10)
    with pytest.raises(StoreAway):
        work.prepare("these", cut_off)
    since: list[str] = []
    work.prepare("these", lambda after: since.append(after) or iter(places[20:]))  # type: ignore[func-returns-value]
    assert (since, work.total) == ([places[19]], 35)
    with pytest.raises(OtherBatch):
        work.prepare("others", lambda _: iter(()))


def test_a_listing_takes_the_memory_of_a_part_of_it(shop: Shop) -> None:
    work = Batch(f"{shop.folder}/out", "dive-scoring", shop.queue, Store(), at_once=8)
    tracemalloc.start()
    try:
        work.prepare("these", lambda _: (f"s3://dives/heat/{n:09}.mp4" for n in range(50_000)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert work.total == 50_000
    assert most < 2_000_000


def test_files_are_listed_in_one_order_from_anywhere(tmp_path: Path, aws: Cloud) -> None:
    names = ["a/1", "a/b/2", "a/b/3", "a-/4", "b", "c/5"]
    client = aws.client("s3")
    client.create_bucket(Bucket="listed")
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
        client.put_object(Bucket="listed", Key=f"in/{name}", Body=b"")
    client.put_object(Bucket="listed", Key="in/folder/", Body=b"")
    for place in (str(tmp_path / "in"), "s3://listed/in"):
        found = list(Store(client).below(place))
        assert sorted(found) == sorted(names)
        for number, name in enumerate(found):
            assert list(Store(client).below(place, name)) == found[number + 1 :]


def test_quantiles_are_known_to_a_tenth() -> None:
    tally = Tally()
    for seconds in range(1, 101):
        tally.took(seconds)
    other = Tally.read(tally.written())
    for share, exact in ((0.5, 50), (0.99, 99)):
        assert other.quantile(share) == pytest.approx(exact, rel=0.1)
    assert Tally().quantile(0.5) is None


def test_the_same_videos_are_scored_again_for_another_output_and_for_one_that_was_removed(shop: Shop) -> None:
    said, places = Said(dive_or_not), sorted(_places(5))
    with shop.working(lambda _: said):
        for name in ("out", "other", "out"):
            if (shop.folder / name).exists():
                shutil.rmtree(shop.folder / name)
            work = _batch(shop, places, root=f"{shop.folder}/{name}")
            assert work.run(threading.Event())
            assert work.tally.scored == 5
    assert len(said.asked) == 15
