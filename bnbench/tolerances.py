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

FEW_ULPS = Tolerance(
    limit=4.0,
    unit="ulps",
    because="one row alone may take the scalar tail of a vectorized loop, which rounds at most twice differently",
)
EXACT = Tolerance(limit=0.0, unit="differences", because="the claim is about bits or about a fact")

BANDS = ((1e-7, "comfortable"), (1e-4, "acceptable with kinks"), (1e-2, "doubtful"))
"""Upper ends of the courses' bands; beyond the last is "wrong"."""


def roundoff(dtype: str | np.dtype[np.floating]) -> float:
    """The spacing of the dtype at 1: 2.2e-16 for float64, 1.2e-7 for float32."""
    return float(np.finfo(dtype).eps)


def band(relative: float) -> str:
    """The courses' word for a relative error (cs231n notes, "Gradient checks").

    >>> band(1.7e-9), band(3e-6), band(5e-3), band(float("nan"))
    ('comfortable', 'acceptable with kinks', 'doubtful', 'wrong')
    """
    return next((word for end, word in BANDS if relative <= end), "wrong")
