"""Two arrays in, one Comparison out. NaN and a wrong shape are infinitely far from anything."""

from __future__ import annotations

import math

import numpy as np

from bnbench.model import Array, Comparison
from bnbench.tolerances import EXACT, Tolerance


def relative_error(got: Array, expected: Array) -> float:
    """The courses' metric, max |a - b| / max(1e-8, |a| + |b|); nan if an element is not finite.

    >>> relative_error(np.array([1.0, 0.0]), np.array([1.0, 1e-8]))
    1.0
    """
    if got.size == 0:
        return 0.0
    got, expected = got.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        return float((np.abs(got - expected) / np.maximum(1e-8, np.abs(got) + np.abs(expected))).max())


def compare(
    quantity: str, got: Array, expected: Array, unit: Array | float, tolerance: Tolerance, *, note: str = ""
) -> Comparison:
    """The largest |got - expected| in units of ``unit`` (broadcast against both), and where it is."""
    if got.shape != expected.shape:
        return differs(quantity, got=f"shape {got.shape}", expected=f"shape {expected.shape}")
    if got.size == 0:
        return agrees(quantity, f"an empty array of shape {got.shape}")
    errors = in_units(got, expected, unit)
    index = tuple(int(i) for i in np.unravel_index(np.argmax(errors), errors.shape))
    return Comparison(
        quantity=quantity,
        error=float(errors[index]),
        limit=tolerance.limit,
        unit=tolerance.unit,
        got=float(got[index]),
        expected=float(expected[index]),
        index=index,
        relative=relative_error(got, expected),
        trivial=not got.any() and not expected.any(),
        note=note,
    )


def in_units(got: Array, expected: Array, unit: Array | float) -> Array:
    """|got - expected| / unit elementwise, in float64; inf where the difference is not a number."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        difference = np.abs(got.astype(np.float64) - expected.astype(np.float64))
        errors = np.where(difference == 0, 0.0, difference / unit)
    return np.where(np.isnan(errors), math.inf, errors)


def compare_bits(quantity: str, got: Array, expected: Array, *, note: str = "") -> Comparison:
    """How many elements differ in their bits, and the first of them."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return differs(quantity, got=f"{got.dtype} {got.shape}", expected=f"{expected.dtype} {expected.shape}")
    if got.size == 0:
        return agrees(quantity, f"an empty array of shape {got.shape}")
    bits = f"u{got.dtype.itemsize}"
    different = got.view(bits) != expected.view(bits)
    index = tuple(int(i) for i in np.unravel_index(np.argmax(different), different.shape))
    return Comparison(
        quantity=quantity,
        error=float(different.sum()),
        limit=EXACT.limit,
        unit="elements with other bits",
        got=float(got[index]),
        expected=float(expected[index]),
        index=index,
        trivial=not got.any() and not expected.any(),
        note=note,
    )


def agrees(quantity: str, what: str) -> Comparison:
    """A fact that is as it should be."""
    return Comparison(quantity=quantity, error=0.0, limit=EXACT.limit, unit=EXACT.unit, got=what, expected=what)


def differs(quantity: str, *, got: str, expected: str, note: str = "") -> Comparison:
    """A fact that is not as it should be."""
    return Comparison(
        quantity=quantity, error=math.inf, limit=EXACT.limit, unit=EXACT.unit, got=got, expected=expected, note=note
    )
