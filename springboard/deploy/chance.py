"""How likely chance alone makes two equal releases look so different, however often one looks.

Whoever looks every second and stops at the first p-value below 0.001 is wrong far more often than once in
1,000: the fault of a t, z or Mann-Whitney test that is repeated. (Kayenta, the field's usual judge, compares
by Mann-Whitney and knows nothing of earlier looks.) The p-values here are valid at every look at once: 1/E,
where E is a mixture of likelihood ratios of alternatives against "equal", a mixture SPRT. Under "equal" E is
a non-negative martingale of mean 1, which ever rises to 1/p with probability p at most (Ville 1939; mixtures:
Robbins, Annals of Mathematical Statistics 41, 1970; in experiments: Johari, Koomen, Pekelis & Walsh, "Always
Valid Inference", Operations Research 70, 2022).
"""

import math
from collections.abc import Iterable, Sequence

# A bad release hardly fails more often than this many times the old one, where that fails at all.
_LIKELY = 4.0


def of_more(hits: float, tries: float, other_hits: float, other_tries: float) -> float:
    """Return the p-value of `hits` in `tries` where the other has so many, against no higher a rate.

    By the hits alone: in equal releases each falls on this one with probability w, its share of the tries,
    whatever their rate is and however it changes in time (Lindon & Malek, "Anytime-Valid Inference for
    Multinomial Count Data", NeurIPS 2022, for errors of canaries). The mixture is uniform over shares t from
    w to u, half for the u of `_LIKELY` times the rate and half for u = 1; for b of b + c hits each is

        E = integral of t^b (1 - t)^c dt / ((u - w) w^b (1 - w)^c)
          = B(b + 1, c + 1) (P(X <= b | w) - P(X <= b | u)) / ((u - w) w^b (1 - w)^c),

    X ~ Binomial(b + c + 1, share).
    """
    b, c = round(hits), round(other_hits)
    if not b or not tries or not other_tries:
        return 1.0
    w = tries / (tries + other_tries)
    likely = _LIKELY * w / (1 + (_LIKELY - 1) * w)
    beta = math.lgamma(b + 1) + math.lgamma(c + 1) - math.lgamma(b + c + 2)
    equal = b * math.log(w) + c * math.log1p(-w)
    below = _log_at_most(b, b + c + 1, w)
    parts = [
        math.log(part) + _log_minus(below, _log_at_most(b, b + c + 1, u)) - math.log(u - w)
        for part, u in ((0.5, likely), (0.5, 1.0))
    ]
    return _p_value(beta - equal + _log_sum(parts))


def of_shift(difference: float, variance: float, expected: float) -> float:
    """Return the p-value of an estimate of this variance, against 0.

    The mixture is normal around 0 with standard deviation `expected`, the size of difference that matters
    (Robbins 1970, Johari et al. 2022): E = sqrt(v / (v + e^2)) exp(d^2 e^2 / (2 v (v + e^2))). For sums of
    many independent parts (Waudby-Smith et al., "Time-uniform central limit theory and asymptotic confidence
    sequences", Annals of Statistics 52, 2024).
    """
    if not variance > 0:
        return 1.0 if difference == 0 else 0.0
    wider = variance + expected**2
    return _p_value(0.5 * math.log(variance / wider) + difference**2 * expected**2 / (2 * variance * wider))


def of_rank(counts: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Return how often one of these is above one of the others, less 1/2, and its variance if they are equal.

    Both are counts by the same ordered buckets; those in one bucket are ties. It is the statistic of Mann &
    Whitney (Annals of Mathematical Statistics 18, 1947): whatever the distribution, long videos among short
    ones, nothing needs to be known of it. Positive where these are the higher.
    """
    n, m = sum(counts), sum(others)
    total = n + m
    if not n or not m:
        return 0.0, 0.0
    above, below, ties = 0.0, 0.0, 0.0
    for count, other in zip(counts, others, strict=True):
        above += count * (below + other / 2)
        below += other
        ties += (count + other) ** 3 - (count + other)
    variance = (total + 1 - ties / (total * (total - 1))) / (12 * n * m)
    return above / (n * m) - 0.5, variance


def _p_value(log_e: float) -> float:
    return math.exp(-max(log_e, 0.0))


def _log_at_most(k: int, n: int, w: float) -> float:
    """Return log P(X <= k), X ~ Binomial(n, w), k < n."""
    if w >= 1:
        return -math.inf
    return _log_sum(
        math.lgamma(n + 1)
        - math.lgamma(i + 1)
        - math.lgamma(n - i + 1)
        + i * math.log(w)
        + (n - i) * math.log1p(-w)
        for i in range(k + 1)
    )


def _log_sum(logs: Iterable[float]) -> float:
    """Return the log of a sum."""
    logs = list(logs)
    highest = max(logs)
    if highest == -math.inf:
        return highest
    return highest + math.log(sum(math.exp(one - highest) for one in logs))


def _log_minus(log: float, less: float) -> float:
    """Return the log of a difference; of two that are the same but for rounding, of nothing."""
    ratio = math.exp(less - log)
    return log + math.log1p(-ratio) if ratio < 1 else -math.inf
