"""What chance makes of equal releases: the formulas against integrals, enumeration and exact sums."""

import random
from itertools import accumulate, combinations
from math import comb

import pytest

from springboard.deploy import chance


@pytest.mark.parametrize(
    ("b", "n", "c", "m"),
    [(4, 191, 0, 1728), (20, 300, 60, 2700), (5, 10, 3, 10), (1, 1, 0, 99), (300, 400, 90, 900)],
)
def test_more_hits_weigh_as_the_integral_of_their_likelihood_ratio_says(
    b: int, n: int, c: int, m: int
) -> None:
    w, steps = n / (n + m), 20_000

    def mean(u: float) -> float:
        shares = [w + (u - w) * (i + 0.5) / steps for i in range(steps)]
        return sum((t / w) ** b * ((1 - t) / (1 - w)) ** c for t in shares) / steps

    evidence = 0.5 * mean(4 * w / (1 + 3 * w)) + 0.5 * mean(1)
    assert chance.of_more(b, n, c, m) == pytest.approx(min(1, 1 / evidence), rel=1e-3)


@pytest.mark.parametrize("w", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("limit", [0.05, 0.001])
def test_looked_at_after_each_hit_equal_releases_differ_no_more_often_than_the_limit(
    w: float, limit: float
) -> None:
    """Exactly, over all ways that 150 hits may fall on two releases."""
    paths, crossed = {0: 1.0}, 0.0
    for hits in range(1, 151):
        after: dict[int, float] = {}
        for b, likely in paths.items():
            after[b + 1] = after.get(b + 1, 0.0) + likely * w
            after[b] = after.get(b, 0.0) + likely * (1 - w)
        paths = {}
        for b, likely in after.items():
            if chance.of_more(b, 10_000 * w, hits - b, 10_000 * (1 - w)) <= limit:
                crossed += likely
            else:
                paths[b] = likely
    assert crossed <= limit


def test_twice_the_rate_is_found_and_fewer_hits_never_tell() -> None:
    assert chance.of_more(100, 1000, 450, 9000) < 1e-5
    assert chance.of_more(50, 1000, 450, 9000) > 0.2
    assert chance.of_more(10, 1000, 450, 9000) == 1.0
    assert chance.of_more(0, 1000, 450, 9000) == chance.of_more(5, 50, 0, 0) == 1.0


def test_a_shift_is_looked_at_often_and_still_found_by_chance_as_rarely_as_the_limit() -> None:
    dice, looks, wrong = random.Random(1), 200, 0
    for _ in range(1000):
        sums = accumulate(dice.gauss(0, 17) for _ in range(looks))
        wrong += any(chance.of_shift(s / n, 17**2 / n, 8.5) <= 0.05 for n, s in enumerate(sums, 1))
    assert wrong / 1000 <= 0.05
    assert chance.of_shift(8.5, 17**2 / 120, 8.5) < 1e-3
    assert chance.of_shift(-8.5, 17**2 / 120, 8.5) == chance.of_shift(8.5, 17**2 / 120, 8.5)


def test_without_any_spread_a_difference_is_no_chance() -> None:
    assert chance.of_shift(0.0, 0.0, 1.0) == 1.0
    assert chance.of_shift(0.1, 0.0, 1.0) == 0.0


def test_ranks_are_as_counted_pair_by_pair_and_vary_as_all_assignments_do() -> None:
    values, n = [0, 0, 1, 2, 2, 2, 3, 4], 3
    shifts = []
    for chosen in combinations(range(len(values)), n):
        these = [values[i] for i in chosen]
        others = [value for i, value in enumerate(values) if i not in chosen]
        pairs = [(a > b) + (a == b) / 2 for a in these for b in others]
        shift, variance = chance.of_rank(*([side.count(k) for k in range(5)] for side in (these, others)))
        assert shift == pytest.approx(sum(pairs) / len(pairs) - 0.5)
        shifts.append(shift)
    assert len(shifts) == comb(8, 3)
    assert sum(shifts) == pytest.approx(0)
    assert variance == pytest.approx(sum(shift**2 for shift in shifts) / len(shifts))


def test_ranks_of_none_and_of_nothing_but_ties_tell_nothing() -> None:
    assert chance.of_rank([0, 0], [1, 2]) == (0.0, 0.0)
    assert chance.of_rank([0, 5], [0, 7]) == (0.0, 0.0)
