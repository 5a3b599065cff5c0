"""Blocks: which elements of x are normalized together, for every normalization.

One block has one mean and one variance. ``(N, C, *spatial)`` falls into

============  ==========  ===================================================
norm          blocks B    elements of one block, M
============  ==========  ===================================================
batch         C           N x spatial: a channel over the whole batch
layer         N           C x spatial: a row
group         N x G       C / G x spatial: a group of channels of a row
instance      N x C       spatial: a channel of a row
rms           N           C x spatial, and no mean is subtracted
============  ==========  ===================================================

Layer and instance norm are group norm with G = 1 and G = C (Wu and He, "Group Normalization",
arXiv:1803.08494, section 3.1). gamma and beta are per channel for all of them.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bnbench.model import Array, Norm

Scalar = TypeVar("Scalar", bound=np.generic)

GROUPED: tuple[Norm, ...] = ("layer", "group", "instance", "rms")
"""Norms whose blocks lie within a row: no running statistics, no modes."""


def groups_of(channels: int, norm: Norm, groups: int) -> int:
    """G, the number of blocks in a row of a grouped norm. Raises ValueError when G does not divide C."""
    count = {"layer": 1, "rms": 1, "instance": channels}.get(norm, groups)
    if count < 1 or channels % count:
        raise ValueError(f"{channels} channels do not fall into {count} groups of equal size")
    return count


def to_blocks(a: npt.NDArray[Scalar], norm: Norm, groups: int = 1) -> npt.NDArray[Scalar]:
    """``(N, C, *spatial)`` as ``(B, M)``, one block a row.

    >>> x = np.arange(12).reshape(2, 6)
    >>> to_blocks(x, "batch").shape, to_blocks(x, "layer").shape, to_blocks(x, "group", 3).tolist()[0]
    ((6, 2), (2, 6), [0, 1])
    """
    if norm == "batch":
        return np.moveaxis(a, 1, 0).reshape(a.shape[1], -1)
    count = groups_of(a.shape[1], norm, groups)
    return a.reshape(a.shape[0] * count, math.prod(a.shape[1:]) // count)


def panels(a: npt.NDArray[Scalar], norm: Norm, groups: int = 1) -> npt.NDArray[Scalar]:
    """``(N, C, *spatial)`` as ``(P, B, L)``: block b is ``[:, b]``, M = P L, and its position j is ``divmod(j, L)``.

    A view of a contiguous array, whichever norm it is: what is summed block by block is not transposed first.

    >>> x = np.arange(12).reshape(2, 6)
    >>> panels(x, "batch").shape, panels(x, "layer").shape, panels(x, "group", 3).tolist()[0][0]
    ((2, 6, 1), (1, 2, 6), [0, 1])
    """
    if norm == "batch":
        return a.reshape(a.shape[0], a.shape[1], math.prod(a.shape[2:]))
    count = groups_of(a.shape[1], norm, groups)
    return a.reshape(1, a.shape[0] * count, math.prod(a.shape[1:]) // count)


def from_blocks(b: npt.NDArray[Scalar], shape: tuple[int, ...], norm: Norm) -> npt.NDArray[Scalar]:
    """The inverse of :func:`to_blocks`: ``(B, M)`` as an array of this shape."""
    if norm == "batch":
        return np.moveaxis(b.reshape(shape[1], shape[0], *shape[2:]), 0, 1)
    return b.reshape(shape)


def spread(values: Array, shape: tuple[int, ...], norm: Norm) -> Array:
    """One value for each block, ``(B,)``, at every element of the block: an array of this shape."""
    elements: Any = int(np.prod(shape, dtype=int)) // max(len(values), 1)
    return from_blocks(np.repeat(values[:, np.newaxis], elements, axis=1), shape, norm)


def per_channel(a: Array, rank: int) -> Array:
    """``(C,)`` as ``(1, C, 1, ...)``, so that it broadcasts against ``(N, C, *spatial)``."""
    return a.reshape((1, -1) + (1,) * (rank - 2))


def channel_sum(a: Array) -> Array:
    """Sum over everything but the channels: ``(N, C, *spatial)`` to ``(C,)``."""
    total: Array = a.sum((0, *range(2, a.ndim)))
    return total
