"""Is y what batch normalization says it is?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.blocks import per_channel, spread
from bnbench.cases import draw, draw_cotangents
from bnbench.checks._check import check
from bnbench.compare import agrees, compare, differs
from bnbench.conventions import infer
from bnbench.differences import scale_of
from bnbench.fixtures import named
from bnbench.model import Array, Case, Comparison, Inputs, Subject
from bnbench.reference import normalize
from bnbench.tolerances import ROUNDING, roundoff


def rounding_unit(inputs: Inputs, y: Array) -> Array:
    """One rounding unit of y, shaped to broadcast: u (|gamma| kappa + |beta| + |y|)."""
    rank = inputs.x.ndim
    gamma, beta = np.abs(inputs.gamma.astype(np.float64)), np.abs(inputs.beta.astype(np.float64))
    kappa = spread(scale_of(inputs).kappa, inputs.x.shape, inputs.options.norm)
    condition: Array = per_channel(gamma, rank) * kappa + per_channel(beta, rank) + np.abs(y)
    return roundoff(inputs.x.dtype) * condition


def with_conventions(subject: Subject, case: Case, comparison: Comparison) -> Comparison:
    """The comparison; beyond its limit, with the conventions that the implementation follows instead."""
    if comparison.error <= comparison.limit:
        return comparison
    ddof, rank = subject.capabilities.running_var_ddof, len(case.shape)
    return replace(comparison, note=infer(subject.kernel, case.dtype, case.norm, ddof=ddof, rank=rank).deviations)


@check(
    "BN101",
    mutant="float64_from_float32",
    usual_cause="an intermediate array of another dtype: np.ones((N, C)) is float64 and promotes float32",
)
def outputs_have_the_types_of_the_inputs(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Every output has the dtype of x, and the shape of what it belongs to.

    y and dx are shaped as x; dgamma, dbeta, running_mean and running_var are (C,). A comparison never
    broadcasts: (1, C) is not (C,).
    """
    inputs = draw(case)
    arrays = named(subject.kernel(inputs, *draw_cotangents(case, subject.capabilities)))
    for quantity, a in arrays.items():
        shape = case.shape if quantity in {"y", "dx"} else (case.channels,)
        got, expected = f"{a.dtype} {a.shape}", f"{case.dtype} {shape}"
        if got == expected:
            yield agrees(f"type of {quantity}", got)
        else:
            yield differs(f"type of {quantity}", got=got, expected=expected)


@check(
    "BN102",
    mutant="eps_outside_the_root",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="eps outside the square root, a variance divided by M - 1, or a reduction over the wrong axis",
)
def output_matches_the_reference(subject: Subject, case: Case) -> Iterator[Comparison]:
    """y is gamma (x - mu) / sqrt(v + eps) + beta, with mu and v of the block itself.

    mu = mean(x) and v = mean((x - mu)^2) over the M elements that are normalized together: a channel of
    the batch in train mode (Ioffe and Szegedy, arXiv:1502.03167, algorithm 1), a row, a group or a channel
    of a row in layer, group and instance norm; RMS norm has mu = 0. The reference is evaluated in float64
    at the very inputs that the implementation got. A wrong forward with a matching backward passes every gradient
    check: only this comparison sees it.
    """
    inputs = draw(case)
    got, expected = subject.kernel(inputs).y, normalize(inputs).y
    yield with_conventions(subject, case, compare("y", got, expected, rounding_unit(inputs, expected), ROUNDING))
