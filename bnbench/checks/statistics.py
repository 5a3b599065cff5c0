"""Do the running statistics move as declared?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.cases import draw
from bnbench.checks._check import BATCH, check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.compare import compare, in_units
from bnbench.differences import scale_of
from bnbench.model import Array, Case, Comparison, Inputs, Subject
from bnbench.reference import normalize
from bnbench.tolerances import ROUNDING, roundoff


def _step(subject: Subject, case: Case, quantity: str) -> Comparison:
    """Compare one running statistic after a train step; on a mismatch, name the rule that fits."""
    inputs = draw(case)
    got: Array = getattr(subject.kernel(inputs), quantity)
    ddof = subject.capabilities.running_var_ddof
    expected: Array = getattr(normalize(inputs, running_var_ddof=ddof), quantity)
    unit = statistic_unit(inputs, quantity, expected)
    comparison = compare(quantity, got, expected, unit, ROUNDING)
    if comparison.error <= comparison.limit or got.shape != expected.shape:
        return comparison
    fits = [rule for rule, value in _rules(inputs, quantity) if in_units(got, value, unit).max() <= ROUNDING.limit]
    return replace(comparison, note=f"fits: {fits[0]}" if fits else "fits no known rule")


def statistic_unit(inputs: Inputs, quantity: str, expected: Array) -> Array:
    """One rounding unit of a running statistic, ``(C,)``: of the old, of the batch's and of the result."""
    old = np.abs(getattr(inputs, quantity).astype(np.float64))
    scale = scale_of(inputs)
    batch = scale.sd * scale.kappa if quantity == "running_mean" else scale.sd**2 * scale.kappa
    unit: Array = roundoff(inputs.x.dtype) * (old + batch + np.abs(expected))
    return unit


def _rules(inputs: Inputs, quantity: str) -> Iterator[tuple[str, Array]]:
    """Every convention seen in the field, by name, with the statistic it would give."""
    momentum = inputs.options.momentum
    sides = {"weighs the new batch": momentum, "weighs the OLD statistics": 1 - momentum}
    ddofs = (0, 1) if quantity == "running_var" else (0,)
    for side, weight in sides.items():
        for ddof in ddofs:
            moved = replace(inputs, options=replace(inputs.options, momentum=weight))
            divisor = f", variance divided by {'M - 1' if ddof else 'M'}" if quantity == "running_var" else ""
            yield f"momentum {side}{divisor}", getattr(normalize(moved, running_var_ddof=ddof), quantity)
    yield "never updated", getattr(inputs, quantity).astype(np.float64)
    replaced = replace(inputs, options=replace(inputs.options, momentum=1.0))
    yield "replaced by the batch's, without averaging", getattr(normalize(replaced), quantity)


@check(
    "BN201",
    mutant="running_mean_weighs_the_old",
    training=True,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="momentum on the wrong side: 0.1 of the new batch here is 0.9 of the old statistics in cs231n",
)
def running_mean_moves_towards_the_batch(subject: Subject, case: Case) -> Iterator[Comparison]:
    """A train step leaves running_mean at (1 - momentum) running_mean + momentum mu, exactly once.

    momentum weighs the new batch. Running statistics that start at 0 and a batch whose mean is near 0
    hide a swapped momentum, so the case starts elsewhere.
    """
    yield _step(subject, case, "running_mean")


@check(
    "BN202",
    mutant="running_var_with_the_other_ddof",
    training=True,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="a variance with divisor M - 1 declared as M or the reverse, or the standard deviation kept instead",
)
def running_var_moves_towards_the_batch(subject: Subject, case: Case) -> Iterator[Comparison]:
    """A train step leaves running_var at (1 - momentum) running_var + momentum v M / (M - ddof).

    ddof is what the implementation declares (Capabilities.running_var_ddof): 0 in cs231n, Keras, ONNX
    and UW, 1 in PyTorch and in algorithm 2 of arXiv:1502.03167. What is normalized by always has ddof 0.
    """
    yield _step(subject, case, "running_var")
