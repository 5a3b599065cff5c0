import math
from itertools import combinations

import numpy as np
import pytest

from bnbench.shift import orderings, shift, shift_rank


@pytest.mark.parametrize(("count", "other"), [(1, 1), (2, 3), (4, 4)])
def test_orderings_are_those_that_are_counted(count, other):
    counted = [0] * (count * other + 1)
    for chosen in combinations(range(count + other), count):
        counted[sum(place - i for i, place in enumerate(chosen))] += 1

    assert list(orderings(count, other)) == counted


def test_the_interval_of_six_and_six_lies_at_the_third_ratio_from_either_end():
    # 2 (1 + 1 + 2) of 924 orderings are at most 1 %, and 2 (1 + 1 + 2 + 3) are more.
    assert shift_rank(6, 6) == 3
    found = shift([1.0] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    assert (found.median, found.low, found.high) == pytest.approx((math.sqrt(12), 1.0, 6.0))


def test_large_samples_have_the_rank_of_the_exact_distribution(monkeypatch):
    near = shift_rank(40, 50)
    monkeypatch.setattr("bnbench.shift.EXACT", 100)

    assert near == pytest.approx(shift_rank(40, 50), abs=5)
    assert near > 600


def test_samples_that_are_too_small_give_no_bounds():
    found = shift([1.0, 1.1], [2.0, 2.1])

    assert found.low == 0
    assert found.high == math.inf
    assert found.median == pytest.approx(math.sqrt(2.0 * 2.1 / 1.1))
    with pytest.raises(ValueError, match="at least one value"):
        shift([], [1.0])


def test_the_interval_covers_the_true_ratio_as_often_as_it_says():
    generator = np.random.default_rng(3)
    missed = 0
    for _ in range(1000):
        before = generator.lognormal(0, 0.05, 6)
        after = generator.lognormal(math.log(1.3), 0.05, 6)
        found = shift(before, after)
        missed += not found.low <= 1.3 <= found.high
    assert missed <= 20
