"""Answers that are kept: the same bytes at the same release are scored once, and nobody else's are given."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from springboard.endpoint.document import Endpoint, Served
from springboard.front.answers import Answers, Asked
from springboard.front.scheduling.dispatch import Scored
from springboard.front.scheduling.lane import Ticket
from springboard.torchserve.client import Answer, Video
from tests.stands.scoring import Scoring, scoring

HEADER = "X-Springboard-Cache"
PIN = "X-Amzn-SageMaker-Target-Variant"


class Model:
    """A front that keeps answers; `asked` is which release was asked for which video."""

    def __init__(self, front: Scoring) -> None:
        self.stand, self.asked = front, list[tuple[str, bytes]]()
        front.front.dispatcher.score = self.score  # type: ignore[method-assign]  # stands in for workers
        self.use(("stable", "1.0.0", 1))

    async def score(self, video: Video, ticket: Ticket) -> Scored:
        """Answer as the stand does, from the lane that has the request."""
        lanes = self.stand.front.queue.lanes
        ticket.lane = lanes[ticket.pin] if ticket.pin else next(iter(lanes.values()))
        scored = await self.stand.score(video, ticket)
        release = ticket.lane.served.release
        self.asked.append((release, video.body))
        body = scored.answer.body.replace(b"61.5", release.replace(".", "").encode())
        return Scored(Answer(scored.answer.status, body, {"decode": 1.5}), ticket.lane.name, release, 0.0)

    def use(self, *variants: tuple[str, str, int], max_bytes: int = 1_000_000, port: int = 1) -> None:
        """Serve these from now on."""
        served = [
            {"name": n, "release": r, "weight": w, "address": f"http://127.0.0.1:{port + 3 * i}"}
            for i, (n, r, w) in enumerate(variants)
        ]
        self.stand.front.use(Endpoint.model_validate({"variants": served, "cache": {"max_bytes": max_bytes}}))

    def post(self, video: bytes, **headers: str) -> httpx.Response:
        """Have a video scored."""
        return self.stand.post("/invocations", video, headers=headers)

    def counted(self) -> dict[str, float]:
        """Return hits and misses so far."""
        metric = self.stand.front.metrics.cache
        return {name: metric.labels(name)._value.get() for name in ("hit", "miss")}


@pytest.fixture
def model() -> Iterator[Model]:
    with scoring() as stand:
        yield Model(stand)


def test_the_same_bytes_are_scored_once_and_the_header_and_the_metric_say_so(model: Model) -> None:
    first, second, other = model.post(b"dive"), model.post(b"dive"), model.post(b"another")
    assert [one.headers[HEADER] for one in (first, second, other)] == ["miss", "hit", "miss"]
    assert first.json() == second.json()
    assert second.headers["x-Amzn-Invoked-Production-Variant"] == "stable"
    assert model.asked == [("1.0.0", b"dive"), ("1.0.0", b"another")]
    assert model.counted() == {"hit": 1, "miss": 2}


def test_without_the_setting_every_video_is_scored_and_no_header_told(model: Model) -> None:
    model.use(("stable", "1.0.0", 1), max_bytes=0)
    assert not [one for one in (model.post(b"dive"), model.post(b"dive")) if HEADER in one.headers]
    assert len(model.asked) == 2
    assert model.counted() == {"hit": 0, "miss": 0}


def test_errors_are_not_kept(model: Model) -> None:
    for _ in range(2):
        refused = model.post(b"unreadable")
        assert (refused.status_code, refused.headers[HEADER]) == (422, "miss")
    assert len(model.asked) == 2


def test_while_a_canary_is_tried_every_video_is_scored(model: Model) -> None:
    model.post(b"dive")
    model.use(("stable", "1.0.0", 90), ("canary", "1.1.0", 10))
    assert [model.post(b"dive").headers[HEADER] for _ in range(3)] == ["miss"] * 3
    assert len(model.asked) == 4


def test_a_canary_never_answers_from_anothers_answers(model: Model) -> None:
    model.use(("stable", "1.0.0", 90), ("canary", "1.1.0", 10))
    said = [model.post(b"dive", **{PIN: name}) for name in ("stable", "canary", "stable", "canary")]
    assert [one.headers[HEADER] for one in said] == ["miss", "miss", "hit", "hit"]
    assert [one.json()["score"] for one in said] == [100, 110, 100, 110]
    assert said[3].headers["x-Amzn-Invoked-Production-Variant"] == "canary"


def test_what_is_promoted_does_not_answer_for_its_predecessor(model: Model) -> None:
    model.post(b"dive")
    model.use(("stable", "1.1.0", 1))
    assert model.post(b"dive").json()["score"] == 110


def test_another_instance_of_a_release_scores_anew(model: Model) -> None:
    model.post(b"dive")
    model.use(("stable", "1.0.0", 1), port=31)
    assert model.post(b"dive").headers[HEADER] == "miss"


def test_an_answer_with_pictures_is_another_one(model: Model) -> None:
    model.post(b"dive")
    assert model.post(b"dive", **{"X-Springboard-Include": "strip"}).headers[HEADER] == "miss"


@pytest.mark.parametrize("route", ["/endpoints/dive-scoring/invocations", "/predictions/dive"])
def test_every_dialect_gets_what_was_kept(model: Model, route: str) -> None:
    model.post(b"dive")
    again = model.stand.post(route, b"dive")
    assert (again.status_code, again.headers[HEADER], again.json()["score"]) == (200, "hit", 100)


SERVED = Served(release="1.0.0", address="http://127.0.0.1:1")


def answer(size: int) -> Answer:
    return Answer(200, b'{"score": 1.5}'.ljust(size), {})


def test_answers_are_bounded_and_the_longest_unused_goes_first() -> None:
    kept, (one, two, three) = Answers(6000), (Asked(bytes([n]), "") for n in range(3))
    kept.put(SERVED, one, answer(1900))
    kept.put(SERVED, two, answer(1900))
    assert kept.get(SERVED, one)
    kept.put(SERVED, three, answer(1900))
    assert [bool(kept.get(SERVED, asked)) for asked in (one, two, three)] == [True, False, True]
    assert kept.size == 2 * 2900
    kept.put(SERVED, two, answer(6000))  # larger than all that may be kept
    assert kept.get(SERVED, one)
    kept.use(0)
    assert (kept.get(SERVED, one), kept.size, kept.on) == (None, 0, False)


@pytest.mark.parametrize("wrong", [{"max_bytes": -1}, {"bytes": 1}, {"max_bytes": "much"}])
def test_a_wrong_setting_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cache"):
        Endpoint.model_validate({"variants": [], "cache": wrong})
