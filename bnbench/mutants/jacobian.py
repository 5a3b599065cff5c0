"""Normalizations whose blocks are not independent: each lets a little of one block into the next."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np

from bnbench.model import Array, Forward, GroupedForward, Vjp
from bnbench.mutants.recipe import Mutant, forward_of

LEAK = 1e-6
"""Small enough to be within the rounding of float32."""


def _leaking_batch() -> Forward:
    forward = cast("Forward", forward_of())

    def leaking(x: Array, *others: Array, **options: Any) -> tuple[Array, tuple[Array, Array], Vjp]:
        y, running, vjp = forward(_mixed(x, 1), *others, **options)
        return y, running, partial(_matching, vjp, axis=1)

    return leaking


def _leaking_layer() -> GroupedForward:
    forward = cast("GroupedForward", forward_of(norm="layer"))

    def leaking(x: Array, *others: Array, **options: Any) -> tuple[Array, Vjp]:
        y, vjp = forward(_mixed(x, 0), *others, **options)
        return y, partial(_matching, vjp, axis=0)

    return leaking


def _mixed(x: Array, axis: int) -> Array:
    """What the normalization sees: every block with a little of its neighbour."""
    return np.asarray(x + x.dtype.type(LEAK) * np.roll(x, 1, axis))


def _matching(vjp: Vjp, dy: Array, *, axis: int) -> tuple[Array, Array, Array]:
    """The exact backward of the leak, so that no comparison with the forward can see it."""
    dx, dgamma, dbeta = vjp(dy)
    return dx + dx.dtype.type(LEAK) * np.roll(dx, -1, axis), dgamma, dbeta


JACOBIAN: tuple[Mutant, ...] = (
    Mutant(
        name="a_channel_leaks_into_the_next",
        bug="x of a channel enters the next channel with weight 1e-6, and the backward follows",
        make=_leaking_batch,
    ),
    Mutant(
        name="a_row_leaks_into_the_next",
        bug="x of a row enters the next row with weight 1e-6, and the backward follows (layer norm)",
        make=_leaking_layer,
        norm="layer",
    ),
)
