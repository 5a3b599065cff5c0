"""One knob turned over a range, with and without batch norm: the initial weights, the size of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from bnbench.report.words import number
from bnbench.training.model import Claim, Conclusion, Experiment, Figure, Point, Run, Series, Setting, Table, Trained
from bnbench.training.summaries import accuracy, each_seed, interval_note, last, shown, spread, variants

WEIGHT_SCALES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""sqrt(2 / fan-in) of 100 inputs is 0.14."""
BATCHES = (2, 4, 8, 16, 64, 256)
WITHOUT, WITH = "without", "with batch norm"
GOOD = 0.9
"""The test accuracy that counts as having learnt."""


def _plan(setting: Setting, knob: str, values: Sequence[float]) -> tuple[Run, ...]:
    steps = setting.steps or 150
    without = partial(Run, norm=None)
    with_ = partial(Run, norm="batch", implementation=setting.implementation)
    kinds: list[Callable[..., Run]] = [
        partial(kind, variant=f"{name}, {number(value)}", steps=steps, every=steps, **{knob: value})
        for name, kind in ((WITHOUT, without), (WITH, with_))
        for value in values
    ]
    return each_seed(setting, *kinds)


def _conclude(knob: str, label: str, setting: Setting, trained: tuple[Trained, ...]) -> Conclusion:
    accuracies: dict[str, list[Point]] = {WITHOUT: [], WITH: []}
    losses: dict[str, list[Point]] = {WITHOUT: [], WITH: []}
    for runs in variants(trained).values():
        run = runs[0].run
        name, value = WITH if run.norm else WITHOUT, float(getattr(run, knob))
        accuracies[name].append(Point(x=value, y=spread(accuracy(one) for one in runs)))
        losses[name].append(Point(x=value, y=spread(last(one, lambda e: e.loss) for one in runs)))
    learnt = {name: sum(point.y.median >= GOOD for point in points) for name, points in accuracies.items()}
    count = len(accuracies[WITH])
    sentence = (
        f"With batch norm {learnt[WITH]} of {count} values of the {label} lead to a test accuracy of at least "
        f"{GOOD:.0%} in {trained[0].run.steps} steps, without {learnt[WITHOUT]}."
    )
    rows = tuple(
        (a.x, shown(a.y, percent=True), shown(b.y, percent=True))
        for a, b in zip(accuracies[WITHOUT], accuracies[WITH], strict=True)
    )
    return Conclusion(
        claims=(Claim(sentence=sentence),),
        tables=(Table(title="Test accuracy", columns=(label, WITHOUT, WITH), rows=rows, note=interval_note(setting)),),
        figures=(
            _figure("Test accuracy", label, "share that is right", accuracies),
            _figure("Training loss at the end", label, "cross-entropy", losses, log_y=True),
        ),
    )


def _figure(title: str, x: str, y: str, lines: dict[str, list[Point]], *, log_y: bool = False) -> Figure:
    series = tuple(Series(name=name, points=tuple(points)) for name, points in lines.items())
    return Figure(title=title, x=x, y=y, series=series, log_x=True, log_y=log_y)


WEIGHT_SCALE = Experiment(
    name="weight-scale",
    title="The scale of the initial weights",
    question="How much do the initial weights matter, with and without batch norm?",
    plan=partial(_plan, knob="weight_scale", values=WEIGHT_SCALES),
    conclude=partial(_conclude, "weight_scale", "initial standard deviation"),
    seeds=3,
)
BATCH_SIZE = Experiment(
    name="batch-size",
    title="The size of a batch",
    question="From how few examples can batch norm take its statistics?",
    plan=partial(_plan, knob="batch", values=BATCHES),
    conclude=partial(_conclude, "batch", "examples in a batch"),
    seeds=3,
)
