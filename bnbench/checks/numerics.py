"""Where arithmetic is at its limits: one value, no rows, large means, huge and tiny x, NaN and infinity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.blocks import GROUPED, per_channel, to_blocks
from bnbench.cases import draw, draw_cotangent, shape_text, sized
from bnbench.checks._check import BATCH, check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs, rounding_unit
from bnbench.compare import agrees, compare, compare_bits, differs
from bnbench.kernels import attempt
from bnbench.model import Array, Case, Comparison, Inputs, Norm, Outputs, Subject
from bnbench.reference import normalize
from bnbench.tolerances import ROUNDING, grade, roundoff

CENTRED: tuple[Norm, ...] = (*BATCH, *(norm for norm in GROUPED if norm != "rms"))


def _finite(outputs: Outputs) -> Iterator[Comparison]:
    """One comparison for each output: is every element of it finite?"""
    arrays = {"y": outputs.y, "running_mean": outputs.running_mean, "running_var": outputs.running_var}
    for gradients in outputs.gradients:
        arrays |= gradients._asdict()
    for quantity, a in arrays.items():
        beyond = np.count_nonzero(~np.isfinite(a))
        if beyond:
            yield differs(quantity, got=f"{beyond} of {a.size} elements not finite", expected="finite")
        else:
            yield agrees(quantity, "finite")


@check(
    "BN131",
    mutant="one_value_divides_by_m_minus_1",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="M / (M - 1) of the variance that is kept is 1 / 0, or eps is missing, so that 0 / 0 comes out",
)
def one_value_is_refused_or_gives_beta(subject: Subject, case: Case) -> Iterator[Comparison]:
    """A block of a single element is refused with ValueError, or normalized to 0 so that y = beta: never NaN.

    Its variance is 0 and says nothing. PyTorch refuses it, ONNX and TensorFlow return beta. With a divisor M - 1 the
    variance that is kept would be 0 / 0, and a NaN in running_var stays for good. RMS norm gives +-gamma + beta.
    """
    inputs = draw(sized(case, blocks=3, elements=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        answer = attempt(subject.kernel, inputs, np.ones_like(inputs.x))
    if isinstance(answer, str):
        yield agrees(f"x of {shape_text(inputs.x.shape)}", f"refused: {answer}")
        return
    expected = normalize(inputs).y
    yield compare("y of one value", answer.y, expected, rounding_unit(inputs, expected), ROUNDING)
    yield from _finite(answer)


@check(
    "BN132",
    mutant="an_empty_batch_moves_the_running_statistics",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="the mean of nothing is NaN and enters the running statistics, which never recover",
)
def an_empty_batch_leaves_no_trace(subject: Subject, case: Case) -> Iterator[Comparison]:
    """A batch of 0 rows is refused, or gives an empty y and dx, zero dgamma and dbeta, and unchanged statistics.

    The last shard of a data set or a detector without boxes produces one; a NaN in the running statistics would
    spoil every later answer. A refusal is a TypeError or a ValueError.
    """
    inputs = draw(case)
    inputs = replace(inputs, x=inputs.x[:0])
    with np.errstate(divide="ignore", invalid="ignore"):
        answer = attempt(subject.kernel, inputs, np.empty_like(inputs.x))
    if isinstance(answer, str):
        yield agrees(f"x of {shape_text(inputs.x.shape)}", f"refused: {answer}")
        return
    nothing = np.zeros_like(inputs.gamma)
    yield compare_bits("y", answer.y, inputs.x)
    yield compare_bits("running_mean", answer.running_mean, inputs.running_mean)
    yield compare_bits("running_var", answer.running_var, inputs.running_var)
    for quantity, expected in (("dx", inputs.x), ("dgamma", nothing), ("dbeta", nothing)):
        got = getattr(answer.gradients[0], quantity)
        yield compare_bits(quantity, got + got.dtype.type(0), expected)


@check(
    "BN133",
    mutant="textbook_variance",
    training=True,
    norms=CENTRED,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="E[x^2] - E[x]^2 for the variance: at mean / sd = 1e4 its error is 1e8 roundings of the variance",
)
def a_large_mean_costs_no_more_than_its_rounding(subject: Subject, case: Case) -> Iterator[Comparison]:
    """At mean / sd = 1e2 and 1e4, y is as accurate as the rounding of x allows, and never NaN.

    Rounding x itself moves x_hat by u mean / sd; that is the unit. Two passes, a shift by a sample or merged blocks
    stay near it, the textbook variance is off by u (mean / sd)^2 and may come out negative. The grade says how near:
    A within 1 unit, B within 8, C beyond.
    """
    for ratio in (1e2, 1e4):
        at = replace(sized(case, blocks=3, elements=128), mean=ratio, sd=1.0)
        inputs = draw(at)
        expected = normalize(inputs).y
        with np.errstate(invalid="ignore"):
            y = subject.kernel(inputs).y
        comparison = compare(f"y at mean / sd = {ratio:g}", y, expected, rounding_unit(inputs, expected), ROUNDING)
        yield replace(comparison, note=f"grade {grade(comparison.error)}")


@check(
    "BN134",
    mutant="x_clipped_at_1e9",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="x is clipped for stability, or M sum(x^2) or a fourth power overflows where x^2 does not",
)
def huge_x_does_not_overflow(subject: Subject, case: Case) -> Iterator[Comparison]:
    """For |x| up to sqrt(max) / 8, y matches the reference and all that comes out is finite.

    The squares of eight such values, shifted by any of them, still add up to less than the dtype's largest number.
    """
    inputs = _with_x(sized(case, blocks=3, elements=8), float(np.sqrt(np.finfo(case.dtype).max)) / 8)
    outputs, expected = _outputs_and_reference(subject, inputs)
    yield compare("y", outputs.y, expected, rounding_unit(inputs, expected), ROUNDING)
    yield from _finite(outputs)


@check(
    "BN135",
    mutant="tiny_deviations_count_as_none",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="a branch for a variance near 0, or max(v, eps) and eps outside the root, which differ most here",
)
def tiny_x_is_divided_by_the_root_of_eps(subject: Subject, case: Case) -> Iterator[Comparison]:
    """For x near 1e-30 (1e-200 in float64) and beta = 0, y is gamma (x - mu) / sqrt(eps).

    The variance underflows to 0, and what is left of the divisor is sqrt(eps). y is tiny too, and compared on
    its own scale.
    """
    size = 1e-30 if case.dtype == "float32" else 1e-200
    inputs = _with_x(replace(sized(case, blocks=3, elements=8), eps=1e-5), size)
    inputs = replace(inputs, beta=np.zeros_like(inputs.beta))
    outputs, expected = _outputs_and_reference(subject, inputs)
    gamma = per_channel(np.abs(inputs.gamma.astype(np.float64)), inputs.x.ndim)
    unit = roundoff(case.dtype) * gamma * (size / np.sqrt(inputs.options.eps))
    yield compare("y", outputs.y, expected, unit, ROUNDING)
    yield from _finite(outputs)


def _with_x(case: Case, largest: float) -> Inputs:
    """The case's inputs with |x| up to ``largest``."""
    inputs = draw(replace(case, mean=0.0, sd=1.0))
    x = inputs.x.astype(np.float64)
    return replace(inputs, x=(x * (largest / np.abs(x).max())).astype(case.dtype))


def _outputs_and_reference(subject: Subject, inputs: Inputs) -> tuple[Outputs, Array]:
    with np.errstate(all="ignore"):
        return subject.kernel(inputs, np.ones_like(inputs.x)), normalize(inputs).y


@check(
    "BN136",
    mutant="statistics_skip_nan",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="nanmean or nan_to_num hides the NaN, or a reduction over too much spreads it",
)
def nan_and_infinity_stay_in_their_block(subject: Subject, case: Case) -> Iterator[Comparison]:
    """A NaN in one block makes all of its y and dx NaN, and changes no bit of another block; infinity likewise.

    Hidden, a NaN becomes a plausible wrong number; spread, one bad channel or sample spoils all the others. With an
    infinity, inf - inf and inf / inf are NaN (in RMS norm, a finite value over an infinite root may be 0).
    """
    inputs, dy = draw(case), draw_cotangent(case)
    clean = subject.kernel(inputs, dy)
    at = tuple(length // 2 for length in case.shape)
    marks = np.zeros(case.shape, dtype=bool)
    marks[at] = True
    blocks = to_blocks(marks, case.norm, case.groups)
    touched = blocks.any(1)
    for name, value in (("NaN", np.nan), ("inf", np.inf)):
        x = inputs.x.copy()
        x[at] = value
        with np.errstate(invalid="ignore"):
            outputs = subject.kernel(replace(inputs, x=x), dy)
        pairs = (("y", outputs.y, clean.y), ("dx", outputs.gradients[0].dx, clean.gradients[0].dx))
        for quantity, got, before in pairs:
            wide, old = (to_blocks(a, case.norm, case.groups) for a in (got, before))
            lies = int(np.isfinite(wide[touched]).sum()) if name == "NaN" or case.norm != "rms" else 0
            if lies:
                yield differs(f"{quantity} of a block with {name}", got=f"{lies} finite elements", expected="none")
            else:
                yield agrees(f"{quantity} of a block with {name}", "no finite element")
            yield compare_bits(f"{quantity} of blocks beside {name}", wide[~touched], old[~touched])
