"""Two tools of numeric differentiation: extrapolation of differences to a higher order, and the noise of a function."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bnbench.model import Array

LEVELS = 3
NOISE_OFFSETS = range(-3, 4)
ROMBERG_GAIN = math.sqrt(2) * math.sqrt((256 / 45) ** 2 + (40 / 45) ** 2 + (1 / 45) ** 2) / 2
"""Noise of the extrapolated derivative over (noise of phi / first step): 4.07, from Romberg's weights."""


def romberg(estimates: Sequence[Array]) -> tuple[Array, Array]:
    """Extrapolate estimates at steps t, t/2, t/4, ... with even error terms.

    Returns the best value and the size of the last correction.

    >>> derivative = lambda t: np.array([(math.exp(t) - math.exp(-t)) / (2 * t)])
    >>> value, truncation = romberg([derivative(0.4), derivative(0.2), derivative(0.1)])
    >>> bool(abs(value[0] - 1) < 2e-8 < truncation[0])
    True
    """
    row: list[Array] = []
    last = estimates[0]
    for estimate in estimates:
        previous, row = row, [estimate]
        for order, coarse in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarse) / (4**order - 1))
        last = row[-2] if len(row) > 1 else row[-1]
    return row[-1], np.abs(row[-1] - last)


def noise_level(values: Array) -> Array:
    """Standard deviation of the noise in equally spaced values, along the first axis (ECnoise).

    The k-th differences of smooth values vanish, those of noise grow by a known factor. The first
    order at which three estimates in a row agree within a factor of 4 is taken; where none does,
    the largest of the highest three.
    """
    estimates = []
    differences = values
    for k in range(1, len(values)):
        differences = differences[1:] - differences[:-1]
        estimates.append(np.sqrt((differences**2).mean(0) * math.factorial(k) ** 2 / math.factorial(2 * k)))
    sigma = np.array(estimates)
    result = sigma[-3:].max(0)
    for k in reversed(range(len(sigma) - 2)):
        window = sigma[k : k + 3]
        result = np.where(window.max(0) <= 4 * window.min(0), sigma[k], result)
    return np.asarray(result)
