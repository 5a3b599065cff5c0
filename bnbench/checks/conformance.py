"""Does every output conform to the definition, to what an honest evaluation in the same dtype achieves?

No difference quotient is taken, so that float32 is judged at its own 1e-7 and float16 at its 1e-3. The
unit is calibrated on the very data: a model of the rounding of each output, times 8, times the largest
error that two honest evaluations (pairwise and sequential sums) make on it in the same dtype.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.cases import draw, draw_cotangent
from bnbench.checks._check import check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.compare import compare, in_units
from bnbench.honest import evaluate, pairwise, sequential
from bnbench.model import Array, Case, Comparison, Inputs, Outputs, Subject
from bnbench.reference import normalize
from bnbench.rounding import output_units
from bnbench.tolerances import CONFORMANCE, HALF_CONFORMANCE, HONEST_FLOOR, HONEST_MULTIPLE, grade

EPSILONS = (0.0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Values of eps seen in the field, tried on what does not conform."""


def _conformance(subject: Subject, case: Case, quantity: str) -> Comparison:
    inputs, dy = draw(case), draw_cotangent(case)
    got = _named(subject.kernel(inputs, *([] if quantity == "y" else [dy])), quantity)
    expected = _named(normalize(inputs, dy), quantity)
    unit = calibrated_unit(inputs, dy, quantity, expected)
    comparison = compare(quantity, got, expected, unit, HALF_CONFORMANCE if case.dtype == "float16" else CONFORMANCE)
    if comparison.error <= comparison.limit:
        return replace(comparison, note=f"accuracy grade {grade(comparison.error)}")
    return replace(comparison, note=_cause(inputs, dy, quantity, got, expected, unit))


def calibrated_unit(inputs: Inputs, dy: Array, quantity: str, expected: Array) -> Array:
    """The model of one rounding of this output, scaled to what honest evaluations err on these inputs."""
    model = output_units(inputs, dy)[quantity]
    errors = [
        in_units(evaluate(inputs, dy, total)[quantity], expected, model).max() for total in (pairwise, sequential)
    ]
    honest = max((error for error in errors if np.isfinite(error)), default=0.0)
    return HONEST_MULTIPLE * max(float(honest), HONEST_FLOOR) * model


def _named(outputs: Outputs, quantity: str) -> Array:
    array: Array = outputs.y if quantity == "y" else getattr(outputs.gradients[0], quantity)
    return array


def _cause(inputs: Inputs, dy: Array, quantity: str, got: Array, expected: Array, unit: Array) -> str:
    """Another eps, or a plain factor, if one of them explains what came back."""
    if not np.isfinite(got).all():
        return "not a number, or infinite"
    got = got.astype(np.float64)
    enough = CONFORMANCE.limit / 8

    def fits(value: Array) -> bool:
        return bool(in_units(got, value, unit).max() <= enough)

    with np.errstate(all="ignore"):
        others = {eps: replace(inputs, options=replace(inputs.options, eps=eps)) for eps in EPSILONS}
        fitting = [f"{eps:g}" for eps, other in others.items() if fits(_named(normalize(other, dy), quantity))]
        factor = float((got * expected).sum() / (expected**2).sum())
    if not got.any():
        return "all zeros"
    if fitting:
        return f"fits eps = {' or '.join(fitting)} in place of {inputs.options.eps:g}"
    return f"fits a factor {factor:.6g}" if fits(factor * expected) else "fits neither another eps nor a plain factor"


@check(
    "BN331",
    mutant="dx_scaled_by_1_0005",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="a factor, another eps, an approximate reciprocal root, or arithmetic of a lower precision",
)
def dx_conforms_to_the_reference(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dx is that of the definition, as accurately as its dtype allows.

    Compared with the reference in float64 at the very inputs the implementation got, in units of
    u (|g| + mean|g| + |x_hat| mean|g x_hat| + kappa (|x_hat mean(g)| + |mean(g x_hat)|)) / s, calibrated
    by two honest evaluations. Grade A is within one calibrated unit, B within 8, C within 64 (in float16
    C is a failure: 64 units are as large as dx).
    """
    yield _conformance(subject, case, "dx")


@check(
    "BN332",
    mutant="dgamma_with_x",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="x in place of x_hat, another eps, a mean in place of the sum, or a sum over the wrong axis",
)
def dgamma_conforms_to_the_reference(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dgamma is that of the definition, as accurately as its dtype allows.

    In units of u (sum|dy x_hat| + ||kappa dy||), calibrated by two honest evaluations.
    """
    yield _conformance(subject, case, "dgamma")


@check(
    "BN333",
    mutant="dbeta_is_a_mean",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="a mean in place of the sum, or a sum over the wrong axis",
)
def dbeta_conforms_to_the_reference(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dbeta is that of the definition, as accurately as its dtype allows.

    In units of u sum|dy|, calibrated by two honest evaluations.
    """
    yield _conformance(subject, case, "dbeta")


@check(
    "BN334",
    mutant="eps_of_1e_3_throughout",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="another eps than was asked for, an approximate reciprocal root, or arithmetic of a lower precision",
)
def y_conforms_to_the_reference(subject: Subject, case: Case) -> Iterator[Comparison]:
    """y is that of the definition, as accurately as its dtype allows.

    In units of u (|gamma| (|x_hat| + kappa) + |beta|), calibrated by two honest evaluations: stricter
    than BN102 where the data is harmless, and it says whether another eps or a factor explains y.
    """
    yield _conformance(subject, case, "y")
