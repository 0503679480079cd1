"""How far a release's scores are off from judges', over the truths that came last."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

# A correlation of fewer says nothing.
_LEAST_RANKED = 3


@dataclass(frozen=True)
class LiveFigures:
    """Of `count` truths: the mean absolute error in points; Spearman's rank correlation, None of too few."""

    count: int
    error: float
    correlation: float | None


def live_figures(pairs: Sequence[tuple[float, float]]) -> LiveFigures:
    """Return the figures of (score, truth) in points; there must be one at least."""
    error = sum(abs(score - truth) for score, truth in pairs) / len(pairs)
    return LiveFigures(len(pairs), error, rank_correlation(pairs))


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return Spearman's rho with mid-ranks for ties, None of fewer than three or where one side is constant.

    Spearman, "The proof and measurement of association between two things", American Journal of Psychology
    15, 1904; with ties it is the correlation of the mid-ranks.
    """
    if len(pairs) < _LEAST_RANKED:
        return None
    scores, truths = (_ranks([pair[side] for pair in pairs]) for side in (0, 1))
    middle = (len(pairs) + 1) / 2
    together = sum((a - middle) * (b - middle) for a, b in zip(scores, truths, strict=True))
    spread = sqrt(sum((a - middle) ** 2 for a in scores) * sum((b - middle) ** 2 for b in truths))
    return together / spread if spread else None


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + 1 + end) / 2
        start = end
    return ranks
