"""Figures over seeds: what every experiment says of several runs of one variant."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence

from bnbench.intervals import median_interval
from bnbench.model import Interval
from bnbench.report.words import number
from bnbench.training.model import Evaluation, Figure, Point, Run, Series, Setting, Table, Trained, Value

FEW = 6
"""Below so many values a median has no interval at 95 %: the smallest and the largest stand in its place."""


def spread(values: Iterable[float]) -> Interval:
    """The median with its interval at 95 %, or with the range of fewer than six. nan counts as infinite.

    >>> spread([3.0, 1.0, 2.0])
    Interval(median=2.0, low=1.0, high=3.0)
    """
    ordered = sorted(math.inf if math.isnan(value) else value for value in values)
    if len(ordered) >= FEW:
        return median_interval(ordered)
    return Interval(median=statistics.median(ordered), low=ordered[0], high=ordered[-1])


def shown(value: Interval, *, percent: bool = False) -> str:
    """``0.213 [0.198, 0.25]``, or of shares ``97.2 [96.9, 97.8] %``."""
    if percent:
        return f"{100 * value.median:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}] %"
    return f"{number(value.median)} [{number(value.low)}, {number(value.high)}]"


def interval_note(setting: Setting) -> str:
    """What the brackets are."""
    count = len(setting.seeds)
    if count >= FEW:
        return f"Median over {count} seeds, with its interval at 95 %."
    return f"Median over {count} seeds, smallest and largest." if count > 1 else "One seed."


def variants(trained: Iterable[Trained]) -> dict[str, tuple[Trained, ...]]:
    """The runs of each variant, in the order of the plan."""
    found: dict[str, list[Trained]] = {}
    for one in trained:
        found.setdefault(one.run.variant, []).append(one)
    return {name: tuple(runs) for name, runs in found.items()}


def last(one: Trained, figure: Callable[[Evaluation], float]) -> float:
    """A figure at the end; nan for a run that diverged or raised."""
    if one.stopped.startswith(("the loss", "raised")) or not one.evaluations:
        return math.nan
    return figure(one.evaluations[-1])


def accuracy(one: Trained) -> float:
    """Test accuracy at the end; of a run that diverged or raised that of its last evaluation, 0 if there is none."""
    return one.evaluations[-1].test_accuracy if one.evaluations else 0.0


def steps_to(one: Trained, loss: float) -> float:
    """The step of the first evaluation at which the training loss is below this; infinite if none is."""
    return next((float(e.step) for e in one.evaluations if e.loss <= loss), math.inf)


def curves(
    title: str, y: str, trained: Iterable[Trained], figure: Callable[[Evaluation], float], *, log_y: bool = False
) -> Figure:
    """A figure of the evaluations over the steps, a line for each variant.

    A run that ended early counts with its last value, so that the line is one of the same seeds throughout.
    """
    series = []
    for name, runs in variants(trained).items():
        steps = sorted({e.step for one in runs for e in one.evaluations})
        points = (
            Point(x=step, y=spread(figure([e for e in one.evaluations if e.step <= step][-1]) for one in runs))
            for step in steps
            if all(one.evaluations for one in runs)
        )
        series.append(Series(name=name, points=tuple(points)))
    return Figure(title=title, x="steps", y=y, series=tuple(series), log_y=log_y)


def loss_and_accuracy(trained: Sequence[Trained]) -> tuple[Figure, Figure]:
    """The two figures of most experiments."""
    return (
        curves("Training loss", "cross-entropy", trained, lambda e: e.loss, log_y=True),
        curves("Test accuracy", "share that is right", trained, lambda e: e.test_accuracy),
    )


def ends(title: str, setting: Setting, trained: Sequence[Trained], *, loss: float | None = None) -> Table:
    """How the runs of each variant end; with ``loss``, also how many steps it takes to get below it."""
    columns = ["variant", "training loss", "test accuracy", "ms per step"]
    rows: list[list[Value]] = []
    for name, runs in variants(trained).items():
        row: list[Value] = [name, shown(spread(last(one, lambda e: e.loss) for one in runs))]
        row += [shown(spread(accuracy(one) for one in runs), percent=True)]
        row += [shown(spread(1e3 * one.seconds_per_step for one in runs))]
        rows.append(row)
    if loss is not None:
        columns.insert(1, f"steps to a training loss of {number(loss)}")
        for row, runs in zip(rows, variants(trained).values(), strict=True):
            row.insert(1, shown(spread(steps_to(one, loss) for one in runs)))
    if any(one.stopped for one in trained):
        columns.append("stopped early")
        for row, runs in zip(rows, variants(trained).values(), strict=True):
            reasons = [one.stopped for one in runs if one.stopped]
            row.append(f"{len(reasons)} of {len(runs)}: {reasons[0]}" if reasons else None)
    return Table(
        title=title, columns=tuple(columns), rows=tuple(tuple(row) for row in rows), note=interval_note(setting)
    )


def each_seed(setting: Setting, *kinds: Callable[..., Run]) -> tuple[Run, ...]:
    """Every variant for every seed, a variant's seeds next to each other. A kind is a run but for seed and patience."""
    return tuple(kind(seed=seed, patience=setting.patience) for kind in kinds for seed in setting.seeds)
