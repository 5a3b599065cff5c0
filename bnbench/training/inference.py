"""Three ways to the statistics of eval mode: a course's running average, torch's, and the paper's population.

With momentum m (of the new batch) and t steps, torch's running variance is an average of variances with divisor M - 1
that starts from 1; cs231n's is one of variances with divisor M that starts from 0. Both are linear, so that one is
found from the other. The paper (Ioffe and Szegedy, arXiv:1502.03167, algorithm 2) freezes the trained network and
averages over many batches, the variance times M / (M - 1).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bnbench.training.loop import batch_rows, scored
from bnbench.training.model import (
    Claim,
    Conclusion,
    Data,
    Experiment,
    Figure,
    Point,
    Run,
    Series,
    Setting,
    Table,
    Trained,
)
from bnbench.training.summaries import each_seed, interval_note, shown, spread, variants

if TYPE_CHECKING:
    from torch import nn

STEPS = (5, 20, 80, 320)
BATCH = 16
COURSE, TORCH, POPULATION = "running average (cs231n)", "running average (torch)", "population (paper)"
WAYS = (COURSE, TORCH, POPULATION)


def _plan(setting: Setting) -> tuple[Run, ...]:
    counts = sorted({min(steps, setting.steps or STEPS[-1]) for steps in STEPS})
    kind = partial(Run, norm="batch", implementation=setting.implementation, batch=BATCH)
    return each_seed(
        setting, *(partial(kind, variant=f"after {steps} steps", steps=steps, every=steps) for steps in counts)
    )


def scores(run: Run, model: nn.Module, data: Data) -> dict[str, float]:
    """Test accuracy and loss of a trained network with the statistics of each of the three ways."""
    import copy

    found: dict[str, float] = {}
    for way, settle in ((TORCH, None), (COURSE, use_course_statistics), (POPULATION, use_population_statistics)):
        own = copy.deepcopy(model)
        if settle is not None:
            settle(own, run, data)
        loss, accuracy = scored(own, data.test_x, data.test_labels)
        found |= {f"accuracy, {way}": accuracy, f"loss, {way}": loss}
    return found


def use_course_statistics(model: nn.Module, run: Run, data: Data) -> None:  # noqa: ARG001 - as the other
    """Turn torch's running variances into those of cs231n, given that every batch had ``run.batch`` rows."""
    import torch

    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm1d) and layer.running_var is not None and layer.momentum is not None:
            left = (1 - layer.momentum) ** float(layer.num_batches_tracked or 0)  # of the 1 that torch starts from
            layer.running_var.sub_(left).mul_((run.batch - 1) / run.batch)


def use_population_statistics(model: nn.Module, run: Run, data: Data) -> None:
    """Put the mean of batch means, and of variances times M / (M - 1), into every batch norm.

    The batches are an epoch in the order of the run. ``update_bn`` averages cumulatively, which is just that.
    """
    import torch

    rows = len(data.x)
    batches = (torch.from_numpy(data.x[batch_rows(run, step, rows)]) for step in range(rows // run.batch))
    torch.optim.swa_utils.update_bn(batches, model)


def _conclude(setting: Setting, trained: tuple[Trained, ...]) -> Conclusion:
    runs = variants(trained)
    found = {
        figure: {
            way: [spread(one.measures.get(f"{figure}, {way}", float("nan")) for one in own) for own in runs.values()]
            for way in WAYS
        }
        for figure in ("accuracy", "loss")
    }
    counts = [own[0].run.steps for own in runs.values()]
    claims = [
        Claim(
            sentence=f"After {steps} steps the test accuracy is "
            + ", ".join(f"{shown(found['accuracy'][way][i], percent=True)} by the {way}" for way in WAYS)
            + "."
        )
        for i, steps in enumerate(counts)
        if i in (0, len(counts) - 1)
    ]
    tables = tuple(
        Table(
            title=f"Test {figure}",
            columns=("steps", *WAYS),
            rows=tuple(
                (steps, *(shown(found[figure][way][i], percent=figure == "accuracy") for way in WAYS))
                for i, steps in enumerate(counts)
            ),
            note=interval_note(setting),
        )
        for figure in found
    )
    figures = tuple(
        Figure(
            title=f"Test {figure}",
            x="steps of training",
            y=unit,
            series=tuple(
                Series(
                    name=way,
                    points=tuple(
                        Point(x=steps, y=each) for steps, each in zip(counts, found[figure][way], strict=True)
                    ),
                )
                for way in WAYS
            ),
            log_x=True,
            log_y=figure == "loss",
        )
        for figure, unit in (("accuracy", "share that is right"), ("loss", "cross-entropy"))
    )
    return Conclusion(claims=tuple(claims), tables=tables, figures=figures)


INFERENCE = Experiment(
    name="inference",
    title="Statistics for eval mode: running averages and the population's",
    question="Does it matter where the statistics of eval mode come from?",
    plan=_plan,
    conclude=_conclude,
    measure=scores,
)
