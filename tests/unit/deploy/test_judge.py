"""A canary's judgement at its edges."""

from dataclasses import replace

import pytest

from springboard.deploy.figures import Counts, Sample, Side, Window
from springboard.deploy.judge import why_bad
from springboard.deploy.settings import Canary
from springboard.releases.manifest import Manifest, ReferenceScores

RULES = Canary(min_attempts=50, max_error_ratio=0.02, max_unscored_ratio=0.2, max_p95_ratio=1.5)
REFERENCE = ReferenceScores(clips=200, mean=67.0, sd=17.0)


def side(attempts: float, failed: float = 0, mean: float = 67.0, seconds: float = 0.9) -> Side:
    """Attempts of which all that were answered gave a score, all in a bucket of 10 % of `seconds`."""
    answered = attempts - failed
    buckets = {seconds * 0.9: 0.0, seconds: attempts, float("inf"): attempts}
    failures = {"worker_died": failed} if failed else {}
    return Side(attempts, answered, answered, answered * mean, failures, buckets)


OLD = side(450)


@pytest.mark.parametrize(
    ("canary", "figure"),
    [
        (side(0), ""),
        (side(500), ""),
        # Of the 50 that are judged at least, 2 % may fail: one.
        (side(3, failed=1), ""),
        (side(3, failed=2), "error ratio: 2 of 3 attempts failed (worker_died 2)"),
        (side(500, failed=10), ""),
        (side(500, failed=11), "error ratio: "),
        # Fewer than min_attempts say nothing of times and scores.
        (side(49, seconds=9), ""),
        (side(50, seconds=9), "p95: "),
        (side(50, seconds=0.9 * 1.5), ""),
        (side(49, mean=0), ""),
        (side(50, mean=0), "score shift: "),
        (side(50, mean=67 + 8), ""),
        (side(50, mean=67 + 9), "score shift: "),
    ],
)
def test_each_figure_trips_beyond_its_limit_and_not_at_it(canary: Side, figure: str) -> None:
    assert why_bad(canary, OLD, RULES, REFERENCE).startswith(figure)
    assert bool(why_bad(canary, OLD, RULES, REFERENCE)) == bool(figure)


def test_what_fails_at_the_old_release_too_is_not_the_new_ones_fault() -> None:
    poisoned = side(450, failed=45)
    assert not why_bad(side(100, failed=12), poisoned, RULES, REFERENCE)
    assert why_bad(side(100, failed=13), poisoned, RULES, REFERENCE)


def test_answers_without_a_score_are_compared_with_the_old_releases() -> None:
    refusing = replace(side(100), scored=79, points=79 * 67.0)
    assert "21 of 100 answers were no score" in why_bad(refusing, OLD, RULES, REFERENCE)
    assert not why_bad(refusing, replace(OLD, scored=300, points=300 * 67.0), RULES, REFERENCE)


def test_dives_unlike_the_reference_dives_move_both_releases() -> None:
    beginners = side(450, mean=30)
    assert not why_bad(side(100, mean=31), beginners, RULES, REFERENCE)
    assert "the old release's 30.00" in why_bad(side(100, mean=45), beginners, RULES, REFERENCE)
    # A retrained model may score unlike the old one, if it does as its own reference says.
    assert not why_bad(side(100, mean=67), beginners, RULES, REFERENCE)
    assert not why_bad(side(100, mean=5), OLD, RULES, None)


def test_small_models_are_not_judged_by_the_machines_jitter() -> None:
    assert not why_bad(side(100, seconds=0.02), side(450, seconds=0.005), RULES, REFERENCE)


def test_without_an_old_release_at_work_times_are_not_compared() -> None:
    assert not why_bad(side(100, seconds=30), side(10), RULES, REFERENCE)


def test_p95_is_interpolated_as_prometheus_does() -> None:
    assert Side(buckets={1.0: 90, 2.0: 100, float("inf"): 100}).p95 == pytest.approx(1.5)
    assert Side(buckets={1.0: 10, 2.0: 20, float("inf"): 100}).p95 == 2.0
    assert Side().p95 == 0.0


def sample(canary: Counts, stable: Counts) -> Sample:
    return Sample(0, True, 0, {}, {("canary", "1.1.0"): canary, ("stable", "1.0.0"): stable})


def test_a_window_counts_from_its_beginning_and_over_a_restart_of_the_front() -> None:
    # The same release was tried before: its counters do not begin at 0.
    window = Window(
        ("canary", "1.1.0"), ("stable", "1.0.0"), sample({"answered": 40, "worker_died": 7}, {"answered": 9})
    )
    window.add(sample({"answered": 50, "worker_died": 7, "scores": 9, "points": 90.0}, {"answered": 29}))
    assert (window.canary.attempts, window.canary.failed, window.baseline.attempts) == (10, 0, 20)
    assert window.canary.mean_score == 10
    window.add(sample({"answered": 4, "no_worker": 1}, {}))
    assert (window.canary.attempts, window.canary.failed) == (15, 1)
    assert window.canary.failures == {"no_worker": 1}
    window.add(sample({"answered": 5, "no_worker": 1}, {"answered": 2}))
    assert (window.canary.attempts, window.baseline.attempts) == (16, 22)


@pytest.mark.parametrize(("clips", "sd"), [(1, 0.0), (1, 5.0), (2, 0.0)])
def test_clips_too_few_or_too_alike_are_no_reference(clips: int, sd: float) -> None:
    archive = {"file": "dive-1.0.0.mar", "sha256": "0" * 64, "size_bytes": 1}
    scores = {"clips": clips, "mean": 50.0, "sd": sd}
    given = {"version": "1.0.0", "archive": archive, "torch": "2.13.0", "reference_scores": scores}
    assert Manifest.model_validate(given).reference is None
    enough = Manifest.model_validate({**given, "reference_scores": {**scores, "clips": 2, "sd": 5.0}})
    assert enough.reference is not None
