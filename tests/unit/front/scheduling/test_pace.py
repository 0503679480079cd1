import pytest

from springboard.front.scheduling.pace import FIRST_GUESS_SECONDS, Pace


def worked(*seconds: float, pace: Pace | None = None, at: float = 0.0) -> Pace:
    pace = pace or Pace()
    for spent in seconds:
        pace.begin(at - spent)
        pace.end(at - spent, at, worked=True)
    return pace


def test_the_first_guess_gives_way_to_what_was_measured_and_what_still_runs() -> None:
    pace = Pace()
    assert pace.mean(0) == pace.known(0).high == FIRST_GUESS_SECONDS
    pace.begin(0.0)
    assert pace.mean(0.5) == FIRST_GUESS_SECONDS
    assert pace.mean(9.0) == 9.0
    pace.end(0.0, 10.0, worked=True)
    assert pace.mean(10.0) == 10.0


def test_one_outlier_moves_nothing_and_long_videos_count() -> None:
    assert worked(*[1.0] * 30, 25.0).mean(0) == 1.0
    assert worked(*[1.0] * 18, 10.0, 10.0).mean(0) == pytest.approx(1.9)
    assert worked(*[1.0] * 18, 10.0, 10.0).known(0).high == 10.0


def test_an_attempt_that_was_not_answered_says_nothing() -> None:
    pace = worked(1.0)
    pace.begin(0.0)
    pace.end(0.0, 28.0, worked=False)
    assert pace.mean(28.0) == 1.0


def test_slower_work_is_noticed_within_two_minutes() -> None:
    pace = worked(*[1.0] * 100, at=0.0)
    pace = worked(*[10.0] * 12, pace=pace, at=121.0)
    assert pace.mean(121.0) == 10.0


def test_a_release_that_nobody_measured_is_taken_for_as_slow_as_the_one_before() -> None:
    assert Pace.like([worked(4.0), worked(2.0), Pace()]).mean(0) == 4.0
    assert Pace.like([]).mean(0) == FIRST_GUESS_SECONDS
