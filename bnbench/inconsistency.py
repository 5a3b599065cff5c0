"""Which mutants have a wrong gradient: the truth that gradient checkers are held against.

Nothing here is a decision rule of a checker. Whether a backward belongs to its forward is seen on well-scaled
data, where sixth-order differences are good to 1e-12, element by element; whether that has an effect on
other data is seen by comparing with the reference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnbench.blocks import channel_sum, from_blocks, spread, to_blocks
from bnbench.cases import draw, draw_cotangent, elements
from bnbench.checks.forward import rounding_unit
from bnbench.compare import in_units
from bnbench.differences import compressed_dx, parameter_deviation, scale_of
from bnbench.extrapolation import LEVELS, romberg
from bnbench.kernels import local_kernel
from bnbench.model import Array, Case, Forward, Inputs, Kernel
from bnbench.reference import normalize
from bnbench.tolerances import roundoff

INCONSISTENT = 1e-9
"""Relative difference of 2-norms beyond which a gradient is wrong; correct ones stay below 1e-11 on this data."""
VISIBLE = 1000.0
"""Rounding units beyond which an output differs; what differs by less is hidden by a sum done in another order."""
WHERE_EPS_MATTERS = 1e-3
"""Standard deviation whose square is a tenth of eps, and not so near that max(v, eps) would have its kink there."""


def is_inconsistent(forward: Forward, case: Case) -> bool:
    """Whether the backward is not the derivative of the forward, on well-scaled data of the case's shape."""
    kernel = local_kernel(forward)
    with np.errstate(all="ignore"):
        return any(
            _wrong_gradients(kernel, replace(case, mean=0.0, sd=sd, eps=1e-5)) for sd in (1.0, WHERE_EPS_MATTERS)
        )


def _wrong_gradients(kernel: Kernel, case: Case) -> bool:
    inputs, dy = draw(case), draw_cotangent(case)
    gradients = kernel(inputs, dy).gradients[0]
    for name, got in (("gamma", gradients.dgamma), ("beta", gradients.dbeta)):
        _, numeric = parameter_deviation(kernel, inputs, dy, name)
        if not np.linalg.norm(got - numeric) <= INCONSISTENT * np.linalg.norm(numeric):
            return True
    numeric = compressed_dx(kernel, inputs, dy, np.arange(elements(case)))
    difference = to_blocks(gradients.dx, "batch") - numeric
    if np.linalg.norm(difference) <= INCONSISTENT * np.linalg.norm(numeric):
        return False
    return not _explained_by_a_leak(kernel, inputs, dy, gradients.dx, from_blocks(difference, case.shape, "batch"))


def _explained_by_a_leak(kernel: Kernel, inputs: Inputs, dy: Array, dx: Array, difference: Array) -> bool:
    """Whether dx is right after all, and blocks see each other, so that differences by block mislead.

    The whole loss <dy, y> is differentiated along the disagreement itself: there a dx that is right agrees,
    and one that is wrong is off by the whole length of the disagreement.
    """
    length = np.linalg.norm(difference)
    direction = difference / length
    first = float(scale_of(inputs).step.min())

    def loss(distance: float) -> Array:
        return np.asarray((dy * kernel(replace(inputs, x=inputs.x + distance * direction)).y).sum())

    steps = [first / 2**level for level in range(LEVELS)]
    slope, _ = romberg([(loss(t) - loss(-t)) / (2 * t) for t in steps])
    return bool(abs((dx * direction).sum() - slope) <= length / 2)


def is_visible(forward: Forward, case: Case) -> bool:
    """Whether any output differs from the reference by more than VISIBLE rounding units."""
    inputs, dy = draw(case), draw_cotangent(case)
    with np.errstate(all="ignore"):
        got = local_kernel(forward)(inputs, dy)
    expected = normalize(inputs, dy)
    u, scale, root = roundoff(case.dtype), scale_of(inputs), np.sqrt(elements(case))
    lengths = np.sqrt(channel_sum(dy**2))
    of_gradients = {
        "dx": spread(u * scale.kappa * lengths * np.abs(inputs.gamma) / scale.sd / root, case.shape, "batch"),
        "dgamma": u * scale.kappa * root * lengths,
        "dbeta": u * root * lengths,
    }
    errors = [in_units(got.y, expected.y, rounding_unit(inputs, expected.y)).max()]
    for name, unit in of_gradients.items():
        errors.append(in_units(getattr(got.gradients[0], name), getattr(expected.gradients[0], name), unit).max())
    return not max(errors) <= VISIBLE
