"""Whether a new release may stay, by the front's figures of it and of the old one over the same time."""

from springboard.deploy.figures import Side
from springboard.deploy.settings import Canary
from springboard.releases.manifest import ReferenceScores

# Differences of small models' times below this are the machine's, not the release's.
_JITTER_SECONDS = 0.02


def why_bad(canary: Side, baseline: Side, rules: Canary, reference: ReferenceScores | None) -> str:
    """Return the figure that tells against the new release, with what is allowed; empty when none does.

    Ratios count as soon as the fewest attempts that are judged could not make them good again, so that a bad
    release goes early; the others once there are that many. An attempt that was saved by another at the old
    release has failed all the same.
    """
    enough = max(canary.attempts, rules.min_attempts)
    allowed = baseline.error_ratio + rules.max_error_ratio
    if canary.failed > allowed * enough:
        kinds = ", ".join(f"{name} {count:.0f}" for name, count in sorted(canary.failures.items()))
        return (
            f"error ratio: {canary.failed:.0f} of {canary.attempts:.0f} attempts failed ({kinds}); the old "
            f"release's is {baseline.error_ratio:.1%}, and max_error_ratio {rules.max_error_ratio:.1%} more"
        )
    unscored = canary.answered - canary.scored
    if unscored > (baseline.unscored_ratio + rules.max_unscored_ratio) * max(
        canary.answered, rules.min_attempts
    ):
        return (
            f"unscored ratio: {unscored:.0f} of {canary.answered:.0f} answers were no score; the old "
            f"release's is {baseline.unscored_ratio:.1%}, and max_unscored_ratio "
            f"{rules.max_unscored_ratio:.1%} more"
        )
    if min(canary.attempts, baseline.attempts) >= rules.min_attempts:
        limit = baseline.p95 * rules.max_p95_ratio
        if canary.p95 > limit + _JITTER_SECONDS:
            return (
                f"p95: an attempt takes {canary.p95:.3f} s, the old release's {baseline.p95:.3f} s, and "
                f"max_p95_ratio is {rules.max_p95_ratio:g}"
            )
    return _score_shift(canary, baseline, rules, reference)


def _score_shift(canary: Side, baseline: Side, rules: Canary, reference: ReferenceScores | None) -> str:
    """Judge the mean score.

    It must be off from the manifest's as well as from the old release's: callers' dives may be other than the
    reference dives, which moves both releases alike.
    """
    if reference is None or canary.scored < rules.min_attempts:
        return ""
    allowed = rules.max_score_shift * reference.sd
    others = [reference.mean]
    if baseline.scored >= rules.min_attempts:
        others.append(baseline.mean_score)
    if min(abs(canary.mean_score - other) for other in others) <= allowed:
        return ""
    return (
        f"score shift: the mean of {canary.scored:.0f} scores is {canary.mean_score:.2f}, the manifest's "
        f"{reference.mean:.2f} with a standard deviation of {reference.sd:.2f}"
        + (f", the old release's {baseline.mean_score:.2f}" if len(others) > 1 else "")
        + f", and max_score_shift is {rules.max_score_shift:g} standard deviations"
    )
