"""The worker: what becomes of a job, whatever the front says of it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from springboard.jobs.asking import Answer
from tests.stands.scoring import Scoring, scoring
from tests.stands.waiting import wait_until
from tests.unit.jobs.shop import Ready, Said, Shop, asking, error_in, scored


@pytest.fixture(scope="module")
def model() -> Iterator[Scoring]:
    with scoring() as one:
        yield one


def test_a_job_is_scored_behind_all_others_and_its_result_written(shop: Shop, model: Scoring) -> None:
    (shop.folder / "in").mkdir()
    (shop.folder / "in" / "a b.mp4").write_bytes(b"from a file")
    first = shop.put(id="first", timeout=42)
    second = shop.put(id="second", body=b"", input=f"file://{shop.folder}/in/a%20b.mp4")
    with shop.working(asking(model, shop.folder / "in")):
        shop.wait_empty()
    for one in (first, second):
        assert json.loads(Path(one.output).read_bytes())["score"] == 61.5
    assert {b"score=1", b"from a file"} <= set(model.videos)
    ticket = model.tickets[model.videos.index(b"score=1")]
    assert (ticket.low, ticket.work_seconds) == (True, 42)
    assert not Path(first.failure).exists()


def test_a_video_that_is_none_fails_at_once_in_the_words_of_real_time(shop: Shop, model: Scoring) -> None:
    one = shop.put(body=b"unreadable")
    with shop.working(asking(model)):
        shop.wait_empty()
    real_time = model.post("/invocations", b"unreadable")
    assert Path(one.failure).read_bytes() == real_time.content
    assert not Path(one.output).exists()
    assert shop.queue.backlog().dead == 0
    assert model.videos.count(b"unreadable") == 2


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"expires": 1.0}, "request_expired"),
        ({"endpoint": "another"}, "unknown_endpoint"),
        ({"body": b"", "input": "file:///etc/passwd"}, "input_not_allowed"),
        ({"body": b"", "input": "file:///no/such/file"}, "input_not_allowed"),
    ],
)
def test_what_cannot_be_scored_is_told_why(
    shop: Shop, model: Scoring, more: dict[str, Any], code: str
) -> None:
    one, before = shop.put(**more), len(model.videos)
    with shop.working(asking(model)):
        shop.wait_empty()
    assert error_in(one.failure)["code"] == code
    assert len(model.videos) == before
    assert shop.queue.backlog().dead == 0


def test_a_fault_is_tried_again_and_given_up_with_its_reason(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setattr("springboard.jobs.worker._AGAIN_SECONDS", 0.1)
    shop.more = {"max_attempts": 3}
    one = shop.put()
    said = Said(lambda _: Answer.failure("model_failed", "It failed.", try_again=True))
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert said.asked == ["one"] * 3
    assert error_in(one.failure) == {"code": "model_failed", "message": "It failed."}
    assert shop.queue.backlog().dead == 1


def test_a_video_that_kills_workers_is_not_tried_again(shop: Shop) -> None:
    one = shop.put()
    said = Said(lambda _: Answer.failure("kills_workers", "It ended 3 workers.", deadly=True))
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert (said.asked, shop.queue.backlog().dead) == (["one"], 1)
    assert error_in(one.failure)["code"] == "kills_workers"


def test_a_job_that_nobody_ever_ended_is_given_up(shop: Shop) -> None:
    shop.more = {"max_attempts": 2}
    one = shop.put()
    for _ in range(2):
        claim = shop.queue.claim(0)
        assert claim
        shop.queue.extend(claim, 0)
    said = Said(scored)
    with shop.working(lambda _: said):
        shop.wait_empty()
    assert said.asked == []
    assert error_in(one.failure)["code"] == "gave_up"
    assert shop.queue.backlog().dead == 1


def test_a_message_that_is_no_job_goes_to_the_dead_letters(shop: Shop) -> None:
    shop.queue._queue.put(b'{"hello": "world"}')
    with shop.working(lambda _: Said(scored)):
        wait_until(lambda: shop.queue.backlog().dead == 1, "the dead letter")


def test_a_front_that_is_busy_is_asked_again(shop: Shop, model: Scoring) -> None:
    one, pauses = shop.job(), []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        model.front.draining = len(pauses) < 3
        return False

    model.front.draining = True
    asking = Ready(model.url, "", (), pause)
    assert json.loads(asking.score(one).content)["score"] == 61.5
    assert pauses == [0.5, 1.0, 2.0]
    asking.close()
    away = Ready("http://127.0.0.1:1", "", (), lambda _: False)
    assert away.score(shop.job(expires=time.time() - 1)).code == "request_expired"
    away.close()
