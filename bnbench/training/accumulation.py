"""Gradient accumulation against the full batch: the same without batch norm, another thing with it.

The loss is a mean over examples. Where no example looks at another, its gradient is the mean of the gradients of the
parts, weighed by their sizes, whatever the parts; batch norm's statistics are those of a part, and couple its rows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bnbench.report.words import scientific
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
    Value,
)
from bnbench.training.summaries import each_seed, spread, variants

if TYPE_CHECKING:
    from torch import Tensor, nn

ROWS = 32
PARTS = (1, 2, 4, 8, 16)
"""Examples in a part; one alone has no statistics in batch norm."""
SAME = 1e-12
DIFFERENT = 1e-3
WITHOUT, LAYER, BATCH = "without", "layer norm", "batch norm"


def _plan(setting: Setting) -> tuple[Run, ...]:
    alike = partial(Run, steps=0, batch=ROWS)
    return each_seed(
        setting,
        partial(alike, variant=WITHOUT, norm=None),
        partial(alike, variant=LAYER, norm="layer", implementation="numpy_layer_norm"),
        partial(alike, variant=BATCH, norm="batch", implementation=setting.implementation),
    )


def differences(run: Run, model: nn.Module, data: Data) -> dict[str, float]:
    """By the number of examples in a part: the norm of the gradients' difference over that of the full batch's."""
    import torch

    model.train()
    x, labels = torch.from_numpy(data.x[:ROWS]), torch.from_numpy(data.labels[:ROWS])
    full = gradient(model, x, labels, ROWS)
    return {
        str(part): float((gradient(model, x, labels, part) - full).norm() / full.norm())
        for part in PARTS
        if not (run.norm == "batch" and part == 1)
    }


def gradient(model: nn.Module, x: Tensor, labels: Tensor, part: int) -> Tensor:
    """The gradient of the mean loss with respect to all parameters, accumulated over parts of so many examples."""
    import torch

    model.zero_grad()
    for start in range(0, len(x), part):
        rows = slice(start, start + part)
        loss = torch.nn.functional.cross_entropy(model(x[rows]), labels[rows], reduction="sum") / len(x)
        loss.backward()  # type: ignore[no-untyped-call]
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def _conclude(setting: Setting, trained: tuple[Trained, ...]) -> Conclusion:
    runs = variants(trained)
    found = {
        name: {
            part: spread(one.measures.get(str(part), float("nan")) for one in own)
            for part in PARTS
            if all(one.stopped for one in own) or str(part) in own[0].measures
        }
        for name, own in runs.items()
    }
    worst = {name: max(each.high for each in own.values()) for name, own in found.items()}
    least = min(each.low for each in found[BATCH].values())
    claims = [
        Claim(
            sentence=f"{words}, the accumulated gradient is that of the full batch: they differ by at most "
            f"{scientific(worst[name])} of it (limit {SAME:.0e}).",
            holds=worst[name] <= SAME,
        )
        for name, words in ((WITHOUT, "Without normalization"), (LAYER, "With layer norm"))
    ]
    claims.append(
        Claim(
            sentence=f"With batch norm it is another one: they differ by {scientific(least)} to "
            f"{scientific(worst[BATCH])} of it.",
            holds=least >= DIFFERENT,
        )
    )
    rows: tuple[tuple[Value, ...], ...] = tuple(
        (part, *(scientific(own[part].median) if part in own else "has no statistics" for own in found.values()))
        for part in PARTS
    )
    series = (
        Series(name=name, points=tuple(Point(x=part, y=each) for part, each in own.items()))
        for name, own in found.items()
    )
    return Conclusion(
        claims=tuple(claims),
        tables=(
            Table(
                title=f"Difference to the gradient of {ROWS} examples at once, as a share of it",
                columns=("examples in a part", *found),
                rows=rows,
                note=f"Medians over {len(setting.seeds)} seeds." if len(setting.seeds) > 1 else "One seed.",
            ),
        ),
        figures=(
            Figure(
                title="Difference to the gradient of the full batch",
                x="examples in a part",
                y="share of the gradient",
                series=tuple(series),
                log_x=True,
                log_y=True,
            ),
        ),
    )


ACCUMULATION = Experiment(
    name="accumulation",
    title="Gradients accumulated over parts of a batch",
    question="Is the gradient accumulated example by example that of the full batch?",
    plan=_plan,
    conclude=_conclude,
    measure=differences,
)
