"""The few thresholds there are, each with its reason. Changing one is a changelog entry under "Verdicts"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """A limit in units of ``unit``, and why it is what it is."""

    limit: float
    unit: str
    because: str


ROUNDING = Tolerance(
    limit=32.0,
    unit="rounding units",
    because=(
        "one unit is the unit roundoff times the condition of the quantity (kappa = max|x| / sd for y); "
        "naive, pairwise and compensated summation stay below 10 units up to 65536 elements per channel, "
        "the smallest mistake worth the name is at 1e3"
    ),
)
NOISE = Tolerance(
    limit=32.0,
    unit="noise units (z)",
    because=(
        "one unit is the measured noise of this very function plus the truncation estimate; correct "
        "implementations stay below 23 over twelve decades of mean and scale, wrong ones start at 1e3"
    ),
)
ESCALATE = 1000.0
"""Between NOISE.limit and this, a gradient is measured again with more directions before it is judged."""

HONEST_NOISE = 16.0
"""Measured noise of a backward counts up to this many times what its dtype explains (correct ones: at most 1.8).

Without it, a backward that silently computes in float32 would measure its own rounding as noise and pass.
"""

CONVERGED = Tolerance(
    limit=64.0,
    unit="times the noise",
    because=(
        "at the best of the steps, truncation and the jump of the slope of a smooth function are at most 31 times the "
        "noise (4839 slopes of eight functions over twelve decades of scale); at a kink the gradient is off by half "
        "the jump, so that what is let through stays within 32 units of noise"
    ),
)
HONEST_SLOPE_NOISE = 128.0
"""Measured noise of a backward of unknown structure counts up to this many times that of the differences.

Correct ones of smooth functions stay below 1.6; more is a kink or the edge of the domain nearby, or a backward in
float32 of a forward in float64, which is at 2e6 and so gets a z of some thousands.
"""

RESOLUTION = Tolerance(
    limit=0.1,
    unit="of the derivative",
    because="a check that could not see an error of a tenth proves nothing",
)
ZERO = Tolerance(
    limit=1e-3,
    unit="of the loss",
    because="where the noise of a slope is a larger share of the loss, a slope within it may be anything",
)

IDENTITY = Tolerance(
    limit=8.0,
    unit="rounding units",
    because=(
        "correct implementations of every norm stay below 2 from two to 2048 elements per block, at mean / sd up to "
        "1e6 in float64 and 1e3 in float32, at scales of 1e-6 to 1e6, and in float16; dx off by 0.05 % is at 4e3 in "
        "float32, a wrong path or factor at 3e5 and more"
    ),
)
CONFORMANCE = Tolerance(
    limit=64.0,
    unit="calibrated units",
    because=(
        "correct implementations, online and folded variants among them, stay within 1 over the same data; dx off by "
        "0.05 % is at 790 in float32; between the two lies what is right and inaccurate"
    ),
)
HALF_CONFORMANCE = Tolerance(
    limit=8.0,
    unit="calibrated units",
    because=(
        "correct float16 stays below 0.25, whether it computes in float16 or in float32; 64 units would be as large "
        "as dx, and a missing mean path would pass"
    ),
)
HONEST_MULTIPLE = 8.0
"""A calibrated unit is this many times the larger error of two honest evaluations on the same data."""
HONEST_FLOOR = 0.25
"""Least error, in rounding units, that an honest evaluation is taken to make.

It may be exact by luck (float64 sums of few numbers): medians are 0.2 to 0.9 over 1300 sets of data.
"""

FEW_ULPS = Tolerance(
    limit=4.0,
    unit="ulps",
    because="one row alone may take the scalar tail of a vectorized loop, which rounds at most twice differently",
)
POWERS_OF_TWO = Tolerance(
    limit=32.0,
    unit="ulps",
    because=(
        "a square root, also as a power, scales to the last bit: all implementations measure 0; a root by way of "
        "exp and log, which rounds otherwise at another scale, measures 18"
    ),
)
ROUNDED = Tolerance(
    limit=8.0,
    unit="rounding units",
    because=(
        "on exact data nothing has to round; what rounds nevertheless (1 / M as a factor, an online variance, "
        "terms folded together) stays below 4.1 units in torch, C, Numba and NumPy for all norms and means up to 2^30, "
        "an approximate root of 18 bits reaches 9.7"
    ),
)
EXACT = Tolerance(limit=0.0, unit="differences", because="the claim is about bits or about a fact")

BANDS = ((1e-7, "comfortable"), (1e-4, "acceptable with kinks"), (1e-2, "doubtful"))
"""Upper ends of the courses' bands; beyond the last is "wrong"."""


def roundoff(dtype: str | np.dtype[np.floating]) -> float:
    """The spacing of the dtype at 1: 2.2e-16 for float64, 1.2e-7 for float32."""
    return float(np.finfo(dtype).eps)


def grade(error: float) -> str:
    """The accuracy grade of an error in rounding units: A within 1, B within 8, C beyond or not a number.

    >>> grade(0.3), grade(5.0), grade(float("nan"))
    ('A', 'B', 'C')
    """
    return "A" if error <= 1 else "B" if error <= 8 else "C"


def band(relative: float) -> str:
    """The courses' word for a relative error (cs231n notes, "Gradient checks").

    >>> band(1.7e-9), band(3e-6), band(5e-3), band(float("nan"))
    ('comfortable', 'acceptable with kinks', 'doubtful', 'wrong')
    """
    return next((word for end, word in BANDS if relative <= end), "wrong")
