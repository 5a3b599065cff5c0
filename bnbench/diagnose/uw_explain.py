"""Which mistake explains what a stage of UW homework 2 answers: its formula, made wrong until it agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np

from bnbench.diagnose.cause import Cause, Quantity, Slip
from bnbench.diagnose.uw_formulas import RIGHT, Parameters, error, evaluate
from bnbench.diagnose.uw_mistakes import TOO_SMALL, Mistake, mistakes
from bnbench.diagnose.uw_stages import EPS, Stage, StageCase
from bnbench.model import Array
from bnbench.tolerances import Tolerance

Results: TypeAlias = Sequence[tuple[StageCase, Array]]
"""What a stage gave, in float64, case by case."""

SEQUENTIAL = Tolerance(
    limit=64.0,
    unit="float32 rounding units of the terms' magnitude",
    because=(
        "sequential float32 sums with powf stay below 4 on these cases, compiled with -O2 or -Ofast, and below 12 "
        "where eps is fitted; the smallest mistake that was tried is at 8e5"
    ),
)
LARGEST_EPS = 1e-2
"""Where the homework prescribes no eps, more than this is not a small number any more."""
QUANTITIES: Mapping[str, Quantity] = {
    "x": "x",
    "m": "mu",
    "v": "var",
    "d": "dx_hat",
    "dm": "dmu",
    "dv": "dvar",
    "mean": "mu",
    "variance": "var",
    "normalize": "x_hat",
    "delta_mean": "dmu",
    "delta_variance": "dvar",
    "delta_batch_norm": "dx",
    "forward": "y",
}


def misfit(stage: Stage, parameters: Parameters, pairs: Results) -> float:
    """Largest error over the cases, or the first that is beyond the limit."""
    worst = 0.0
    for case, got in pairs:
        units = error(got, *evaluate(stage, case, parameters))
        if not units <= SEQUENTIAL.limit:
            return units
        worst = max(worst, units)
    return worst


def with_eps(parameters: Parameters, eps: float) -> Parameters:
    return {**parameters, "spread": ("inside", eps)} if "spread" in parameters else parameters


def explain(stage: Stage, pairs: Results, eps: float) -> tuple[tuple[Cause, ...], float | None]:
    """The mistakes, one or two, with which the formula gives what the stage gave; and the eps it uses."""
    shapes = [(got.shape, evaluate(stage, case, RIGHT[stage])[0].shape) for case, got in pairs]
    for got_shape, right_shape in shapes:
        if got_shape != right_shape:
            sentence = f"the result is {got_shape[0]} x {got_shape[1]}; it must be {right_shape[0]} x {right_shape[1]}"
            return (
                Cause(
                    quantity=QUANTITIES[stage],
                    slip=Slip.REDUCTION,
                    sentence=sentence,
                    evidence="the shape of the result",
                ),
            ), None
    reference = with_eps(RIGHT[stage], eps)
    inside, outside = _fitted_eps(stage, pairs, eps) if "spread" in reference else (None, None)
    known = list(mistakes(stage, eps, inside=inside, outside=outside))

    def fits(*chosen: Mistake) -> bool:
        parameters = {**reference, **{mistake.parameter: mistake.value for mistake in chosen}}
        return misfit(stage, parameters, pairs) <= SEQUENTIAL.limit

    evidence = f"with this mistake and no other, the formula gives the same in all {len(pairs)} cases"
    single = [mistake for mistake in known if fits(mistake)]
    if single:
        decided = len({(mistake.quantity, mistake.slip) for mistake in single}) == 1
        return (_named(single[0], evidence, decided=decided),), _eps_of(single[0], reference)
    for first, second in combinations(known, 2):
        if first.parameter != second.parameter and fits(first, second):
            evidence = f"with these two mistakes, the formula gives the same in all {len(pairs)} cases"
            return (_named(first, evidence, decided=True), _named(second, evidence, decided=True)), None
    sentence = f"{stage} is wrong; none of the known mistakes gives the same values"
    evidence = f"{len(known)} mistakes tried, alone and in pairs"
    cause = Cause(quantity=QUANTITIES[stage], slip=None, sentence=sentence, evidence=evidence, decided=False)
    return (cause,), None


def _named(mistake: Mistake, evidence: str, *, decided: bool) -> Cause:
    return Cause(
        quantity=mistake.quantity, slip=mistake.slip, sentence=mistake.sentence, evidence=evidence, decided=decided
    )


def _eps_of(mistake: Mistake, reference: Parameters) -> float | None:
    if mistake.parameter == "spread":
        form, value = mistake.value
        return 0.0 if form == "special" else float(value)
    return float(reference["spread"][1]) if "spread" in reference else None


def _fitted_eps(stage: Stage, pairs: Results, eps: float) -> tuple[float | None, float | None]:
    """The eps, inside and outside the root, that explains the first group of the tiny case, where v = 0."""
    for case, got in pairs:
        if case.given and case.arrays["v"][0, 0] == 0:
            reference = with_eps(RIGHT[stage], eps)
            right, _ = evaluate(stage, case, reference)
            rest = evaluate(stage, case, {**reference, "direct": 0})[0] if "direct" in reference else 0 * right
            first = slice(0, right.shape[1] // case.groups)
            with np.errstate(all="ignore"):
                ratio = float(np.median((got - rest)[:, first] / (right - rest)[:, first]))
            power = reference["power"]
            if np.isfinite(ratio) and ratio > 0:
                return eps * ratio ** (-2 / power), eps**0.5 * ratio ** (-1 / power)
    return None, None


def chosen_eps(stage: Stage, pairs: Results) -> float | None:
    """The eps of a stage that is right but for its choice, which is a small number; else None."""
    if any(got.shape != evaluate(stage, case, RIGHT[stage])[0].shape for case, got in pairs):
        return None
    inside, _ = _fitted_eps(stage, pairs, EPS)
    if inside is None or not TOO_SMALL <= inside <= LARGEST_EPS:
        return None
    return inside if misfit(stage, with_eps(RIGHT[stage], inside), pairs) <= SEQUENTIAL.limit else None
