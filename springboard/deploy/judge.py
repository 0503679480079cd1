"""Whether a new release may stay, by the front's figures of it and of the old one over the same time.

A figure tells against it when it is off by more than the settings allow and chance alone hardly makes two
equal releases look so: chance.py, at every look. `false_alarm_ratio` is shared by all figures of all steps
(Bonferroni), so that an equal release goes that often at most in a whole trial.

What a figure told in the steps before counts on (`carried`): whoever bets on a difference may put in what was
won before, so p-values are multiplied; a figure that told nothing begins anew. As the stake is spread over
the steps to begin at, the chance of a false alarm stays shared as said (Shafer, "Testing by betting", Journal
of the Royal Statistical Society A 184, 2021).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import sqrt

from springboard.deploy import chance
from springboard.deploy.figures import Side
from springboard.deploy.settings import Canary
from springboard.releases.manifest import ReferenceScores

# Differences of small models' times below this are the machine's, not the release's.
_JITTER_SECONDS = 0.02
# Enough that not one answer among them is no chance, whatever the traffic: the old release answered those.
_DEAD = 20
# In mean ranks: one of 1.5 times the time is off by 0.11 to 0.33 where times vary by factors of e to 1.35.
_RANK_SHIFT = 0.2
# Fewer tell too little of their own variance.
_LEAST_SCORES = 10
# Of `false_alarm_ratio`, by figure: errors hurt most, and are the rarest to tell by.
_SHARES = {
    "error ratio": 0.4,
    "unscored ratio": 0.15,
    "p95": 0.15,
    "time per clip": 0.15,
    "score shift": 0.15,
    "live error": 0.15,
}
# As likely as not no chance: worth a longer look.
_DOUBT = 0.5
# Estimates of variances are too small as often as too large, and few errors are hardly normal.
_LEAST_TRUTHS = 30


@dataclass(frozen=True)
class Finding:
    """One figure, whether it is beyond what is allowed, and how likely that is in an equal release.

    `name` is the figure's own in every step, `figure` tells it.
    """

    name: str
    figure: str
    beyond: bool
    p_value: float

    def __str__(self) -> str:
        percent = 100 * self.p_value
        shown = "< 0.01" if percent < 0.01 else f"{percent:.2g}" if percent < 10 else f"{percent:.0f}"
        return f"{self.name}: {self.figure}; chance of that in an equal release: {shown} %"


def why_bad(found: Iterator[Finding], rules: Canary) -> str:
    """Return the figure that tells against the new release, with what is allowed; empty when none does."""
    judged = sum(_SHARES.values()) - (_SHARES["live error"] if rules.max_live_error is None else 0)
    of_step = rules.false_alarm_ratio / (1 + len(rules.steps)) / judged
    return _first(found, {name: share * of_step for name, share in _SHARES.items()})


def in_doubt(found: Iterator[Finding]) -> str:
    """Return a figure that may yet tell against it, with more requests; empty when none does."""
    return _first(found, dict.fromkeys(_SHARES, _DOUBT))


def _first(found: Iterator[Finding], limits: Mapping[str, float]) -> str:
    return next((str(one) for one in found if one.beyond and one.p_value <= limits[one.name]), "")


def findings(
    canary: Side,
    baseline: Side,
    rules: Canary,
    reference: ReferenceScores | None,
    carried: Mapping[str, float] | None = None,
) -> Iterator[Finding]:
    """Yield every figure there is enough of to compare; `carried` has the steps' before p-values by name."""
    for one in _of_step(canary, baseline, rules, reference):
        before = (carried or {}).get(one.name, 1.0)
        yield replace(one, p_value=one.p_value * before) if one.p_value < 1 else one


def _of_step(
    canary: Side, baseline: Side, rules: Canary, reference: ReferenceScores | None
) -> Iterator[Finding]:
    yield _errors(canary, baseline, rules)
    yield _unscored(canary, baseline, rules)
    if min(canary.scored, baseline.scored) >= rules.min_attempts:
        yield from _times(canary, baseline, rules)
        if reference is not None and canary.scored >= _LEAST_SCORES:
            yield _scores(canary, baseline, rules, reference)
    if rules.max_live_error is not None and min(canary.truths, baseline.truths) >= _LEAST_TRUTHS:
        yield _live_error(canary, baseline, rules.max_live_error)


def _errors(canary: Side, baseline: Side, rules: Canary) -> Finding:
    """Judge failures of videos that another release answers; what fails at both is neither's fault."""
    kinds = ", ".join(f"{name} {count:.0f}" for name, count in sorted(canary.failures.items()))
    again = f" and {canary.repeated:,.0f} times again" if canary.repeated else ""
    figure = (
        f"{canary.failed:,.0f} of {canary.attempts:,.0f} attempts failed"
        f"{f' ({kinds})' if kinds else ''}{again}, {canary.error_ratio:.1%}; the old release's "
        f"{baseline.error_ratio:.1%} of {baseline.attempts:,.0f}, and max_error_ratio "
        f"{rules.max_error_ratio:.1%} more"
    )
    if not canary.answered and baseline.answered and canary.failed + canary.repeated >= _DEAD:
        return Finding("error ratio", figure, True, 0.0)
    beyond = canary.error_ratio > baseline.error_ratio + rules.max_error_ratio
    p_value = chance.of_more(canary.failed, canary.tries, baseline.failed, baseline.tries)
    return Finding("error ratio", figure, beyond, p_value)


def _unscored(canary: Side, baseline: Side, rules: Canary) -> Finding:
    """Judge answers that are no score: mostly the callers' fault, so only where they are far more."""
    figure = (
        f"{canary.unscored:,.0f} of {canary.answered:,.0f} answers were no score, "
        f"{canary.unscored_ratio:.1%}; the old release's {baseline.unscored_ratio:.1%} of "
        f"{baseline.answered:,.0f}, and max_unscored_ratio {rules.max_unscored_ratio:.1%} more"
    )
    beyond = canary.unscored_ratio > baseline.unscored_ratio + rules.max_unscored_ratio
    p_value = chance.of_more(canary.unscored, canary.answered, baseline.unscored, baseline.answered)
    return Finding("unscored ratio", figure, beyond, p_value)


def _times(canary: Side, baseline: Side, rules: Canary) -> Iterator[Finding]:
    """Judge the slowest twentieth of attempts, and the time a clip takes, whatever the length of its video.

    A release that is slower by `max_p95_ratio` shall be found, and its estimate is below that as often as
    above it; so the line is half way, at the square root.
    """
    line = sqrt(rules.max_p95_ratio)
    slow = baseline.p95 * line
    above, others = canary.durations.above(slow), baseline.durations.above(slow)
    tail = chance.of_more(above, canary.scored, others, baseline.scored)
    late = canary.p95 > slow + _JITTER_SECONDS
    clip, old = canary.clip_times.typical, baseline.clip_times.typical
    difference, variance = chance.of_rank(canary.clip_times.counts, baseline.clip_times.counts)
    rank = chance.of_shift(max(difference, 0.0), variance, _RANK_SHIFT)
    slower = clip > old * line and canary.durations.typical > baseline.durations.typical + _JITTER_SECONDS
    if late and slower:  # two sides of one thing: either proves it
        tail = rank = min(tail, rank)
    yield Finding(
        "p95",
        f"an attempt takes {canary.p95:.3f} s, the old release's {baseline.p95:.3f} s, and "
        f"max_p95_ratio is {rules.max_p95_ratio:g}",
        late,
        tail,
    )
    yield Finding(
        "time per clip",
        f"{clip:.4f} s, the old release's {old:.4f} s, {clip / old if old else 1:.2f} times, "
        f"nearer to max_p95_ratio {rules.max_p95_ratio:g} than to 1",
        slower,
        rank,
    )


def _scores(canary: Side, baseline: Side, rules: Canary, reference: ReferenceScores) -> Finding:
    """Judge the mean score; as for times, the line is half way to `max_score_shift`.

    It must be off from the manifest's as well as from the old release's: callers' dives may be other than
    the reference dives, which moves both releases alike.
    """
    allowed = rules.max_score_shift * reference.sd
    own = canary.score_variance / canary.scored
    others = (
        (reference.mean, reference.sd**2 / reference.clips),
        (baseline.mean_score, baseline.score_variance / baseline.scored),
    )
    off = [canary.mean_score - mean for mean, _ in others]
    p_values = [
        chance.of_shift(one, own + variance, allowed) for one, (_, variance) in zip(off, others, strict=True)
    ]
    return Finding(
        "score shift",
        f"the mean of {canary.scored:,.0f} scores is {canary.mean_score:.2f}, the manifest's "
        f"{reference.mean:.2f} with a standard deviation of {reference.sd:.2f}, the old release's "
        f"{baseline.mean_score:.2f} of {baseline.scored:,.0f}, and max_score_shift is "
        f"{rules.max_score_shift:g} standard deviations",
        min(abs(one) for one in off) > allowed / 2,
        max(p_values),
    )


def _live_error(canary: Side, baseline: Side, allowed: float) -> Finding:
    """Judge how far scores are off from judges'; better is no fault. As for times, the line is half way."""
    off = canary.mean_off - baseline.mean_off
    variance = canary.off_variance / canary.truths + baseline.off_variance / baseline.truths
    return Finding(
        "live error",
        f"by judges' scores {canary.truths:,.0f} answers are {canary.mean_off:.2f} points off, the old "
        f"release's {baseline.truths:,.0f} {baseline.mean_off:.2f}, and max_live_error is {allowed:g} more",
        off > allowed / 2,
        chance.of_shift(max(off, 0.0), variance, allowed),
    )
