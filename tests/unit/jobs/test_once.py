"""Exactly one result of each job, whatever happens on the way."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from springboard.jobs.asking import Answer
from springboard.jobs.job import Job
from springboard.jobs.local import LocalQueue
from springboard.jobs.queue import Claim, QueueAway
from springboard.jobs.store import Store
from springboard.jobs.worker import Worker
from tests.stands.waiting import wait_until
from tests.unit.jobs.shop import Flaky, Said, Shop, scored


@pytest.mark.parametrize("written", ["output", "failure"])
def test_a_repeat_changes_nothing(shop: Shop, written: str) -> None:
    one = shop.put()
    place = Path(getattr(one, written))
    place.parent.mkdir()
    place.write_text('{"score": 1}')
    said = Said(scored)
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert said.asked == []
    assert place.read_text() == '{"score": 1}'
    assert [path for path in (Path(one.output), Path(one.failure)) if path.exists()] == [place]


def test_a_result_written_meanwhile_by_another_stays(shop: Shop) -> None:
    one = shop.put()

    def late(_: Job) -> Answer:
        Store().put_new(one.output, b"the first")
        return Answer(b"the second")

    with shop.working(lambda _: Said(late)):
        shop.wait_empty()
    assert Path(one.output).read_bytes() == b"the first"


def test_what_is_at_work_at_the_end_goes_back_at_once(shop: Shop) -> None:
    shop.put()
    before = {*threading.enumerate()}
    begun, go = threading.Event(), threading.Event()

    def hang(_: Job) -> Answer:
        begun.set()
        go.wait(30)
        return Answer(b"late")

    worker = Worker(shop.settings, "dive-scoring", shop.queue, lambda _: Said(hang))
    worker.start()
    assert begun.wait(30)
    worker.stop(0)
    claim = shop.queue.claim(0)
    go.set()
    wait_until(lambda: before >= {*threading.enumerate()}, "the job's thread to end")
    assert claim is not None
    assert claim.attempt == 2


class Extended(LocalQueue):
    """Knows what was extended, and by how much; leases outlast a busy machine's pauses."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 60)
        self.by: list[tuple[str, float]] = []

    def extend(self, claim: Claim, seconds: float) -> None:
        self.by.append((Job.read(claim.message).id, seconds))
        super().extend(claim, 60)

    def wait_extended(self, name: str, times: int) -> None:
        before = len(self.by)
        wait_until(
            lambda: [one for one, _ in self.by[before:]].count(name) >= times, f"{name} to be extended"
        )


@pytest.fixture
def brief(tmp_path: Path) -> Iterator[tuple[Shop, Extended]]:
    """One whose leases are extended three times a second."""
    shop = Shop(tmp_path, {"lease_seconds": 1.0})
    shop.queue.close()
    shop.queue = queue = Extended(tmp_path / "queue")
    yield shop, queue
    queue.close()


def test_a_long_job_stays_its_workers(brief: tuple[Shop, Extended]) -> None:
    shop, queue = brief
    shop.put()

    def long(one: Job) -> Answer:
        queue.wait_extended("one", 7)  # more than two leases
        return scored(one)

    said = Said(long)  # by whichever of the two takes it
    with shop.working(lambda _: said), shop.working(lambda _: said):
        shop.wait_empty()
    assert said.asked == ["one"]
    assert set(queue.by) == {("one", 1.0)}


def test_no_lease_is_extended_of_a_job_that_ends(
    brief: tuple[Shop, Extended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQS refuses it once the message is gone, and the log told of a lost lease."""
    (shop, queue), ending, since = brief, threading.Event(), list[tuple[str, float]]()
    done = queue.done

    def late(claim: Claim) -> None:
        if Job.read(claim.message).id == "ends":
            before = len(queue.by)
            queue.wait_extended("long", 2)
            since.extend(queue.by[before:])
            ending.set()
        done(claim)

    def answer(one: Job) -> Answer:
        assert one.id == "ends" or ending.wait(60)
        return scored(one)

    monkeypatch.setattr(queue, "done", late)
    shop.put(id="long")
    shop.put(id="ends")
    with shop.working(lambda _: Said(answer)):
        shop.wait_empty()
    assert {name for name, _ in since} == {"long"}


def test_a_place_that_is_away_for_a_while_costs_no_second_score(shop: Shop) -> None:
    one, said = shop.put(), Said(scored)
    with shop.working(lambda _: said, Flaky(2)):
        shop.wait_empty()
    assert said.asked == ["one"]
    assert Path(one.output).read_bytes() == b'{"score": 50}'


def test_a_queue_that_is_away_when_a_job_ends_costs_no_second_score(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("springboard.jobs.worker._AGAIN_SECONDS", 0.1)
    one, said, done, calls = shop.put(), Said(scored), shop.queue.done, list[Claim]()

    def away(claim: Claim) -> None:
        calls.append(claim)
        if len(calls) < 3:
            raise QueueAway("it cannot be reached")
        done(claim)

    monkeypatch.setattr(shop.queue, "done", away)
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert said.asked == ["one"]
    assert Path(one.output).read_bytes() == b'{"score": 50}'
    assert len(calls) == 3


def test_a_job_that_was_cancelled_has_no_result_and_is_forgotten(shop: Shop) -> None:
    waiting, at_work = shop.put(id="waiting"), shop.put(id="at work")
    Store().put_new(waiting.failure, b'{"error": {"code": "cancelled", "message": "By an operator."}}')

    def cancelled_meanwhile(one: Job) -> Answer:
        Store().put_new(one.failure, b'{"error": {"code": "cancelled", "message": "By an operator."}}')
        return scored(one)

    said = Said(cancelled_meanwhile)
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert said.asked == ["at work"]
    assert not Path(waiting.output).exists()
    assert not Path(at_work.output).exists()
    assert shop.queue.backlog().dead == 0
