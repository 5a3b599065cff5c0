"""By what factor one sample of times differs from another that was measured independently of it.

The estimate is that of Hodges and Lehmann ("Estimates of location based on rank tests", Ann. Math. Stat.
34, 1963): the median of all pairwise ratios. Its interval lies between two of those ratios, chosen by the exact
distribution of Mann and Whitney's U: nothing is assumed of the noise but that both samples share it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import cache

from bnbench.model import Interval

CONFIDENCE = 0.99
EXACT = 60
"""The distribution takes as many steps as the fourth power of this."""


@cache
def orderings(count: int, other: int) -> tuple[int, ...]:
    """How many orderings of ``count`` and ``other`` values have U = 0, 1, ..., count * other.

    The coefficients of the Gaussian binomial: the product over i of (1 - q^(other + i)) / (1 - q^i).
    """
    coefficients = [1] + [0] * (count * other)
    for i in range(1, count + 1):
        for u in range(count * other, other + i - 1, -1):
            coefficients[u] -= coefficients[u - other - i]
        for u in range(i, count * other + 1):
            coefficients[u] += coefficients[u - i]
    return tuple(coefficients)


def shift_rank(count: int, other: int, *, confidence: float = CONFIDENCE) -> int:
    """How many pairwise ratios from either end the bounds of the interval stand, counted from 1; 0 if none will do.

    It is the largest k with 2 P(U < k) <= 1 - confidence: exactly up to ``EXACT`` values in all, beyond by the
    normal approximation of U, which is then right to a few ranks of hundreds.
    """
    if count + other > EXACT:
        spread = math.sqrt(count * other * (count + other + 1) / 12)
        far = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
        return max(math.floor(count * other / 2 - far * spread), 0)
    allowed = (1 - confidence) * math.comb(count + other, count)
    below = rank = 0
    for ways in orderings(count, other):
        if 2 * (below + ways) > allowed:
            break
        below += ways
        rank += 1
    return rank


def shift(before: Sequence[float], after: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval:
    """By what ``after`` is larger than ``before``: a ratio, above 1 is larger. All values are positive.

    The interval is without bounds where the samples are too small for the confidence: at 99 %, below 5 of each.
    Raises ValueError when either sample is empty.
    """
    ratios = sorted(math.log(b) - math.log(a) for a in before for b in after)
    if not ratios:
        raise ValueError("both samples need at least one value")
    rank = shift_rank(len(before), len(after), confidence=confidence)
    low, high = (ratios[rank - 1], ratios[-rank]) if rank else (-math.inf, math.inf)
    return Interval(median=math.exp(statistics.median(ratios)), low=math.exp(low), high=math.exp(high))
