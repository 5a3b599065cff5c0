"""A generous unit of dx, for claims about structure: what is wrong there is wrong by more than roundings."""

from __future__ import annotations

import numpy as np

from bnbench.blocks import per_channel, spread, to_blocks
from bnbench.differences import scale_of
from bnbench.model import Array, Inputs
from bnbench.tolerances import roundoff


def block_unit(inputs: Inputs, dy: Array) -> Array:
    """u kappa ||g|| / s with g = gamma dy and its 2-norm over the block, shaped as x.

    Every algorithm stays within a few of it however large the mean; :mod:`bnbench.rounding` has the sharp unit.
    """
    scale, options = scale_of(inputs), inputs.options
    g = per_channel(inputs.gamma.astype(np.float64), dy.ndim) * dy.astype(np.float64)
    norm = np.sqrt((to_blocks(g, options.norm, options.groups) ** 2).sum(1))
    return spread(roundoff(inputs.x.dtype) * scale.kappa * norm / scale.sd, inputs.x.shape, options.norm)
