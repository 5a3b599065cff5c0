"""In which layout an array shows another: transposed, reshaped, broadcast, a row of it, a part of it.

An array is compared as a *form*: its values flattened, with the sizes and names of the axes they came from.
The channels of group norm are two axes, G and C/G, so that every reshape a group norm makes is a
permutation of axes followed by merging neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from bnbench.model import Array, Inputs

TOLERANCE = 1e-11
"""Relative to the largest value of a form. On the data of probe_cases, float64 rounding stays below 1e-13 of it,
and the smallest slip looked for, eps = 1e-10 forgotten, moves sd by 2e-11 of it."""

SAME, RESHAPED, TRANSPOSED, BROADCAST, ORDER = "", "reshaped", "transposed", "broadcast", "in another order"
PARTLY, PARTIAL_SUM = "filled in part", "summed in part"
BY_AXIS = {"N": "row", "C": "channel", "G": "group", "C/G": "channel of a group", "H": "line", "W": "column"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Form:
    """The values of something, flattened from axes of these sizes and names."""

    label: Any
    flat: Array
    sizes: tuple[int, ...]
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    """The natural one, without axes of size 1."""
    layout: str = SAME
    """What this form is of its quantity: itself, or broadcast."""
    scale: float
    """Its largest value, in absolute value."""


def form(label: Any, values: Array, sizes: tuple[int, ...], axes: tuple[str, ...], layout: str = SAME) -> Form:
    """The form of ``values``, taken as an array of these axes."""
    flat = np.ascontiguousarray(values).ravel()
    shape = tuple(size for size in values.shape if size > 1)
    return Form(
        label=label, flat=flat, sizes=sizes, axes=axes, shape=shape, layout=layout, scale=float(np.abs(flat).max())
    )


def axes_of(inputs: Inputs) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Sizes and names of the axes of x; G and C/G for the channels of a group norm."""
    rows, channels, *spatial = inputs.x.shape
    names = {0: (), 1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}[len(spatial)]
    groups = inputs.options.groups
    if inputs.options.norm == "group" and 1 < groups < channels:
        return (rows, groups, channels // groups, *spatial), ("N", "G", "C/G", *names)
    return (rows, channels, *spatial), ("N", "C", *names)


@lru_cache(maxsize=256)
def transposes(sizes: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], ...], npt.NDArray[np.intp]]:
    """All orders of the axes, the given one first; for each, which flat element comes at which place."""
    orders = tuple(permutations(range(len(sizes))))
    places = np.arange(math.prod(sizes)).reshape(sizes)
    return orders, np.array([places.transpose(order).ravel() for order in orders])


def merges(shape: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    """Whether ``shape`` comes from ``sizes`` by merging neighbouring axes, splitting none across another."""
    return _boundaries(shape) <= _boundaries(sizes)


def _boundaries(sizes: tuple[int, ...]) -> set[int]:
    return set(np.cumprod(sizes[::-1]).tolist()) | {1}


def collapsed(value: Array) -> Array:
    """Without the axes along which the value is constant: of size 1, kept, broadcast or tiled.

    >>> collapsed(np.tile([[1.0, 2.0]], (3, 1)))
    array([1., 2.])
    """
    for axis in reversed(range(value.ndim)):
        first: Array = np.asarray(value.take(0, axis))
        if value.shape[axis] == 1 or _constant_along(value, axis, first):
            value = first
    return value


def _constant_along(value: Array, axis: int, first: Array) -> bool:
    corner = (0,) * value.ndim
    second = (*corner[:axis], 1, *corner[axis + 1 :])
    limit = TOLERANCE * abs(value[corner])
    if not abs(value[second] - value[corner]) <= limit:  # almost every array stops here
        return False
    return bool((np.abs(value - np.expand_dims(first, axis)) <= TOLERANCE * np.abs(first).max()).all())


def whole(
    shape: tuple[int, ...], flat: Array, pivot: int, known: Form, mask: npt.NDArray[np.bool_] | None
) -> str | None:
    """The layout in which a value of this shape shows all of the form; None when it doesn't.

    ``pivot`` is where the value's largest element is. With ``mask``, only these elements are compared.
    """
    if flat.size != known.flat.size:
        return None
    limit = TOLERANCE * known.scale
    orders, places = transposes(known.sizes)
    candidates = np.flatnonzero(np.abs(known.flat[places[:, pivot]] - flat[pivot]) <= limit)
    reordered = False
    for candidate in candidates:
        difference = np.abs(known.flat[places[candidate]] - flat)
        if mask is not None:
            difference = difference[mask]
        if not (difference <= limit).all():
            continue
        if not merges(shape, tuple(known.sizes[axis] for axis in orders[candidate])):
            reordered = True
        elif candidate:
            return TRANSPOSED
        else:
            return SAME if tuple(size for size in shape if size > 1) == known.shape else RESHAPED
    return ORDER if reordered else None


def slices(flat: Array, pivot: int, known: Form, at: int) -> Iterator[str]:
    """The layouts in which a value shows a part of the form that has some axes fixed, element ``at`` included."""
    index = np.unravel_index(at, known.sizes)
    block = known.flat.reshape(known.sizes)
    rank = len(known.sizes)
    limit = TOLERANCE * known.scale
    for kept in range(rank):
        for axes in combinations(range(rank), kept):
            sizes = tuple(known.sizes[axis] for axis in axes)
            if math.prod(sizes) != flat.size:
                continue
            part = block[tuple(slice(None) if axis in axes else index[axis] for axis in range(rank))].ravel()
            _, places = transposes(sizes)
            for place in places[np.abs(part[places[:, pivot]] - flat[pivot]) <= limit]:
                if (np.abs(part[place] - flat) <= limit).all():
                    yield slice_words(tuple(name for axis, name in enumerate(known.axes) if axis not in axes), kept)
                    break


def slice_words(fixed: tuple[str, ...], kept: int) -> str:
    """Words for what remains when these axes are fixed."""
    if not kept:
        return "element by element"
    if fixed == ("G", "C/G"):
        fixed = ("C",)
    words = " and ".join(BY_AXIS.get(name, name) for name in fixed)
    return f"{words} by {words}" if len(fixed) == 1 else f"by {words}"
