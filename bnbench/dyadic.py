"""Whole numbers with a given mean square, and a cotangent with whole means: what exact fixtures are made of.

Deviations come in pairs +-d, so that their sum is 0, and any whole number is a sum of four squares
(Lagrange, 1770): hence any mean square can be had from 8 numbers on. Four squares are found as M. Rabin and
J. Shallit do ("Randomized algorithms in number theory", Comm. Pure Appl. Math. 39, 1986).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Whole: TypeAlias = npt.NDArray[np.int64]


def deviations(elements: int, variance: int, rng: np.random.Generator, *, paired: bool) -> Whole:
    """Whole numbers ``(M,)`` with mean square ``variance``; ``paired`` +-, or with random signs and a sum.

    ``elements`` is at least 8, and ``elements * variance`` is even.
    """
    pairs, zeros = divmod(elements, 2)
    most = math.isqrt(3 * variance)  # uniform numbers up to here have mean square ``variance``
    total = elements * variance // 2
    rest = -1
    while not 0 <= rest <= 8 * variance:
        free = rng.integers(0, most + 1, pairs - 4)
        rest = total - int((free**2).sum())
    half = np.concatenate([free, four_squares(rest, rng)])
    while True:
        signs = np.repeat([1, -1], pairs) if paired else rng.choice([1, -1], 2 * pairs)
        d = np.concatenate([signs * np.tile(half, 2), np.zeros(zeros, dtype=np.int64)])
        if paired or not variance or d.sum():
            return rng.permutation(d)


def four_squares(total: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Four whole numbers whose squares sum to ``total``, not always the same ones.

    >>> sum(n * n for n in four_squares(279, np.random.default_rng(0)))
    279
    """
    while True:
        a = int(rng.integers(0, math.isqrt(total) + 1))
        b = int(rng.integers(0, math.isqrt(total - a * a) + 1))
        rest = total - a * a - b * b
        for c in range(math.isqrt(rest // 2) + 1):
            root = math.isqrt(rest - c * c)
            if root * root == rest - c * c:
                return a, b, c, root


def cotangent(d: Whole, rng: np.random.Generator) -> Whole:
    """g ``(M,)`` of small whole numbers, such that mean(g) and mean(g d) are whole and not zero.

    Not zero, so that a path that is missing shows: a g with sum 0 has no path through the mean.
    """
    elements = d.size
    pairs, zeros = divmod(elements, 2)
    while True:
        half = rng.integers(1, 5, pairs)
        g = rng.choice([-2, -1, 1, 2]) + np.concatenate([half, -half, np.zeros(zeros, dtype=np.int64)])
        shuffled = rng.permuted(np.tile(g, (64, 1)), axis=1)
        products = shuffled @ d
        (suitable,) = np.nonzero((products % elements == 0) & ((products != 0) | (not d.any())))
        if suitable.size:
            return np.asarray(shuffled[suitable[0]], dtype=np.int64)
