"""Medians with distribution-free confidence intervals, alone and of paired times.

Times are skewed, have outliers and drift, so nothing here assumes a distribution: the interval of a
median is between two order statistics whose coverage follows from the sign test (Conover, "Practical
Nonparametric Statistics", section 3.2), exact for every sample size and without random resampling.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from fractions import Fraction
from functools import cache

from bnbench.model import Interval

CONFIDENCE = 0.95


@cache
def tail_rank(count: int, *, confidence: float = CONFIDENCE) -> int:
    """How many values from either end the bounds of the median's interval stand, counted from 1.

    It is the largest k with 2 P(B < k) <= 1 - confidence, where B ~ Binomial(count, 1/2) counts the
    values below the true median. Raises ValueError when no k will do: at 95 %, below 6 values.
    """
    allowed = Fraction(1 - confidence) * 2**count  # in floats, 2^1024 is infinite
    below, rank, ways = 0, 0, 1
    while 2 * (below + ways) <= allowed:
        below += ways
        ways = ways * (count - rank) // (rank + 1)
        rank += 1
    if rank == 0:
        raise ValueError(f"{count} values are too few for an interval at {confidence:.0%}")
    return rank


def median_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval:
    """The median and its interval, which covers the true median at least ``confidence`` of the time.

    Raises ValueError when there are too few values, see :func:`tail_rank`.
    """
    rank = tail_rank(len(values), confidence=confidence)
    ordered = sorted(values)
    return Interval(median=statistics.median(ordered), low=ordered[rank - 1], high=ordered[-rank])


def ratio_interval(baseline: Sequence[float], own: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval:
    """The median of ``baseline / own`` over rounds, with its interval: above 1, ``own`` is faster.

    The two times of one round were measured next to each other, so that what slowed the machine in
    that round cancels in ln(baseline) - ln(own). A round in which the clock did not move says nothing
    and is left out. Raises ValueError when there are too few rounds, see :func:`tail_rank`.
    """
    differences = [
        math.log(base) - math.log(time) for base, time in zip(baseline, own, strict=True) if base > 0 and time > 0
    ]
    interval = median_interval(differences, confidence=confidence)
    return Interval(median=math.exp(interval.median), low=math.exp(interval.low), high=math.exp(interval.high))
