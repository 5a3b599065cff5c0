import math

import numpy as np
import pytest

from bnbench.intervals import median_interval, ratio_interval, tail_rank


@pytest.mark.parametrize(("count", "rank"), [(6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (30, 10), (50, 18), (100, 40)])
def test_rank_is_that_of_the_published_sign_test_table(count, rank):
    assert tail_rank(count) == rank


def test_rank_is_the_largest_that_keeps_the_confidence():
    for count in range(6, 200):
        rank = tail_rank(count)
        outside = [2 * sum(math.comb(count, i) for i in range(k)) / 2**count for k in (rank, rank + 1)]
        assert outside[0] <= 0.05 < outside[1]


@pytest.mark.parametrize("count", [1023, 1024, 5000, 20000])
def test_rank_of_many_values_is_that_of_the_normal_limit(count):
    assert abs(tail_rank(count) - (count / 2 - 1.96 * math.sqrt(count) / 2)) < 2


def test_five_values_are_too_few():
    with pytest.raises(ValueError, match="5 values are too few"):
        median_interval([1.0, 2.0, 3.0, 4.0, 5.0])


def test_interval_of_eight_values_is_their_range():
    interval = median_interval([5.0, 3.0, 8.0, 1.0, 7.0, 2.0, 6.0, 4.0])
    assert (interval.low, interval.median, interval.high) == (1.0, 4.5, 8.0)


def _times(rng, rounds, slowdown=1.0):
    """Two functions on a noisy machine: skewed noise each, and drift and bursts that both meet."""
    machine = np.exp(0.3 * np.cumsum(rng.standard_normal(rounds)) / np.sqrt(rounds))
    machine *= np.where(rng.random(rounds) < 0.1, 5.0, 1.0)
    own = np.exp(0.02 * rng.exponential(size=(2, rounds)))
    return machine * own[0], slowdown * machine * own[1]


@pytest.mark.parametrize("rounds", [8, 12, 51])
def test_interval_of_equal_functions_covers_one_as_often_as_it_claims(rounds):
    rng = np.random.default_rng(rounds)
    trials = 1000
    intervals = [ratio_interval(*_times(rng, rounds)) for _ in range(trials)]
    covered = sum(interval.low <= 1 <= interval.high for interval in intervals)
    # Three standard deviations of a binomial count around the claim; the exact test covers more, never less.
    assert covered / trials >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


def test_interval_is_not_so_wide_that_it_always_covers():
    rng = np.random.default_rng(0)
    intervals = [ratio_interval(*_times(rng, 51)) for _ in range(1000)]
    assert sum(not interval.low <= 1 <= interval.high for interval in intervals) >= 10


def test_planted_difference_of_five_percent_is_found():
    rng = np.random.default_rng(1)
    intervals = [ratio_interval(*_times(rng, 51, slowdown=1.05)) for _ in range(200)]
    assert sum(interval.high < 1 for interval in intervals) >= 196
    assert np.median([interval.median for interval in intervals]) == pytest.approx(1 / 1.05, rel=2e-3)


def test_drift_that_both_meet_cancels_exactly():
    machine = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    interval = ratio_interval([3 * time for time in machine], machine)
    assert (interval.low, interval.median, interval.high) == pytest.approx((3, 3, 3), rel=1e-15)


def test_rounds_in_which_the_clock_did_not_move_are_left_out():
    interval = ratio_interval([0, 2, 2, 2, 2, 2, 2, 2], [1, 1, 1, 1, 1, 1, 1, 0])
    assert interval.median == pytest.approx(2)
    with pytest.raises(ValueError, match="too few"):
        ratio_interval([0] * 8, [1] * 8)
