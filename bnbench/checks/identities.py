"""What the backward of every normalization does along known directions: no reference, no differences.

In blocks of M elements, with s = sqrt(v + eps) and g = gamma dy, the backward is the map

    B(g) = (g - mean(g) - x_hat mean(g x_hat)) / s,

without mean(g) in RMS norm. Each identity isolates one of its terms, so that the identities that fail
name the term that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.cases import draw, draw_cotangent, elements, sized
from bnbench.checks._backward import backward_of, block_sum, cotangents, explained, path_factors
from bnbench.checks._check import check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.checks.purity import the_vjp_may_be_called_again
from bnbench.compare import compare
from bnbench.model import Array, Case, Comparison, Norm, Subject
from bnbench.tolerances import IDENTITY

CENTRED: tuple[Norm, ...] = ("batch", "layer", "group", "instance")
"""Norms that subtract a mean."""


@check(
    "BN311",
    mutant="mean_path_over_rows",
    training=True,
    norms=CENTRED,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="the path through the mean is missing, or divided by another count than M",
)
def dx_sums_to_zero(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dx sums to zero over every block, because adding a constant to a block does not change y.

    sum(dx) = (sum(g) - M mean(g) - mean(g x_hat) sum(x_hat)) / s = 0. If this fails and BN312 passes, the
    path through the mean is wrong; a missing path leaves sum(g) / s.
    """
    backward = backward_of(subject, draw(case))
    (answer,) = backward(backward.scaled(draw_cotangent(case)))
    unit, got = backward.residual(answer.g), block_sum(answer.dx)
    left = block_sum(answer.g) / backward.at.sd
    paths = path_factors(case.shape, answer.g.shape[1]).items()
    reasons = ((f"fits: the path through the mean {what}", (1 - factor) * left) for what, factor in paths)
    comparison = compare("sum of dx over a block", got[:, 0], np.zeros(len(got)), unit[:, 0], IDENTITY)
    comparison = replace(comparison, relative=None, trivial=not answer.dx.any())  # 0 / 0 says nothing
    yield explained(comparison, got, unit, reasons)


@check(
    "BN312",
    mutant="dvar_with_a_factor_2",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="the path through the variance is missing, or has a wrong factor, sign, count or eps",
)
def dx_along_x_hat_is_damped_by_eps(subject: Subject, case: Case) -> Iterator[Comparison]:
    """The sum of dx x_hat over every block is (eps / s^2) sum(g x_hat) / s: zero but for eps.

    Scaling a block changes y only through eps: mean(x_hat^2) = v / (v + eps), not 1. If this fails and
    BN311 passes, the path through the variance is wrong: missing, off by a factor, divided by M - 1, or
    with another eps than the forward's.
    """
    backward = backward_of(subject, draw(case))
    at = backward.at
    (answer,) = backward(backward.scaled(draw_cotangent(case)))
    unit, got = backward.residual(answer.g), block_sum(answer.dx * at.x_hat)
    along = block_sum(answer.g * at.x_hat) / at.sd
    damped = case.eps / at.sd**2

    def reasons() -> Iterator[tuple[str, Array]]:
        if not answer.dx.any():
            yield "fits: dx is all zeros", np.zeros_like(got)
        for what, factor in path_factors(case.shape, answer.g.shape[1]).items():
            yield f"fits: the path through the variance {what}", (1 - factor * (1 - damped)) * along
        variance = at.sd**2 - case.eps
        for eps in (0.0, *10.0 ** np.arange(-10, -1)):
            other = np.sqrt(np.maximum(variance + eps, np.finfo(np.float64).tiny))
            yield f"fits: eps = {eps:g} in the backward", along * (at.sd / other) * (eps / other**2)

    comparison = compare("sum of dx x_hat over a block", got[:, 0], (damped * along)[:, 0], unit[:, 0], IDENTITY)
    yield explained(replace(comparison, trivial=not answer.dx.any()), got, unit, reasons())


@check(
    "BN313",
    mutant="dx_scales_by_x_not_x_hat",
    training=True,
    after=(outputs_have_the_types_of_the_inputs, the_vjp_may_be_called_again),
    usual_cause="x in place of x_hat in one of the two places of the variance path, or gamma outside the sums",
)
def the_backward_is_symmetric(subject: Subject, case: Case) -> Iterator[Comparison]:
    """In terms of g = gamma dy the backward is its own transpose: sum(g2 B(g1)) = sum(g1 B(g2)).

    B = (I - 11'/M - x_hat x_hat'/M) / s is a symmetric matrix for every block. A one-sided mistake
    (x instead of x_hat on one side, an index, a tail) breaks the symmetry, a wrong factor does not.
    """
    backward = backward_of(subject, draw(case))
    first, second = backward(*(backward.scaled(dy) for dy in cotangents(case)))
    unit = backward.residual(first.g) * np.sqrt((second.g**2).mean(1, keepdims=True))
    got, expected = block_sum(second.g * first.dx), block_sum(first.g * second.dx)
    yield compare("sum of g2 B(g1) over a block", got[:, 0], expected[:, 0], unit[:, 0], IDENTITY)


@check(
    "BN314",
    mutant="mean_path_with_the_wrong_sign",
    training=True,
    norms=CENTRED,
    after=(outputs_have_the_types_of_the_inputs, the_vjp_may_be_called_again),
    usual_cause="the path through the mean: it alone matters where gamma dy is constant",
)
def a_constant_g_gives_no_dx(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dx vanishes at every element where gamma dy is the same in the whole block: B(1) = 0.

    This is the gradient of a plain sum of x_hat, which is zero whatever x is.
    """
    backward = backward_of(subject, draw(case))
    constant, random = backward(np.ones_like(backward.at.x_hat), backward.scaled(draw_cotangent(case)))
    unit = backward.unit(constant.g)
    comparison = compare("dx for gamma dy = 1", constant.dx, np.zeros_like(constant.dx), unit, IDENTITY)
    comparison = replace(comparison, relative=None, trivial=not random.dx.any())
    left = constant.g / backward.at.sd
    paths = path_factors(case.shape, left.shape[1]).items()
    reasons = ((f"fits: the path through the mean {what}", (1 - factor) * left) for what, factor in paths)
    yield explained(comparison, constant.dx, unit, reasons)


@check(
    "BN315",
    mutant="eps_omitted_in_the_backward",
    training=True,
    after=(outputs_have_the_types_of_the_inputs, the_vjp_may_be_called_again),
    usual_cause="the path through the variance, or another eps in the backward than in the forward",
)
def g_along_x_hat_gives_dx_damped_by_eps(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dx for gamma dy = x_hat is (eps / s^2) x_hat / s at every element: B(x_hat) is zero but for eps.

    The gradient of half the sum of x_hat^2, which depends on x only through eps.
    """
    backward = backward_of(subject, draw(case))
    at = backward.at
    along, random = backward(at.x_hat, backward.scaled(draw_cotangent(case)))
    unit, damped = backward.unit(along.g), case.eps / at.sd**2
    comparison = compare("dx for gamma dy = x_hat", along.dx, damped * along.g / at.sd, unit, IDENTITY)
    comparison = replace(comparison, trivial=not random.dx.any())
    paths = path_factors(case.shape, unit.shape[1]).items()
    reasons = (
        (f"fits: the path through the variance {what}", (1 - factor * (1 - damped)) * along.g / at.sd)
        for what, factor in paths
    )
    yield explained(comparison, along.dx, unit, reasons)


@check(
    "BN316",
    mutant="dx_scaled_by_1_0005",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="a factor: gamma, 1 / s, an approximate reciprocal root, a mean in place of a sum",
)
def g_across_1_and_x_hat_is_only_scaled(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dx is exactly g / s where g is orthogonal to 1 and to x_hat: both paths are silent there.

    What is left is the pure scale gamma / s of the direct path. If every other identity passes and this
    one fails, dx is off by a factor as a whole; the note says which. Two elements have no such g: data
    with blocks so small is replaced by blocks of three.
    """
    if elements(case) < 3:
        case = sized(case, blocks=case.channels, elements=3)
    backward = backward_of(subject, draw(case))
    at = backward.at
    g = backward.scaled(draw_cotangent(case))
    for _ in range(2):  # twice, because the first projection leaves rounding behind
        if case.norm != "rms":
            g = g - g.mean(1, keepdims=True)
        g = g - at.x_hat * ((g * at.x_hat).sum(1, keepdims=True) / (at.x_hat**2).sum(1, keepdims=True).clip(1e-300))
    (answer,) = backward(g)
    expected = answer.g / at.sd
    unit = backward.unit(answer.g)
    comparison = compare("dx for g across 1 and x_hat", answer.dx, expected, unit, IDENTITY)

    def reasons() -> Iterator[tuple[str, Array]]:
        yield "fits: dx is all zeros", np.zeros_like(expected)
        gamma = backward.scaled(np.ones(case.shape))
        yield "fits: gamma is missing", expected / gamma
        yield "fits: gamma is applied twice", expected * gamma
        factor = (answer.dx * expected).sum() / (expected**2).sum()
        if f"{factor:.6g}" != "1":
            yield f"fits: dx is {factor:.6g} times what it should be", factor * expected

    yield explained(comparison, answer.dx, unit, reasons())


@check(
    "BN317",
    mutant="dx_with_the_eval_formula",
    training=True,
    after=(outputs_have_the_types_of_the_inputs, the_vjp_may_be_called_again),
    usual_cause="a path of the graph is missing, or counted with another M",
)
def the_trace_of_the_backward_is_known(subject: Subject, case: Case) -> Iterator[Comparison]:
    """The diagonal of every block's Jacobian sums to (M - 2 + eps / s^2) / s; to one more in RMS norm.

    Each missing path leaves its 1 behind. Measured on a small corner of the case's data, element by
    element: M vjps of one forward.
    """
    rows = min(case.shape[0], 4) if case.norm == "batch" else 1
    spatial = (min(size, 2) for size in case.shape[2:])
    backward = backward_of(subject, draw(replace(case, shape=(rows, case.channels, *spatial))))
    at = backward.at
    blocks, count = at.x_hat.shape
    basis = np.broadcast_to(np.eye(count)[:, np.newaxis], (count, blocks, count))
    answers = backward(*basis)
    got = np.array([answer.dx[:, m] for m, answer in enumerate(answers)]).sum(0)
    unit = np.array([backward.unit(answer.g)[:, m] for m, answer in enumerate(answers)]).sum(0)
    # dy is rounded, so that g is not exactly 1.
    weights = np.array([answer.g[:, m] for m, answer in enumerate(answers)]).T
    missing = at.x_hat**2 / count + (0 if case.norm == "rms" else 1 / count)
    expected = (weights * (1 - missing)).sum(1) / at.sd[:, 0]
    yield compare("trace of the Jacobian", got, expected, unit, IDENTITY)
