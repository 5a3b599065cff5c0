"""Is the backward the derivative of the implementation's own forward?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bnbench.cases import draw, draw_cotangent
from bnbench.checks._check import check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.compare import relative_error
from bnbench.differences import (
    Deviation,
    compressed_dx,
    directional_deviation,
    parameter_deviation,
    sample_rows,
    scale_of,
)
from bnbench.model import Array, Case, Comparison, Subject
from bnbench.tolerances import ESCALATE, NOISE

ELEMENTS = 1 << 20
"""How many elements the element-by-element derivative may move in all, so that its cost stays bounded."""


@check(
    "BN301",
    mutant="dx_without_the_mean_path",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="a path of the graph is missing (through mu or v), gamma is forgotten, or a count is wrong",
)
def dx_is_the_derivative_of_the_forward(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dx is the derivative of <dy, y> with respect to x, taken of the implementation's own forward.

    In train mode, with s = sqrt(v + eps) and x_hat = (x - mu) / s,

        dx = gamma / s (dy - mean(dy) - x_hat mean(dy x_hat)),

    because x acts on y directly, through mu and through v; in eval mode dx = gamma / s dy. The verdict
    is z: the deviation along random directions (sixth-order differences with a step that is a fixed
    fraction of s sqrt(M)) in units of the measured noise. Element, numeric value and the courses'
    relative error come from moving one position of all channels at a time.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    rng = np.random.default_rng(case.seed)
    deviation = directional_deviation(subject.kernel, inputs, dy, rng)
    if NOISE.limit < deviation.z.max() <= ESCALATE:
        deviation = directional_deviation(subject.kernel, inputs, dy, rng, directions=9)
    z = deviation.z

    most = int(np.clip(ELEMENTS // inputs.x.size, 3, 64))
    positions = sample_rows(case.shape, rng, most=most)
    numeric = compressed_dx(subject.kernel, inputs, dy, positions)
    dx = np.moveaxis(subject.kernel(inputs, dy).gradients[0].dx, 1, -1)
    analytic = dx.reshape(-1, case.channels)[positions].astype(np.float64)

    channel = int(np.argmax(z))
    row = int(
        np.argmax(np.nan_to_num(np.abs(analytic - numeric)[:, channel] / scale_of(inputs).sd[channel], nan=np.inf))
    )
    first, *spatial = (int(i) for i in np.unravel_index(positions[row], dx.shape[:-1]))
    yield _evidence("dx", deviation, analytic, numeric, at=(row, channel), index=(first, channel, *spatial))


@check(
    "BN302",
    mutant="dgamma_is_a_mean",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="x in place of x_hat, a mean in place of the sum, or a sum over the wrong axis",
)
def dgamma_is_the_derivative_of_the_forward(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dgamma is the derivative of <dy, y> with respect to gamma: the sum of dy x_hat over a channel.

    y is affine in gamma, so one step of 1 gives the exact derivative of every channel at once; its
    noise is measured by repeating that at seven points a tiny distance apart.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    deviation, numeric = parameter_deviation(subject.kernel, inputs, dy, "gamma")
    analytic = subject.kernel(inputs, dy).gradients[0].dgamma.astype(np.float64)
    channel = int(np.argmax(deviation.z))
    yield _evidence("dgamma", deviation, analytic, numeric, at=(channel,), index=(channel,))


@check(
    "BN303",
    mutant="dbeta_is_a_mean",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="a mean in place of the sum, or a sum over the wrong axis",
)
def dbeta_is_the_derivative_of_the_forward(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dbeta is the derivative of <dy, y> with respect to beta: the sum of dy over a channel.

    y is affine in beta, so one step of 1 gives the exact derivative of every channel at once.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    deviation, numeric = parameter_deviation(subject.kernel, inputs, dy, "beta")
    analytic = subject.kernel(inputs, dy).gradients[0].dbeta.astype(np.float64)
    channel = int(np.argmax(deviation.z))
    yield _evidence("dbeta", deviation, analytic, numeric, at=(channel,), index=(channel,))


def _evidence(
    quantity: str,
    deviation: Deviation,
    analytic: Array,
    numeric: Array,
    *,
    at: tuple[int, ...],
    index: tuple[int, ...],
) -> Comparison:
    return Comparison(
        quantity=quantity,
        error=float(deviation.z.max()),
        limit=NOISE.limit,
        unit=NOISE.unit,
        got=float(analytic[at]),
        expected=float(numeric[at]),
        index=index,
        relative=relative_error(analytic, numeric),
        trivial=not analytic.any() and not numeric.any(),
    )
