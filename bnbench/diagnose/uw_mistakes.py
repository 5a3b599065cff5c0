"""The mistakes of UW homework 2: which parameter of a formula they change, and what to tell the student."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.uw_formulas import WEIGHTS
from bnbench.diagnose.uw_stages import Stage

TOO_SMALL = 1e-11
"""Below this, eps changes no variance that float32 data of ordinary size can have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """One parameter of a stage's formula with a wrong value."""

    parameter: str
    value: Any
    quantity: Quantity
    slip: Slip
    sentence: str


OF_A_GROUP = "x.rows * n, the number of elements in a group (n columns each)"
MUST: Mapping[str, str] = {"M": f"must be divided by {OF_A_GROUP}", "1": "must not be divided by anything"}
COUNT_WORDS: Mapping[str, str] = {
    "M": f"divided by {OF_A_GROUP}",
    "1": "not divided by anything",
    "rows": "divided by the number of rows only",
    "n": "divided by the n columns of a group only, not by the rows",
    "groups": "divided by the number of groups",
    "cols": "divided by the number of columns",
    "rows * cols": "divided by rows * cols, all elements of the matrix, not those of one group",
    "rows * groups": "divided by rows * groups",
    "rows / n": "divided by rows / n instead of rows * n",
    "rows / n, whole": "divided by the integer rows / n instead of rows * n",
    "n / rows": "divided by n / rows instead of n * rows",
    "n / rows, whole": "divided by the integer n / rows instead of n * rows",
    "M - 1": "divided by one less than the number of elements in a group",
    "rows - 1": "divided by rows - 1",
    "M * M": "divided twice by the number of elements in a group",
    "zero": "multiplied by an integer division that gives 0, such as 1/(rows*n)",
}


def mistakes(
    stage: Stage, eps: float, *, inside: float | None = None, outside: float | None = None
) -> Iterator[Mistake]:
    """All known mistakes of a stage, the likelier ones first.

    ``eps`` is the right one; ``inside`` and ``outside`` (of the root) are the values that would explain
    the output where the variance is zero, None where no value would.
    """
    yield from _STRUCTURE.get(stage, ())
    yield from _counts(stage)
    if stage in _SPREAD:
        yield from _eps(stage, eps, inside, outside)
        yield from _powers(stage)
    if stage in {"mean", "variance", "delta_mean", "delta_variance"}:
        yield from _reductions(stage)


_RESULT: Mapping[Stage, Quantity] = {
    "mean": "mu",
    "variance": "var",
    "normalize": "x_hat",
    "delta_mean": "dmu",
    "delta_variance": "dvar",
    "delta_batch_norm": "dx",
}
_SPREAD: Mapping[Stage, tuple[Quantity, float, str]] = {
    "normalize": ("sd", 1, "sqrt(v + eps)"),
    "delta_mean": ("dmu", 1, "-1 / sqrt(v + eps)"),
    "delta_variance": ("dvar", 3, "pow(v + eps, -1.5)"),
    "delta_batch_norm": ("dxc", 1, "1 / sqrt(v + eps)"),
}
"""Where a stage uses the variance: the quantity, the power of 1 / sd, and the right expression."""


def _mistake(parameter: str, value: Any, quantity: Quantity, slip: Slip, sentence: str) -> Mistake:
    return Mistake(parameter=parameter, value=value, quantity=quantity, slip=slip, sentence=sentence)


def _counts(stage: Stage) -> Iterator[Mistake]:
    subjects: Mapping[Stage, tuple[tuple[str, str, Quantity, str], ...]] = {
        "mean": (("weight", "M", "mu", "the sum of x"),),
        "variance": (("weight", "M", "var", "the sum of the squared deviations"),),
        "delta_mean": (("weight", "1", "dmu", "the sum over the group"),),
        "delta_variance": (("weight", "1", "dvar", "the sum over the group"),),
        "delta_batch_norm": (
            ("weight", "M", "dx", "what comes through the mean and the variance"),
            ("variance_weight", "M", "dsq", "the term with dv, which comes through the variance,"),
            ("mean_weight", "M", "dx", "the term with dm, which comes through the mean,"),
        ),
    }
    for parameter, right, quantity, subject in subjects.get(stage, ()):
        for count in WEIGHTS:
            if count != right and (count != "zero" or parameter == "weight"):
                sentence = f"{subject} is {COUNT_WORDS[count]}; it {MUST[right]}"
                yield _mistake(parameter, count, quantity, Slip.COUNT, sentence)


def _eps(stage: Stage, right_eps: float, inside: float | None, outside: float | None) -> Iterator[Mistake]:
    quantity, power, right = _SPREAD[stage]
    must = f"it must be {right} with eps = {right_eps:.3g}"
    after = None if outside is None else outside**power
    for form, eps in (("inside", inside), ("outside", outside), ("after", after)):
        if eps is None or (form == "inside" and abs(eps - right_eps) < 1e-3 * right_eps):
            continue
        if form == "inside":
            small = ", too small to act" if eps < TOO_SMALL else ""
            sentence = f"eps is {eps:.3g}{small}; {must}"
        else:
            sentence = f"eps ({eps:.3g}) is added outside the root; {must}"
        yield _mistake("spread", (form, eps), quantity, Slip.EPS, sentence)
    if inside is not None:
        sentence = f"the larger of v and eps ({inside:.3g}) is taken, not their sum; {must}"
        yield _mistake("spread", ("larger", inside), quantity, Slip.EPS, sentence)
    yield _mistake("spread", ("inside", 0.0), quantity, Slip.EPS, f"eps is missing; {must}")
    for value in (0.0, 1.0):
        sentence = f"v == 0 is a case of its own and eps is missing; {must}, without a special case"
        yield _mistake("spread", ("special", value), quantity, Slip.EPS, sentence)


def _powers(stage: Stage) -> Iterator[Mistake]:
    quantity, right, expression = _SPREAD[stage]
    words = {0: "1 (the variance is not used)", 1: "-0.5", 2: "-1 (the root is missing)", 3: "-1.5", 4: "-2", 6: "-3"}
    words |= {-1: "0.5", -3: "1.5", 5: "-2.5"}
    for power, name in words.items():
        if power != right:
            sentence = f"the exponent of v + eps is {name}; it must be {-right / 2:g}: {expression}"
            yield _mistake("power", power, quantity, Slip.FACTOR if power == 0 else Slip.POWER, sentence)


def _reductions(stage: Stage) -> Iterator[Mistake]:
    quantity = _RESULT[stage]
    sentence = "the columns of a group are taken to be j % groups; they are neighbours: the group of column j is j / n"
    yield _mistake("groups", "interleaved", quantity, Slip.LAYOUT, sentence)
    sentence = "everything is summed, in every group; each group has a sum of its own"
    yield _mistake("groups", "everything", quantity, Slip.REDUCTION, sentence)


def _factors(
    parameter: str, right: float, quantity: Quantity, subject: str, factors: tuple[float, ...]
) -> Iterator[Mistake]:
    for factor in factors:
        slip = Slip.SIGN if factor == -right else Slip.FACTOR
        yield _mistake(
            parameter, factor, quantity, slip, f"the factor of {subject} is {factor:g}; it must be {right:g}"
        )


_STRUCTURE: Mapping[Stage, tuple[Mistake, ...]] = {
    "variance": (
        _mistake("root", 0.5, "var", Slip.POWER, "this is the standard deviation; the variance has no root"),
        _mistake("operand", "m", "var", Slip.OPERAND, "v is made from m; it must be made from (x - m) squared"),
        _mistake("operand", "x", "var", Slip.OPERAND, "the mean is not subtracted from x before squaring"),
        _mistake("operand", "E[x^2] - m", "var", Slip.POWER, "the mean is subtracted without being squared"),
        _mistake("power", 1, "sq", Slip.POWER, "the deviations x - m are added up without being squared"),
    ),
    "normalize": (
        _mistake("numerator", "x", "xc", Slip.TERM, "the mean is not subtracted from x"),
        _mistake("numerator", "m - x", "xc", Slip.SIGN, "it is m - x; it must be x - m"),
        _mistake("numerator", "x + m", "xc", Slip.SIGN, "the mean is added to x; it must be subtracted"),
        _mistake(
            "operation", "subtract", "x_hat", Slip.OPERATION, "sqrt(v + eps) is subtracted; x - m is divided by it"
        ),
        _mistake("operation", "multiply", "x_hat", Slip.OPERATION, "x - m is multiplied by sqrt(v + eps), not divided"),
        _mistake("operation", "none", "x_hat", Slip.FACTOR, "x - m is not divided by sqrt(v + eps)"),
    ),
    "delta_mean": (_mistake("sign", 1, "dmu", Slip.SIGN, "the sign is wrong: x - m falls when m grows"),),
    "delta_variance": (
        *_factors("factor", -0.5, "dvar", "the sum of d * (x - m)", (0.5, -1, 1, -2, 2, -1.5, 1.5, -0.25, 0.25)),
        _mistake("operand", "x", "dvar", Slip.OPERAND, "d is multiplied by x; it must be multiplied by x - m"),
        _mistake("operand", "1", "dvar", Slip.FACTOR, "the factor x - m is missing in the sum"),
        _mistake("operand", "m", "dvar", Slip.OPERAND, "d is multiplied by m; it must be multiplied by x - m"),
    ),
    "delta_batch_norm": (
        _mistake("direct", 0, "dxc", Slip.TERM, "the term d / sqrt(v + eps) is missing"),
        _mistake(
            "variance_factor", 0, "dxc", Slip.TERM, "the term with dv is missing, or an integer division makes it 0"
        ),
        _mistake("mean_factor", 0, "dx", Slip.TERM, "the term with dm is missing, or an integer division makes it 0"),
        *_factors("variance_factor", 2, "dxc", "the term with dv * (x - m)", (1, -2, -1, 0.5, 4)),
        _mistake("mean_factor", -1, "dx", Slip.SIGN, "the term with dm is subtracted; it must be added"),
        _mistake("operand", "x", "dxc", Slip.OPERAND, "dv is multiplied by x; it must be multiplied by x - m"),
    ),
}
