"""Does what is normalized have the mean and the mean square that it must have, whatever eps?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.blocks import from_blocks, per_channel, to_blocks
from bnbench.cases import draw, draw_cotangent
from bnbench.checks._check import check
from bnbench.checks._units import block_unit
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs, rounding_unit
from bnbench.compare import compare, in_units
from bnbench.model import Array, Case, Comparison, Inputs, Subject
from bnbench.reference import normalize, statistics
from bnbench.rounding import output_units
from bnbench.tolerances import ROUNDING

DOMINANT_EPS = (1 / 16, 1e-3, 1e-5, 1e-8)
"""An eps that is a power of two, the courses' and frameworks' defaults, and one that cuDNN refused."""


def x_hat_of(inputs: Inputs, y: Array) -> Array:
    """What an implementation normalized to, recovered from its y: (y - beta) / gamma, in blocks of float64."""
    rank, options = inputs.x.ndim, inputs.options
    gamma, beta = (per_channel(a.astype(np.float64), rank) for a in (inputs.gamma, inputs.beta))
    return to_blocks((y.astype(np.float64) - beta) / gamma, options.norm, options.groups)


def x_hat_unit(inputs: Inputs, y: Array) -> Array:
    """One rounding unit of :func:`x_hat_of`, the largest of each block, ``(B,)``."""
    rank, options = inputs.x.ndim, inputs.options
    unit = rounding_unit(inputs, y.astype(np.float64)) / per_channel(np.abs(inputs.gamma.astype(np.float64)), rank)
    largest: Array = to_blocks(unit, options.norm, options.groups).max(1)
    return largest


def _second_moment(inputs: Inputs) -> Array:
    """What is compared with eps: the variance of every block, in RMS norm its mean square, ``(B,)``."""
    blocks = to_blocks(inputs.x.astype(np.float64), inputs.options.norm, inputs.options.groups)
    if inputs.options.norm == "rms":
        square: Array = (blocks**2).mean(1)
        return square
    return statistics(blocks)[1].ravel()


@check(
    "BN111",
    mutant="one_mean_for_the_whole_matrix",
    training=True,
    norms=("batch", "layer", "group", "instance"),
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="the mean is taken over too much or too little: the whole matrix, the other axis, part of the rows",
)
def normalized_blocks_have_mean_zero(subject: Subject, case: Case) -> Iterator[Comparison]:
    """The mean of x_hat = (y - beta) / gamma is 0 in every block.

    Whatever the variance and eps are: sum(x - mu) = 0. RMS norm subtracts no mean.
    """
    inputs = draw(case)
    y = subject.kernel(inputs).y
    mean = x_hat_of(inputs, y).mean(1)
    yield compare("mean of x_hat", mean, np.zeros_like(mean), x_hat_unit(inputs, y), ROUNDING)


@check(
    "BN112",
    mutant="layer_eps_missing",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="eps outside the root or missing, or a variance with divisor M - 1",
)
def normalized_blocks_have_the_mean_square_that_eps_leaves(subject: Subject, case: Case) -> Iterator[Comparison]:
    """The mean square of x_hat is v / (v + eps) in every block, not 1.

    x_hat = (x - mu) / sqrt(v + eps) and mean((x - mu)^2) = v. What it is instead names the mistake: (M - 1) / M
    for a variance with divisor M - 1, v / (sqrt(v) + eps)^2 for eps outside the root, 1 without eps.
    """
    yield _mean_square(subject, draw(case), "mean of x_hat^2")


@check(
    "BN113",
    mutant="eps_hard_coded",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="eps is a constant of the file and not the argument, or stands outside the root",
    blind={"float16": "eps = 1e-8 is no number of float16"},
)
def eps_as_large_as_the_variance_halves_the_mean_square(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Where v = eps, the mean square of x_hat is 1/2: for eps = 1/16, 1e-3, 1e-5 and 1e-8.

    The data is rescaled so that the variance of a block is eps, and of every second block eps / 4, where the mean
    square is 1/5: that tells max(v, eps) from v. Compared is v / (v + eps) of the very data. At v = 1, eps = 1e-5
    hides in float32's rounding; here every mistake about it is of order 1.
    """
    inputs = draw(replace(case, mean=0.0, sd=1.0))
    blocks = to_blocks(inputs.x.astype(np.float64), case.norm, case.groups)
    deviation = np.sqrt(_second_moment(inputs))[:, np.newaxis]
    unit = np.divide(blocks, deviation, out=np.zeros_like(blocks), where=deviation > 0)
    unit[1::2] /= 2
    for eps in DOMINANT_EPS:
        x = np.ascontiguousarray(from_blocks(unit * np.sqrt(eps), case.shape, case.norm)).astype(case.dtype)
        rescaled = replace(inputs, x=x, options=replace(inputs.options, eps=eps))
        yield _mean_square(subject, rescaled, f"mean of x_hat^2 at v near eps = {eps:g}")


def _mean_square(subject: Subject, inputs: Inputs, quantity: str) -> Comparison:
    """Compare the mean square with v / (v + eps); on a mismatch, name the form that fits."""
    y = subject.kernel(inputs).y
    got = (x_hat_of(inputs, y) ** 2).mean(1)
    v, eps = _second_moment(inputs), inputs.options.eps
    unit = x_hat_unit(inputs, y)
    comparison = compare(quantity, got, v / (v + eps), unit, ROUNDING)
    if comparison.error <= comparison.limit:
        return comparison
    elements = inputs.x.size // v.size
    squares = {
        "eps outside the root, sqrt(v) + eps": (np.sqrt(v) + eps) ** 2,
        "no eps": v,
        "max(v, eps) in place of v + eps": np.maximum(v, eps),
        "variance with divisor M - 1": v * (elements / max(elements - 1, 1)) + eps,
        "no root, division by v + eps": (v + eps) ** 2,
        "eps squared": v + eps**2,
        "eps subtracted": np.maximum(v - eps, 0),
    }
    for form, square in squares.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            fits = in_units(got, v / square, unit).max() <= ROUNDING.limit
        if fits:
            return replace(comparison, note=f"fits: {form}")
    return replace(comparison, note="fits no known form")


@check(
    "BN114",
    mutant="no_variance_counts_as_one",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="eps missing, so that 0 / 0 comes out, or a branch of its own for a variance of 0",
)
def a_block_without_variance_gives_beta(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Where x is constant, y is beta, dgamma has nothing to add, and dx is (g - mean(g)) / sqrt(eps).

    v = 0 and x_hat = 0 there; the derivative is finite thanks to eps alone. Every second block is constant (0 in
    RMS norm, where the mean square is what vanishes, and dx = g / sqrt(eps)), the others are not.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    blocks = to_blocks(inputs.x, case.norm, case.groups).copy()
    levels = 0 if case.norm == "rms" else np.arange(len(blocks))[::2, np.newaxis] % 5 - 2
    blocks[::2] = levels
    inputs = replace(inputs, x=np.ascontiguousarray(from_blocks(blocks, case.shape, case.norm)))

    with np.errstate(divide="ignore", invalid="ignore"):
        outputs, expected = subject.kernel(inputs, dy), normalize(inputs, dy)
    got, right = outputs.gradients[0], expected.gradients[0]
    unit = output_units(inputs, dy)
    yield compare("y", outputs.y, expected.y, unit["y"], ROUNDING)
    yield compare("dx", got.dx, right.dx, block_unit(inputs, dy), ROUNDING)
    yield compare("dgamma", got.dgamma, right.dgamma, unit["dgamma"], ROUNDING)
