"""Two honest evaluations in the dtype of the inputs: what rounding alone may do to the outputs.

Both follow the formulas of :mod:`bnbench.reference` by the two-pass algorithm, every operation rounded
to the dtype of x. They differ in how they add: pairwise, with an error that grows as log M, and one
element after the other, with an error that grows as M (N. Higham, "The Accuracy of Floating Point
Summation", SIAM J. Sci. Comput. 14, 1993). A correct implementation errs about as much as they do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from bnbench.blocks import from_blocks, per_channel, to_blocks
from bnbench.model import Array, Inputs

Total: TypeAlias = Callable[[Array], Array]
"""Sums of the rows of a contiguous ``(B, M)``, as ``(B, 1)`` of the same dtype."""


def pairwise(a: Array) -> Array:
    """Sums of rows as NumPy adds contiguous numbers: blocks of 128, then pair by pair."""
    return np.asarray(a.sum(1, keepdims=True))


def sequential(a: Array) -> Array:
    """Sums of rows from left to right, every partial sum rounded."""
    return np.asarray(np.add.accumulate(a, axis=1)[:, -1:])


def evaluate(inputs: Inputs, dy: Array, total: Total) -> dict[str, Array]:
    """y, dx (shaped as x), dgamma and dbeta ``(C,)``, all of x's dtype, sums taken by ``total``.

    Where the dtype overflows, the result says so with inf or nan, and nothing is raised.
    """
    with np.errstate(all="ignore"):
        return _evaluate(inputs, dy, total)


def _evaluate(inputs: Inputs, dy: Array, total: Total) -> dict[str, Array]:
    options, shape, rank = inputs.options, inputs.x.shape, inputs.x.ndim
    number = inputs.x.dtype.type

    def blocks(a: Array) -> Array:
        return np.ascontiguousarray(to_blocks(a, options.norm, options.groups))

    def mean(a: Array) -> Array:
        return np.asarray(total(a) / number(a.shape[1]))

    def over_channels(a: Array) -> Array:
        return total(np.ascontiguousarray(to_blocks(a, "batch"))).ravel()

    x = blocks(inputs.x)
    constants = options.norm == "batch" and not options.training
    centred: Array
    variance: Array
    if constants:
        centred, variance = x - inputs.running_mean[:, np.newaxis], inputs.running_var[:, np.newaxis]
    else:
        centred = x if options.norm == "rms" else x - mean(x)
        variance = mean(centred * centred)
    sd = np.sqrt(variance + number(options.eps))
    x_hat = centred / sd
    wide = from_blocks(x_hat, shape, options.norm)
    gamma, beta = per_channel(inputs.gamma, rank), per_channel(inputs.beta, rank)

    g = blocks(gamma * dy)
    through = g
    if not constants:
        through = g - x_hat * mean(g * x_hat)
        if options.norm != "rms":
            through = through - mean(g)
    return {
        "y": gamma * wide + beta,
        "dx": from_blocks(through / sd, shape, options.norm),
        "dgamma": over_channels(dy * wide),
        "dbeta": over_channels(dy),
    }
