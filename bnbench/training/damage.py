"""A wrong normalization inside a network: which bugs does training hide?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache, partial

import numpy as np

from bnbench.cases import draw, draw_cotangent
from bnbench.kernels import local_kernel
from bnbench.model import Array, Case, Implementation
from bnbench.mutants import ALL_MUTANTS, CORRECT, Mutant, forward_of
from bnbench.reference import normalize
from bnbench.report.words import number, scientific
from bnbench.training.model import Claim, Conclusion, Experiment, Figure, Point, Run, Series, Setting, Table, Trained
from bnbench.training.summaries import FEW, accuracy, each_seed, interval_note, shown, spread, variants

RIGHT = Implementation(name="right", load=partial(forward_of, CORRECT), summary="nothing is wrong")
EXERCISED = 1e-12
"""Relative errors below are those of rounding: what is wrong does not happen in ``(N, C)`` of float64."""
CASES = tuple(Case(shape=(33, 7), mean=1.0, sd=2.0, training=training, momentum=0.1) for training in (True, False))


@cache
def inside() -> Mapping[str, Implementation]:
    """The right batch norm and the mutants whose bug is a slip in a quantity of the graph, by name."""
    wrong = (mutant.implementation() for mutant in _wrong())
    return {implementation.name: implementation for implementation in (RIGHT, *wrong)}


@cache
def _wrong() -> tuple[Mutant, ...]:
    found = (mutant for mutant in ALL_MUTANTS if mutant.norm == "batch" and mutant.cause is not None)
    return tuple(mutant for mutant in found if not error_of(mutant) <= EXERCISED)


def error_of(mutant: Mutant) -> float:
    """The largest relative error of any output or gradient, in norm, in either mode; infinite if it raises.

    Of y, the running statistics, dx, dgamma and dbeta, in float64 on ``(N, C)`` data.
    """
    try:
        return max(error for case in CASES for error in _errors(mutant, case))
    except Exception:  # noqa: BLE001 - a wrong implementation may raise anything
        return math.inf


def _errors(mutant: Mutant, case: Case) -> Iterator[float]:
    inputs, dy = draw(case), draw_cotangent(case)
    got = local_kernel(mutant.make())(inputs, dy)
    right = normalize(inputs, dy, running_var_ddof=1 if mutant.ddof else 0)
    for a, b in zip(
        (got.y, got.running_mean, got.running_var, *got.gradients[0]),
        (right.y, right.running_mean, right.running_var, *right.gradients[0]),
        strict=True,
    ):
        yield _relative(a, b)


def _relative(a: Array, b: Array) -> float:
    if a.shape != b.shape:
        return math.inf
    return float(np.linalg.norm((a - b).ravel()) / np.linalg.norm(b.ravel()))


def _plan(setting: Setting) -> tuple[Run, ...]:
    steps = setting.steps or 120
    alike = partial(Run, norm="batch", widths=(50, 50), batch=32, steps=steps, every=steps, rate=0.1, stateful=True)
    return each_seed(setting, *(partial(alike, variant=name, implementation=name) for name in inside()))


def _conclude(setting: Setting, trained: tuple[Trained, ...]) -> Conclusion:
    runs = variants(trained)
    right = [accuracy(one) for one in runs[RIGHT.name]]
    spread_of_right = max(right) - min(right)
    lost = {
        name: spread(good - accuracy(one) for good, one in zip(right, own, strict=True))
        for name, own in runs.items()
        if name != RIGHT.name
    }
    ranked = sorted(lost, key=lambda name: -lost[name].median)
    errors = {mutant.name: error_of(mutant) for mutant in _wrong()}
    hidden = [name for name in ranked if lost[name].median <= spread_of_right]
    claims = (
        Claim(
            sentence=f"Of {len(ranked)} wrong batch norms, training hides {len(hidden)}: they cost no more test "
            f"accuracy than another seed would ({100 * spread_of_right:.1f} points)."
        ),
        Claim(
            sentence=f"{sum(errors[name] > 0.1 for name in hidden)} of those hidden have an output or a gradient that "
            "is more than 10 % wrong. The checks see every one of them: bnbench mutants."
        ),
        Claim(sentence=f"The most damage: {', '.join(ranked[:5])}."),
    )
    rows = tuple(
        (
            rank,
            name,
            inside()[name].summary,
            shown(spread(accuracy(one) for one in runs[name]), percent=True),
            number(100 * lost[name].median),
            "hidden" if name in hidden else _fate(runs[name]),
            scientific(errors[name]),
        )
        for rank, name in enumerate(ranked, 1)
    )
    columns = ("rank", "mutant", "what is wrong", "test accuracy", "points lost", "in training", "relative error")
    note = (
        f"The right one has {shown(spread(right), percent=True)}. {interval_note(setting)} Relative error: the largest "
        "of y, running statistics, dx, dgamma and dbeta."
    )
    return Conclusion(
        claims=claims,
        tables=(Table(title="Wrong batch norms by damage", columns=columns, rows=rows, note=note),),
        figures=(
            Figure(
                title="Damage in training against error in one call",
                x="largest relative error of an output or gradient",
                y="test accuracy lost",
                kind="points",
                log_x=True,
                series=tuple(
                    Series(name=label, points=tuple(Point(x=errors[name], y=lost[name]) for name in names))
                    for label, names in (("hidden", hidden), ("seen", [name for name in ranked if name not in hidden]))
                ),
            ),
        ),
    )


def _fate(runs: tuple[Trained, ...]) -> str:
    stopped = [one.stopped for one in runs if one.stopped]
    return f"ends in {len(stopped)} of {len(runs)}: {stopped[0]}" if stopped else "seen"


MUTANTS = Experiment(
    name="mutants",
    title="Wrong batch norms in training",
    question="Which bugs does training hide?",
    plan=_plan,
    conclude=_conclude,
    seeds=FEW // 2,
)
