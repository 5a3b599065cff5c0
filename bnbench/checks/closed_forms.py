"""Gradients that a formula gives outright: of gamma and beta, of two elements, of a layer before, of eval mode."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.blocks import channel_sum, groups_of, per_channel, spread
from bnbench.cases import draw, draw_cotangent, sized
from bnbench.checks._backward import backward_of, block_sum, explained
from bnbench.checks._check import BATCH, check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.compare import compare
from bnbench.model import Array, Case, Comparison, Subject
from bnbench.reference import normalize
from bnbench.rounding import dx_unit, output_units, standardized
from bnbench.tolerances import IDENTITY, roundoff


@check(
    "BN318",
    mutant="dgamma_with_x",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="dgamma from x or x - mu in place of x_hat, a mean in place of a sum, or the two swapped",
)
def dgamma_and_dbeta_are_sums_over_the_output(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dgamma is the sum of dy (y - beta) / gamma over a channel, and dbeta the sum of dy.

    Taken of the implementation's own y, whichever way it came by x_hat.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    outputs = subject.kernel(inputs, dy)
    weight, y = dy.astype(np.float64), outputs.y.astype(np.float64)
    gamma, beta = (per_channel(a.astype(np.float64), dy.ndim) for a in (inputs.gamma, inputs.beta))
    with np.errstate(invalid="ignore", over="ignore"):
        x_hat = (y - beta) / gamma
        sums = {"dgamma": channel_sum(weight * x_hat), "dbeta": channel_sum(weight)}
        # What adding beta rounded away does not come back when beta is taken off.
        lost = np.sqrt(channel_sum((weight * (np.abs(y) + np.abs(beta)) / gamma) ** 2))
    units = output_units(inputs, dy)
    units["dgamma"] = units["dgamma"] + roundoff(case.dtype) * lost

    def reasons(quantity: str) -> Iterator[tuple[str, Array]]:
        expected = sums[quantity]
        other = "dbeta" if quantity == "dgamma" else "dgamma"
        yield f"fits: {other} in its place", sums[other]
        for name, count in {"the count of elements": dy.size // case.channels, "N": case.shape[0]}.items():
            yield f"fits: divided by {name} = {count}, a mean in place of the sum", expected / count
        yield "fits: the next channel's in its place", np.roll(expected, -1)
        yield "fits: the previous channel's in its place", np.roll(expected, 1)
        if quantity == "dgamma":
            sd = spread(standardized(inputs).sd[:, 0], case.shape, case.norm)
            yield "fits: x in place of x_hat", channel_sum(weight * inputs.x)
            yield "fits: x - mu in place of x_hat", channel_sum(weight * x_hat * sd)

    for quantity, expected in sums.items():
        got: Array = getattr(outputs.gradients[0], quantity).astype(np.float64)
        comparison = compare(quantity, got, expected, units[quantity], IDENTITY)
        yield explained(comparison, got, units[quantity], reasons(quantity))


@check(
    "BN319",
    mutant="eps_of_1e_8_in_the_backward",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="eps is left out of the backward, or is another than the forward's",
)
def the_smallest_block_gives_eps_alone(subject: Subject, case: Case) -> Iterator[Comparison]:
    """With two elements per block, dx is (eps / s^3) (g - mean(g)): all that is left is eps.

    Two elements have x_hat = +- sqrt(v) / s, so that 1 and x_hat span everything and both paths cancel
    the direct one but for eps. RMS norm is there with a single element: dx = (eps / s^3) g. The data
    has a variance near eps, where a wrong eps is an error of 100 %.
    """
    small = sized(case, blocks=case.channels, elements=1 if case.norm == "rms" else 2)
    small = replace(small, mean=0.0, sd=math.sqrt(case.eps))
    backward = backward_of(subject, draw(small))
    at = backward.at
    (answer,) = backward(backward.scaled(draw_cotangent(small)))
    spread_g = answer.g if case.norm == "rms" else answer.g - answer.g.mean(1, keepdims=True)
    expected = small.eps / at.sd**3 * spread_g
    unit = backward.unit(answer.g)

    def reasons() -> Iterator[tuple[str, Array]]:
        if not answer.dx.any():
            yield "fits: dx is all zeros", np.zeros_like(expected)
        variance = np.maximum(at.sd**2 - small.eps, 0)
        for eps in (0.0, *10.0 ** np.arange(-10, -1)):
            with np.errstate(invalid="ignore", divide="ignore"):
                yield f"fits: eps = {eps:g} in the backward", eps / np.sqrt(variance + eps) ** 3 * spread_g

    yield explained(compare("dx", answer.dx, expected, unit, IDENTITY), answer.dx, unit, reasons())


@check(
    "BN320",
    mutant="tail_rows_of_dx_unwritten",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="a path is missing: the layer before would learn a bias or a scale that the norm removes",
)
def a_layer_before_gets_no_gradient_along_bias_and_scale(subject: Subject, case: Case) -> Iterator[Comparison]:
    """With x = W z + b, the gradient of b is zero, and that of W is zero along W but for eps.

    A norm removes a common bias and a common scale of what it normalizes. db sums to zero over the
    channels of a block, and <W, dW> to sum((eps / s^2) g x_hat) (for b = 0). Both are compared with
    the rounding of their terms: a ratio of two zeros says nothing. RMS norm removes no bias.
    """
    rng = np.random.default_rng(case.seed)
    drawn = draw(case)
    z = rng.standard_normal((case.shape[0], 3, int(np.prod(case.shape[2:], dtype=int))))
    z[:, 0] = 1.0  # carries the mean
    weights = case.sd * rng.standard_normal((case.channels, 3))
    weights[:, 0] += case.mean
    inputs = replace(drawn, x=(weights @ z).reshape(case.shape).astype(drawn.x.dtype))
    backward = backward_of(subject, inputs)
    at, dy = backward.at, draw_cotangent(case)
    dx = subject.kernel(inputs, dy).gradients[0].dx.astype(np.float64)
    g = backward.scaled(dy)

    def together(blocks: Array) -> Array:
        """Sums over the rows, of blocks ``(B, 1)`` that share their weights."""
        if case.norm == "batch":
            return blocks[:, 0]
        return np.asarray(blocks.reshape(case.shape[0], -1).sum(0))

    def grouped(channels: Array) -> Array:
        """Sums over the channels ``(C,)`` of a block."""
        count = case.channels if case.norm == "batch" else groups_of(case.channels, case.norm, case.groups)
        return np.asarray(channels.reshape(count, -1).sum(1))

    residual = backward.residual(g)
    damped = case.eps / at.sd**2 * block_sum(g * at.x_hat)
    with np.errstate(invalid="ignore", over="ignore"):
        radial = grouped((weights * np.einsum("ncp,nkp->ck", dx.reshape(*case.shape[:2], -1), z)).sum(1))
        bias = grouped(channel_sum(dx))
    along = compare("<W, dW>", radial, together(damped), together(residual * at.sd * at.kappa), IDENTITY)
    yield replace(along, relative=None, trivial=not dx.any())
    if case.norm != "rms":
        zero = compare("gradient of the bias", bias, np.zeros_like(bias), together(residual), IDENTITY)
        yield replace(zero, relative=None, trivial=not dx.any())


@check(
    "BN321",
    mutant="eval_backward_with_the_train_formula",
    training=False,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="the train formula, or the batch's statistics left over from the forward, in eval mode",
)
def eval_gradients_take_the_statistics_as_constants(subject: Subject, case: Case) -> Iterator[Comparison]:
    """In eval mode dx = gamma dy / sqrt(running_var + eps), dgamma = sum(dy x_hat), dbeta = sum(dy).

    mean and variance do not depend on x, so that only the direct path is left; x_hat is that of the
    running statistics.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    got = subject.kernel(inputs, dy).gradients[0]._asdict()
    expected = normalize(inputs, dy).gradients[0]._asdict()
    units = output_units(inputs, dy)
    trained = normalize(replace(inputs, options=replace(inputs.options, training=True)), dy).gradients[0]._asdict()
    backward = backward_of(subject, inputs)
    at, g = backward.at, backward.scaled(dy)
    paths = (g - g.mean(1, keepdims=True) - at.x_hat * (g * at.x_hat).mean(1, keepdims=True)) / at.sd
    wider = dx_unit(replace(at, constants=False), g, roundoff(case.dtype))  # more terms, more rounding
    for quantity, value in expected.items():
        comparison = compare(quantity, got[quantity], value, units[quantity], IDENTITY)
        reasons = [("fits: the statistics of the batch, as in train mode", trained[quantity])]
        comparison = explained(comparison, got[quantity], units[quantity], reasons)
        if quantity == "dx" and not comparison.note:
            through = [("fits: the paths of train mode", paths)]
            comparison = explained(comparison, backward.blocks(got[quantity]), wider, through)
        yield comparison
