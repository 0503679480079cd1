"""A canary's judgement at its edges."""

import math
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from springboard.deploy import judge
from springboard.deploy.figures import Counts, Sample, Side, Times, Window, parse
from springboard.deploy.judge import findings
from springboard.deploy.settings import Canary
from springboard.endpoint.document import Limits
from springboard.front.intake.admission import Admission
from springboard.front.metrics.record import Metrics
from springboard.front.scheduling.dispatch import Attempt
from springboard.front.scheduling.queue import Queue
from springboard.releases.manifest import Manifest, ReferenceScores
from springboard.torchserve.client import Answer

RULES = Canary(min_attempts=50, max_error_ratio=0.02, max_unscored_ratio=0.2, max_p95_ratio=1.5)
REFERENCE = ReferenceScores(clips=200, mean=67.0, sd=17.0)
BOUNDS = [0.005 * 1.25**step for step in range(43)]


def why_bad(canary: Side, old: Side, rules: Canary, reference: ReferenceScores | None) -> str:
    return judge.why_bad(findings(canary, old, rules, reference), rules)


def in_doubt(canary: Side, old: Side, rules: Canary, reference: ReferenceScores | None) -> str:
    return judge.in_doubt(findings(canary, old, rules, reference))


def times(count: float, seconds: float) -> Times:
    """As many attempts, evenly spread over the logarithms from half to twice `seconds`."""
    steps = 40
    spread = [seconds * 2 ** (2 * (i + 0.5) / steps - 1) for i in range(steps)]
    shares = {bound: sum(one <= bound for one in spread) / steps for bound in [*BOUNDS, math.inf]}
    return Times({bound: share * count for bound, share in shares.items()})


def side(
    attempts: float, failed: float = 0, mean: float = 67.0, seconds: float = 0.9, clip: float | None = None
) -> Side:
    """Attempts of which all that were answered gave a score, with a standard deviation of 17 points."""
    scored = attempts - failed
    return Side(
        scored=scored,
        failures={"worker_died": failed} if failed else {},
        points=scored * mean,
        squares=scored * (mean**2 + 17**2),
        durations=times(scored, seconds),
        clip_times=times(scored, seconds / 9 if clip is None else clip),
    )


OLD = side(2800)


@pytest.mark.parametrize(
    ("canary", "figure"),
    [
        (side(0), ""),
        (side(500), ""),
        # The old release gets nine times as many: three that fail here alone may be chance, four hardly.
        (side(3, failed=3), ""),
        (side(5, failed=4), "error ratio: 4 of 5 attempts failed (worker_died 4), 80.0%"),
        (side(500, failed=10), ""),
        (side(500, failed=11), "error ratio: 11 of 500 attempts failed"),
        # Fewer than min_attempts say nothing of times and scores.
        (side(49, seconds=9), ""),
        (side(50, seconds=9), "p95: an attempt takes "),
        (side(300, seconds=0.9 * 1.2), ""),
        (side(300, seconds=0.9 * 1.5), "p95: an attempt takes "),
        (side(300, seconds=0.9 * 1.2, clip=0.1 * 1.5), "time per clip: 0.1"),
        # Half the clips of the same videos in the same time: callers wait no longer.
        (side(300, clip=0.2), ""),
        (side(49, mean=0), ""),
        (side(50, mean=0), "score shift: "),
        (side(1000, mean=67 + 4), ""),
        (side(300, mean=67 + 8.5), "score shift: the mean of 300 scores is 75.50, the manifest's 67.00"),
        (side(300, mean=67 - 8.5), "score shift: "),
    ],
)
def test_each_figure_trips_beyond_its_limit_and_not_at_it(canary: Side, figure: str) -> None:
    old = side(9 * canary.attempts)
    assert why_bad(canary, old, RULES, REFERENCE).startswith(figure)
    assert bool(why_bad(canary, old, RULES, REFERENCE)) == bool(figure)


def test_the_reason_is_a_sentence_with_both_releases_figures_and_the_chance_of_them() -> None:
    canary = side(312, failed=28)
    assert why_bad(canary, side(2800, failed=28), RULES, REFERENCE) == (
        "error ratio: 28 of 312 attempts failed (worker_died 28), 9.0%; the old release's 1.0% of 2,800, and "
        "max_error_ratio 2.0% more; chance of that in an equal release: < 0.01 %"
    )
    told = [str(one) for one in findings(side(312, failed=3), side(2800, failed=28), RULES, REFERENCE)]
    assert [one.partition(":")[0] for one in told] == [
        "error ratio",
        "unscored ratio",
        "p95",
        "time per clip",
        "score shift",
    ]
    assert told[0].endswith("chance of that in an equal release: 100 %")


def test_a_few_failures_more_are_chance_until_there_are_many() -> None:
    """9 of 60 where the old release fails 5 % of its attempts: not rare enough, and worth a longer look."""
    flaky = side(540, failed=27)
    canary = side(60, failed=8)
    assert not why_bad(canary, flaky, RULES, REFERENCE)
    assert in_doubt(canary, flaky, RULES, REFERENCE).startswith("error ratio: 8 of 60")
    assert why_bad(side(600, failed=80), side(5400, failed=270), RULES, REFERENCE)
    assert not in_doubt(side(600, failed=31), side(5400, failed=270), RULES, REFERENCE)


def test_more_steps_share_the_same_number_of_false_alarms() -> None:
    once, often = (RULES.model_copy(update={"steps": steps}) for steps in ((), (20, 30, 40, 50, 60)))
    canary, old = side(5, failed=4), side(45)
    assert why_bad(canary, old, once, None)
    assert not why_bad(canary, old, often, None)


def test_what_fails_at_both_tells_against_neither() -> None:
    poisoned = replace(side(100), alike=40)
    assert not why_bad(poisoned, OLD, RULES, REFERENCE)
    assert not in_doubt(poisoned, OLD, RULES, REFERENCE)


def test_one_video_that_fails_again_and_again_is_one_failure() -> None:
    repeated = replace(side(100, failed=1), repeated=50)
    assert not why_bad(repeated, OLD, RULES, REFERENCE)
    assert "1 of 100 attempts failed (worker_died 1) and 50 times again" in str(
        next(findings(repeated, OLD, RULES, REFERENCE))
    )


def test_a_release_that_answers_nothing_at_all_goes_even_if_it_was_one_video() -> None:
    dead = Side(failures={"worker_died": 1}, repeated=19)
    assert why_bad(dead, OLD, RULES, None).startswith("error ratio: 1 of 1 attempts failed")
    assert not why_bad(replace(dead, repeated=18), OLD, RULES, None)
    assert not why_bad(dead, Side(failures={"worker_died": 1}, repeated=19), RULES, None)


def test_answers_without_a_score_are_compared_with_the_old_releases() -> None:
    refusing = replace(side(237), unscored=63)
    assert "63 of 300 answers were no score, 21.0%" in why_bad(refusing, OLD, RULES, REFERENCE)
    assert not why_bad(refusing, replace(OLD, unscored=300), RULES, REFERENCE)
    assert not why_bad(replace(side(243), unscored=57), OLD, RULES, REFERENCE)


def test_dives_unlike_the_reference_dives_move_both_releases() -> None:
    beginners = side(2700, mean=30)
    assert not why_bad(side(300, mean=31), beginners, RULES, REFERENCE)
    assert "the old release's 30.00" in why_bad(side(300, mean=45), beginners, RULES, REFERENCE)
    # A retrained model may score unlike the old one, if it does as its own reference says.
    assert not why_bad(side(300, mean=67), beginners, RULES, REFERENCE)
    assert not why_bad(side(300, mean=5), OLD, RULES, None)


def test_a_mean_of_few_scores_is_off_by_chance() -> None:
    assert not why_bad(side(50, mean=67 + 7), OLD, RULES, REFERENCE)
    assert in_doubt(side(50, mean=67 + 7), OLD, RULES, REFERENCE).startswith("score shift")


def test_the_slowest_twentieth_alone_tells_too() -> None:
    slow_tail = side(600)
    tail = times(600, 9.0).buckets
    slow_tail.durations = Times(
        {bound: 0.85 * count + 0.15 * tail[bound] for bound, count in slow_tail.durations.buckets.items()}
    )
    assert why_bad(slow_tail, OLD, RULES, REFERENCE).startswith("p95: ")


def test_small_models_are_not_judged_by_the_machines_jitter() -> None:
    assert not why_bad(side(300, seconds=0.018), side(2700, seconds=0.009), RULES, REFERENCE)


def test_without_an_old_release_at_work_times_are_not_compared() -> None:
    assert not why_bad(side(100, seconds=30), side(10), RULES, REFERENCE)


def test_quantiles_are_interpolated_as_prometheus_does() -> None:
    assert Times({1.0: 90, 2.0: 100, math.inf: 100}).quantile(0.95) == pytest.approx(1.5)
    assert Times({1.0: 10, 2.0: 20, math.inf: 100}).quantile(0.95) == 2.0
    assert Times().quantile(0.95) == Times().typical == Times().above(1.0) == 0.0
    assert Times({1.0: 0, 4.0: 100, math.inf: 100}).typical == pytest.approx(2.0)


def sample(canary: Counts, stable: Counts) -> Sample:
    return Sample(0, True, 0, {}, {("canary", "1.1.0"): canary, ("stable", "1.0.0"): stable})


def test_a_window_counts_from_its_beginning_and_over_a_restart_of_the_front() -> None:
    # The same release was tried before: its counters do not begin at 0.
    window = Window(
        ("canary", "1.1.0"), ("stable", "1.0.0"), sample({"scored": 40, "worker_died": 7}, {"scored": 9})
    )
    window.add(sample({"scored": 50, "worker_died": 7, "points": 100.0}, {"scored": 29}))
    assert (window.canary.attempts, window.canary.failed, window.baseline.attempts) == (10, 0, 20)
    assert window.canary.mean_score == 10
    window.add(sample({"scored": 4, "no_worker": 1}, {}))
    assert (window.canary.attempts, window.canary.failed) == (15, 1)
    assert window.canary.failures == {"no_worker": 1}
    window.add(sample({"scored": 5, "no_worker": 1}, {"scored": 2}))
    assert (window.canary.attempts, window.baseline.attempts) == (16, 22)


def test_times_of_a_front_with_other_buckets_are_not_added_to_those_before() -> None:
    """One side's series may not be there yet when the front comes back as another version."""
    old = {"scored": 60.0, "attempt=0.5": 40.0, "attempt=1.0": 60.0, "clip=0.5": 60.0, "clip=inf": 60.0}
    new = {"scored": 80.0, "attempt=0.7": 70.0, "attempt=1.0": 80.0, "clip=0.7": 80.0, "clip=inf": 80.0}
    window = Window(("canary", "1.1.0"), ("stable", "1.0.0"), sample({}, {}))
    window.add(sample(old, old))
    window.add(sample({}, new))
    assert not why_bad(window.canary, window.baseline, RULES, None)
    assert window.baseline.durations.buckets == {0.7: 70, 1.0: 80}
    assert (window.canary.durations.buckets, window.canary.scored) == ({}, 60)
    window.add(sample(new, new))
    assert window.canary.clip_times.counts == window.baseline.clip_times.counts
    assert not why_bad(window.canary, window.baseline, RULES, None)


def test_scores_below_zero_are_as_bad_as_they_are() -> None:
    """Counters cannot fall, so such a score counts as 0: once for all sums."""
    state: Any = SimpleNamespace(queue=Queue(), admission=Admission(Limits()), draining=False, name="x")
    metrics = Metrics(state)
    window = Window(("canary", "1.1.0"), ("stable", "1.0.0"), parse(metrics.page("")[0].decode()))
    for number in range(60):
        answer = Answer(200, b'{"score": -9000, "clips": [{}]}', {})
        metrics.record_attempt(
            Attempt("canary", "1.1.0", "answered", 1.0, False, True, number, bytes([number]), answer)
        )
    window.add(parse(metrics.page("")[0].decode()))
    assert (window.canary.mean_score, window.canary.score_variance) == (0, 0)
    canary = replace(side(60), points=window.canary.points, squares=window.canary.squares)
    assert why_bad(canary, OLD, RULES, REFERENCE).startswith("score shift")


def test_what_the_front_writes_is_what_deployments_read() -> None:
    """Every name: a metric that is called otherwise on one side makes a canary blind."""
    state: Any = SimpleNamespace(
        queue=Queue(), admission=Admission(Limits()), draining=False, name="dive-scoring"
    )
    metrics = Metrics(state)
    metrics.config_modified.set(7)
    first = parse(metrics.page("")[0].decode())
    assert (first.modified, first.valid, first.retired_in_flight) == (7, True, 0)
    answers = [Answer(200, b'{"score": %d, "clips": [{}, {}, {}, {}]}' % points, {}) for points in (50, 70)]
    answers.append(Answer(422, b"{}", {}))
    for number, answer in enumerate(answers):
        metrics.record_attempt(
            Attempt("canary", "1.1.0", "answered", 2.0, False, True, number, bytes([number]), answer)
        )
    metrics.record_attempt(Attempt("canary", "1.1.0", "no_worker", 0.1, False, True, 9, b"9"))
    window = Window(("canary", "1.1.0"), ("stable", "1.0.0"), first)
    window.add(parse(metrics.page("")[0].decode()))
    seen = window.canary
    assert (seen.scored, seen.unscored, seen.failures) == (2, 1, {"no_worker": 1})
    assert (seen.mean_score, seen.score_variance) == (60, 200)
    assert seen.durations.quantile(0.5) == pytest.approx(2.0, rel=0.25)
    assert seen.clip_times.typical == pytest.approx(0.5, rel=0.25)
    assert sum(seen.clip_times.counts) == 2
    assert window.baseline == Side()


@pytest.mark.parametrize(("clips", "sd"), [(1, 0.0), (1, 5.0), (2, 0.0)])
def test_clips_too_few_or_too_alike_are_no_reference(clips: int, sd: float) -> None:
    archive = {"file": "dive-1.0.0.mar", "sha256": "0" * 64, "size_bytes": 1}
    scores = {"clips": clips, "mean": 50.0, "sd": sd}
    given = {"version": "1.0.0", "archive": archive, "torch": "2.13.0", "reference_scores": scores}
    assert Manifest.model_validate(given).reference is None
    enough = Manifest.model_validate({**given, "reference_scores": {**scores, "clips": 2, "sd": 5.0}})
    assert enough.reference is not None


def test_what_a_step_told_counts_in_the_next_and_what_told_nothing_does_not() -> None:
    first = {one.name: one for one in findings(side(90, failed=2), side(810), RULES, REFERENCE)}
    errors = first["error ratio"]
    assert 0.001 < errors.p_value < 0.1
    assert first["unscored ratio"].p_value == 1
    second = side(90, failed=8), side(90)
    alone = next(findings(*second, RULES, REFERENCE))
    assert not judge.why_bad(findings(*second, RULES, REFERENCE), RULES)
    carried = {name: one.p_value for name, one in first.items()}
    together = next(findings(*second, RULES, REFERENCE, carried))
    assert together.p_value == pytest.approx(alone.p_value * errors.p_value)
    told = judge.why_bad(findings(*second, RULES, REFERENCE, carried), RULES)
    assert told.startswith("error ratio: 8 of 90")
    # Equal in the second step: nothing of the first stays.
    equal = next(findings(side(900), side(900), RULES, REFERENCE, carried))
    assert equal.p_value == 1


def told(truths: int, off: float, spread: float) -> Side:
    """A release whose answers are so many points off by judges' scores, give or take."""
    return replace(side(2800), truths=truths, off=truths * off, off_squares=truths * (off**2 + spread**2))


def test_a_release_that_judges_find_worse_goes_where_truth_is_asked_for() -> None:
    rules = RULES.model_copy(update={"max_live_error": 3.0})
    old, worse = told(200, 5.0, 4.0), told(200, 8.0, 6.0)
    assert why_bad(worse, old, rules, None).startswith("live error: by judges' scores 200 answers are 8.00")
    assert not why_bad(worse, old, RULES, None)  # it was not asked for
    assert not why_bad(old, worse, rules, None)  # better is no fault
    assert not why_bad(told(29, 20.0, 6.0), old, rules, None)  # too few to tell


def test_equal_releases_are_seldom_told_apart_by_truth_and_worse_ones_mostly() -> None:
    """By simulation, looked at after each truth; errors are those of scores that are normally off."""
    rules = RULES.model_copy(update={"max_live_error": 3.0, "false_alarm_ratio": 0.05, "steps": ()})
    random = Random(3)

    def gone(sd: float) -> bool:
        sides = [side(2800), side(2800)]
        for number in range(400):
            which = number % 2
            error = abs(random.gauss(0, (sd, 6.0)[which]))
            one = sides[which]
            sides[which] = replace(
                one, truths=one.truths + 1, off=one.off + error, off_squares=one.off_squares + error**2
            )
            if number > 58 and why_bad(sides[0], sides[1], rules, None):
                return True
        return False

    assert sum(gone(6.0) for _ in range(60)) <= 1  # 0.05 * 0.15 of them, and none of 60 mostly
    assert sum(gone(12.0) for _ in range(10)) >= 9
