"""Which attempts compare two releases, and what they say of them."""

import itertools
from typing import Any

import pytest

from springboard.front.scheduling.comparison import Comparison
from springboard.front.scheduling.dispatch import Attempt
from springboard.torchserve.client import Answer

SCORE = Answer(200, b'{"score": 50, "clips": [{}, {}]}', {})
REFUSAL = Answer(422, b'{"error": {"code": "not_a_dive", "message": "x"}}', {})
UNSEEN = ["no_worker", "unreachable", "failed"]


class Front:
    """Requests for videos, by what each attempt at them came to: `stable: answered`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._numbers = itertools.count()
        self._comparison = Comparison(lambda: self.now)

    def request(
        self, video: str, *attempts: str, by_chance: bool = True, answer: Answer = SCORE
    ) -> list[str]:
        number, facts = next(self._numbers), list[str]()
        for i, said in enumerate(attempts):
            release, outcome = said.split(": ")
            given: dict[str, Any] = {"answer": answer} if outcome == "answered" else {}
            attempt = Attempt(
                release, release, outcome, 3.0, i > 0, by_chance, number, video.encode(), **given
            )
            facts += [f"{fact.release}: {fact.outcome}" for fact in self._comparison.facts(attempt)]
        return facts


@pytest.fixture
def front() -> Front:
    return Front()


def test_an_answer_is_a_fact_and_one_after_a_failure_elsewhere_is_none(front: Front) -> None:
    assert front.request("a", "stable: answered") == ["stable: scored"]
    assert front.request("b", "stable: handler_raised", "canary: answered") == ["stable: handler_raised"]
    assert front.request("c", "canary: answered", answer=REFUSAL) == ["canary: unscored"]


@pytest.mark.parametrize("kind", ["worker_died", "handler_raised", "model_error"])
def test_a_video_that_fails_at_both_tells_against_neither(front: Front, kind: str) -> None:
    assert front.request("a", f"stable: {kind}", f"canary: {kind}") == ["stable: alike"]
    assert front.request("b", f"canary: {kind}", f"stable: {kind}") == ["canary: alike"]
    # Strikes refuse it before its second attempt; the other one has had it, though.
    assert front.request("a", f"canary: {kind}") == ["canary: alike"]


def test_a_video_that_fails_at_one_again_and_again_is_one_fact(front: Front) -> None:
    tries = [front.request("a", "canary: model_error", "stable: answered") for _ in range(3)]
    assert tries == [["canary: model_error"], ["canary: repeated"], ["canary: repeated"]]
    # It was answered in between: no property of the video.
    assert front.request("a", "canary: answered") == ["canary: scored"]
    assert front.request("a", "canary: model_error", "stable: answered") == ["canary: model_error"]


def test_a_refused_video_that_is_sent_again_says_nothing_new(front: Front) -> None:
    assert front.request("a", "stable: answered", answer=REFUSAL) == ["stable: unscored"]
    assert front.request("a", "canary: answered", answer=REFUSAL) == []
    assert front.request("b", "canary: answered", answer=REFUSAL) == ["canary: unscored"]


@pytest.mark.parametrize("kind", UNSEEN)
def test_what_no_worker_has_seen_is_the_releases_fault_at_once_and_excuses_nobody(
    front: Front, kind: str
) -> None:
    assert front.request("a", f"canary: {kind}", "stable: model_error") == [f"canary: {kind}"]
    assert front.request("b", "canary: model_error", f"stable: {kind}", "stable: answered") == [
        "canary: model_error"
    ]


def test_an_outage_is_one_fact_however_many_requests_were_at_work_in_it(front: Front) -> None:
    facts = [front.request(video, "stable: worker_died", "canary: answered") for video in "abc"]
    assert facts == [["stable: worker_died"], ["stable: repeated"], ["stable: repeated"]]
    assert front.request("d", "stable: answered") == ["stable: scored"]
    assert front.request("e", "stable: no_worker", "canary: answered") == ["stable: no_worker"]


def test_whom_the_caller_chose_is_not_compared(front: Front) -> None:
    assert front.request("a", "canary: answered", by_chance=False) == []
    assert front.request("b", "canary: model_error", "canary: model_error", by_chance=False) == []


def test_a_failure_that_nobody_came_after_counts_once_no_deadline_is_left(front: Front) -> None:
    assert front.request("a", "canary: worker_died") == []
    assert front.request("b", "canary: worker_died", "canary: worker_died") == []
    front.now = 119
    assert front.request("c", "stable: answered") == ["stable: scored"]
    front.now = 121
    assert front.request("d", "stable: answered") == [
        "canary: worker_died",
        "canary: repeated",
        "stable: scored",
    ]


def test_a_score_that_is_no_number_is_a_failure(front: Front) -> None:
    assert front.request("a", "canary: answered", answer=Answer(200, b'{"score": NaN}', {})) == [
        "canary: no_number"
    ]
