"""What y must not depend on, and what it must follow: shifts, scales, gamma and beta, order, other blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.blocks import per_channel, spread, to_blocks
from bnbench.cases import draw, draw_cotangent
from bnbench.checks._check import check
from bnbench.checks._units import block_unit
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs, rounding_unit
from bnbench.compare import compare
from bnbench.differences import Positions
from bnbench.model import Array, Case, Comparison, Inputs, Subject
from bnbench.reference import normalize
from bnbench.rounding import output_units
from bnbench.tolerances import EXACT, POWERS_OF_TWO, ROUNDING

POWER = 9
"""x is scaled by 2^9 and 2^-9, and eps by 4^9 and 4^-9: far enough to see a constant in eps's place."""


def _moved(inputs: Inputs, offset: Array) -> tuple[Inputs, Inputs]:
    """Inputs and the same shifted by one number for each block, ``(B,)``: rounded first, so that the shift is exact."""
    shape, norm = inputs.x.shape, inputs.options.norm
    wide = spread(offset, shape, norm)
    shifted = (inputs.x.astype(np.float64) + wide).astype(inputs.x.dtype)
    back = (shifted.astype(np.float64) - wide).astype(inputs.x.dtype)
    return replace(inputs, x=back), replace(inputs, x=shifted)


@check(
    "BN115",
    mutant="textbook_variance",
    training=True,
    norms=("batch", "layer", "group", "instance"),
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="E[x^2] - E[x]^2 for the variance, which cancels, or a mean over more than the block",
)
def a_shift_of_a_block_changes_nothing(subject: Subject, case: Case) -> Iterator[Comparison]:
    """y(x + c) = y(x) for a constant c of every block.

    c is a power of two near 512 standard deviations, with another sign and size for every block; the unit is the
    rounding of both data. RMS norm subtracts no mean and is not invariant.
    """
    inputs = draw(case)
    blocks = to_blocks(inputs.x.astype(np.float64), case.norm, case.groups)
    sd = np.maximum(blocks.std(1), np.sqrt(case.eps))
    signs = np.where(np.arange(len(sd)) % 3 == 1, -1.0, 1.0)
    offset = signs * 2.0 ** (np.round(np.log2(sd)) + 9 + np.arange(len(sd)) % 2)
    still, shifted = _moved(inputs, offset)
    got, expected = subject.kernel(shifted).y, subject.kernel(still).y
    unit = sum(rounding_unit(each, expected.astype(np.float64)) for each in (still, shifted))
    yield compare("y of shifted x", got, expected, unit, ROUNDING)


@check(
    "BN116",
    mutant="group_eps_hard_coded",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="eps is a constant of the file and not the argument, or is added where it does not scale with v",
    blind={"float16": "x scaled by 2^9, and eps by 2^-18, leave the range of float16"},
)
def scaling_by_a_power_of_two_changes_nothing(subject: Subject, case: Case) -> Iterator[Comparison]:
    """y(a x, a^2 eps) = y(x, eps) for a = 2^9 and 2^-9; and y(-x, -gamma) = y(x, gamma).

    Scaling by a power of two rounds nothing, and neither does a sign: each step of the computation scales along, so
    that even the last bit stays. In eval mode the running statistics are scaled along with x.
    """
    inputs = draw(case)
    y = subject.kernel(inputs).y
    beta = np.broadcast_to(np.abs(per_channel(inputs.beta, y.ndim)), y.shape)
    unit = np.spacing(np.maximum(np.abs(y), beta))
    for power in (POWER, -POWER):
        a = inputs.x.dtype.type(2.0**power)
        scaled = replace(
            inputs,
            x=a * inputs.x,
            running_mean=a * inputs.running_mean,
            running_var=a * a * inputs.running_var,
            options=replace(inputs.options, eps=case.eps * 4.0**power),
        )
        yield compare(f"y of 2^{power} x", subject.kernel(scaled).y, y, unit, POWERS_OF_TWO)
    mirrored = replace(inputs, x=-inputs.x, gamma=-inputs.gamma, running_mean=-inputs.running_mean)
    yield compare("y of -x and -gamma", subject.kernel(mirrored).y, y, unit, POWERS_OF_TWO)


@check(
    "BN117",
    mutant="beta_multiplied_by_gamma",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="gamma (x_hat + beta) in place of gamma x_hat + beta, |gamma|, or gamma and beta forgotten in one mode",
)
def y_is_affine_in_gamma_and_beta(subject: Subject, case: Case) -> Iterator[Comparison]:
    """y(-2 gamma, beta + 3) = -2 (y - beta) + beta + 3.

    gamma and beta come after x_hat and do not enter it.
    """
    inputs = draw(case)
    rank = inputs.x.ndim
    other = replace(inputs, gamma=-2 * inputs.gamma, beta=inputs.beta + 3)
    y, got = subject.kernel(inputs).y.astype(np.float64), subject.kernel(other).y
    beta, moved = (per_channel(a.astype(np.float64), rank) for a in (inputs.beta, other.beta))
    expected = -2 * (y - beta) + moved
    yield compare("y of -2 gamma and beta + 3", got, expected, rounding_unit(other, expected), ROUNDING)


@check(
    "BN118",
    mutant="dgamma_from_y_over_gamma",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="x_hat is recovered as (y - beta) / gamma, which a gamma of 0 forbids, or |gamma| is used",
)
def gamma_may_be_zero_or_negative(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Where gamma is 0, y is beta and dx is 0, exactly, and dgamma is the sum of dy x_hat as ever.

    A pruned channel, or one that starts at 0 as the last of a residual block does, must be able to come back:
    dgamma does not vanish. Then every other gamma is 0 and the rest negative, against the reference.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    zero = replace(inputs, gamma=np.zeros_like(inputs.gamma))
    outputs, right = subject.kernel(zero, dy), normalize(zero, dy)
    got = outputs.gradients[0]
    yield compare("y with gamma 0", outputs.y, right.y, 1.0, EXACT)
    yield compare("dx with gamma 0", got.dx, np.zeros_like(got.dx), 1.0, EXACT)
    unit = output_units(zero, dy)
    yield compare("dgamma with gamma 0", got.dgamma, right.gradients[0].dgamma, unit["dgamma"], ROUNDING)

    gamma = -np.abs(inputs.gamma)
    gamma[1::2] = 0
    mixed = replace(inputs, gamma=gamma)
    outputs, right = subject.kernel(mixed, dy), normalize(mixed, dy)
    yield compare("y with gamma <= 0", outputs.y, right.y, rounding_unit(mixed, right.y), ROUNDING)
    yield compare("dx with gamma <= 0", outputs.gradients[0].dx, right.gradients[0].dx, block_unit(mixed, dy), ROUNDING)


@check(
    "BN119",
    mutant="tail_rows_left_out_of_the_mean",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="a vectorized loop without its tail, or statistics of a part of the batch",
)
def the_order_of_rows_and_positions_does_not_matter(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Rows of x in another order give the rows of y and dx in that order, and so do spatial positions.

    gamma and beta belong to channels, not to rows or positions. Sums are taken in another order, so that
    rounding is granted.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    axes = [0] if len(case.shape) == 2 else [0, len(case.shape) - 1]
    first = subject.kernel(inputs, dy)
    units = {"y": rounding_unit(inputs, first.y.astype(np.float64)), "dx": block_unit(inputs, dy)}
    for axis in axes:
        order = np.roll(np.arange(case.shape[axis])[::-1], 1)

        def permuted(a: Array, axis: int = axis, order: Positions = order) -> Array:
            return np.take(a, order, axis)

        outputs = subject.kernel(replace(inputs, x=permuted(inputs.x)), permuted(dy))
        what = "rows" if axis == 0 else "positions"
        pairs = (("y", outputs.y, first.y), ("dx", outputs.gradients[0].dx, first.gradients[0].dx))
        for quantity, got, before in pairs:
            yield compare(f"{quantity} of permuted {what}", got, permuted(before), permuted(units[quantity]), ROUNDING)


@check(
    "BN120",
    mutant="last_channel_left_as_it_was",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="a loop over channels that misses one, or gamma or beta taken from a neighbour",
)
def the_order_of_channels_does_not_matter(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Channels in reverse, with their gamma, beta and running statistics, give y in reverse.

    Reversal maps groups to groups, so that it holds for every norm.
    """
    inputs = draw(case)
    names = ("gamma", "beta", "running_mean", "running_var")
    backwards = {name: getattr(inputs, name)[::-1].copy() for name in names}
    got = subject.kernel(replace(inputs, x=np.ascontiguousarray(inputs.x[:, ::-1]), **backwards)).y[:, ::-1]
    expected = subject.kernel(inputs).y
    unit = rounding_unit(inputs, expected.astype(np.float64))
    yield compare("y of reversed channels", got, expected, unit, ROUNDING)
