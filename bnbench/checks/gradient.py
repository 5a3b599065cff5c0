"""Is the backward the derivative of the implementation's own forward?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bnbench.blocks import to_blocks
from bnbench.cases import draw, draw_cotangent, elements
from bnbench.checks._check import check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.compare import relative_error
from bnbench.differences import (
    Deviation,
    compressed_dx,
    directional_deviation,
    parameter_deviation,
    sample_positions,
)
from bnbench.jacobian import jacobian
from bnbench.model import Array, Case, Comparison, Inputs, Subject
from bnbench.projection import diagnosis
from bnbench.tolerances import ESCALATE, NOISE

BLIND = {"float16": "finite differences in float16 see nothing: BN331 to BN333 and the exact fixtures judge"}
ELEMENTS = 1 << 20
"""How many elements the element-by-element derivative may move in all, so that its cost stays bounded."""
LARGEST_BLOCK = 64
"""M up to which a wrong dx is explained by its full Jacobian, 6 M forward evaluations."""


@check(
    "BN301",
    mutant="dx_without_the_mean_path",
    after=(outputs_have_the_types_of_the_inputs,),
    blind=BLIND,
    needs_vjp=True,
    usual_cause="a path of the graph is missing (through mu or v), gamma is forgotten, or a count is wrong",
)
def dx_is_the_derivative_of_the_forward(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dx is the derivative of <dy, y> with respect to x, taken of the implementation's own forward.

    With s = sqrt(v + eps), x_hat = (x - mu) / s and g = gamma dy,

        dx = (g - mean(g) - x_hat mean(g x_hat)) / s,

    because x acts on y directly, through mu and through v; the means run over what is normalized
    together. In eval mode of batch norm dx = g / s; RMS norm has no term mean(g). The verdict
    is z: the deviation along random directions (sixth-order differences with a step that is a fixed
    fraction of s sqrt(M)) in units of the measured noise. Element, numeric value and the courses'
    relative error come from moving one position of all blocks at a time.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    rng = np.random.default_rng(case.seed)
    deviation = directional_deviation(subject.kernel, inputs, dy, rng)
    if NOISE.limit < deviation.z.max() <= ESCALATE:
        deviation = directional_deviation(subject.kernel, inputs, dy, rng, directions=9)
    z = deviation.z

    total = elements(case)
    positions = sample_positions(total, rng, most=int(np.clip(ELEMENTS // inputs.x.size, 3, 64)))
    numeric = compressed_dx(subject.kernel, inputs, dy, positions)
    dx = to_blocks(subject.kernel(inputs, dy).gradients[0].dx, case.norm, case.groups)
    analytic = dx[:, positions].astype(np.float64)

    block = int(np.argmax(z))
    distance = np.nan_to_num(np.abs(analytic - numeric)[block], nan=np.inf)
    position = int(np.argmax(distance))
    flat = to_blocks(np.arange(inputs.x.size).reshape(case.shape), case.norm, case.groups)[block, positions[position]]
    index = tuple(int(i) for i in np.unravel_index(flat, case.shape))
    note = "" if z.max() <= NOISE.limit else _what_the_jacobian_says(subject, inputs, total)
    yield _evidence("dx", deviation, analytic, numeric, at=(block, position), index=index, note=note)


@check(
    "BN302",
    mutant="dgamma_is_a_mean",
    after=(outputs_have_the_types_of_the_inputs,),
    blind=BLIND,
    needs_vjp=True,
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
    blind=BLIND,
    needs_vjp=True,
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
    note: str = "",
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
        note=note,
    )


def _what_the_jacobian_says(subject: Subject, inputs: Inputs, total: int) -> str:
    """The bug in words, from the full Jacobian, where that costs little; "" elsewhere."""
    if total > LARGEST_BLOCK or inputs.x.size * total > ELEMENTS:
        return ""
    return diagnosis(jacobian(subject.kernel, inputs))
