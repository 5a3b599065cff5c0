"""Networks with and without normalization: their curves, and how they end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from bnbench.model import Norm
from bnbench.report.words import number
from bnbench.training.model import Claim, Conclusion, Experiment, Run, Setting, Trained
from bnbench.training.summaries import (
    accuracy,
    each_seed,
    ends,
    loss_and_accuracy,
    shown,
    spread,
    steps_to,
    variants,
)

TARGET = 0.1
"""The training loss that is to be reached: most of what can be learnt is, and neither network is at its end."""
RATES = (0.05, 0.2, 0.5)
"""Learning rates, of which each network is judged by its best: at one rate alone, either can be made to win."""
WITHOUT, WITH = "without", "with batch norm"


def _fc_plan(setting: Setting) -> tuple[Run, ...]:
    alike = partial(Run, steps=setting.steps or 200, every=5)
    normalized = partial(alike, norm="batch", implementation=setting.implementation)
    return each_seed(
        setting,
        *(partial(alike, variant=f"{WITHOUT}, rate {rate:g}", norm=None, rate=rate) for rate in RATES),
        *(partial(normalized, variant=f"{WITH}, rate {rate:g}", rate=rate) for rate in RATES),
    )


def _fc_conclude(setting: Setting, trained: tuple[Trained, ...]) -> Conclusion:
    runs = variants(trained)
    steps = {name: spread(steps_to(one, TARGET) for one in own) for name, own in runs.items()}
    without, with_ = (
        min((name for name in runs if name.startswith(kind)), key=lambda name: steps[name].median)
        for kind in (WITHOUT, WITH)
    )
    pairs = [(steps_to(a, TARGET), steps_to(b, TARGET)) for a, b in zip(runs[without], runs[with_], strict=True)]
    fewer = sum(b < a for a, b in pairs)
    ratio = spread(b / a if math.isfinite(b) else math.inf for a, b in pairs)
    slow = f"rate {RATES[0]:g}"
    claims = (
        Claim(
            sentence=f"Each at its best rate, a training loss of {TARGET:g} takes {shown(steps[with_])} steps {with_}, "
            f"and {shown(steps[without])} {without}: fewer for {fewer} of {len(pairs)} seeds, "
            f"{shown(ratio)} times as many.",
            holds=fewer == len(pairs),
        ),
        Claim(
            sentence=f"It is the larger rates that batch norm bears: at {slow} it takes "
            f"{shown(steps[f'{WITH}, {slow}'])} steps with, {shown(steps[f'{WITHOUT}, {slow}'])} without."
        ),
    )
    return Conclusion(
        claims=claims,
        tables=(ends("How the networks end", setting, trained, loss=TARGET),),
        figures=loss_and_accuracy([*runs[without], *runs[with_]]),
    )


def _norms_plan(setting: Setting) -> tuple[Run, ...]:
    steps = setting.steps or 200
    kinds: tuple[tuple[str, Norm | None, str], ...] = (
        ("none", None, ""),
        ("batch", "batch", setting.implementation),
        ("layer", "layer", "numpy_layer_norm"),
        ("group", "group", "numpy_group_norm"),
    )
    return each_seed(
        setting,
        *(
            partial(
                Run,
                variant=f"{name}, batches of {batch}",
                norm=norm,
                implementation=implementation,
                steps=steps,
                batch=batch,
                every=20,
            )
            for batch in (64, 4)
            for name, norm, implementation in kinds
        ),
    )


def _norms_conclude(setting: Setting, trained: tuple[Trained, ...]) -> Conclusion:
    runs = variants(trained)
    figures = []
    claims = []
    for batch in (64, 4):
        own = [one for one in trained if one.run.batch == batch]
        figures += [replace(figure, title=f"{figure.title}, batches of {batch}") for figure in loss_and_accuracy(own)]
        best = max(
            (name for name in runs if name.endswith(f" {batch}")),
            key=lambda name: spread(accuracy(one) for one in runs[name]).median,
        )
        claims.append(Claim(sentence=f"Best test accuracy: {best}, {_accuracy(runs[best])}."))
    return Conclusion(
        claims=tuple(claims), tables=(ends("How the networks end", setting, trained, loss=0.5),), figures=tuple(figures)
    )


def _conv_plan(setting: Setting) -> tuple[Run, ...]:
    steps = setting.steps or 120
    rounds = (steps // 2, steps * 3 // 4)
    conv = partial(Run, network="conv", widths=(8, 16, 32), steps=steps, batch=32, inertia=0.9)
    normalized = partial(conv, norm="batch", implementation=setting.implementation)
    return each_seed(
        setting,
        partial(conv, variant="without, rate 0.01", norm=None, rate=0.01),
        partial(normalized, variant="with, rate 0.01", rate=0.01),
        partial(conv, variant="without, rate 0.1 annealed", norm=None, rate=0.1, milestones=rounds),
        partial(normalized, variant="with, rate 0.1", rate=0.1),
        partial(normalized, variant="with, rate 0.1 annealed", rate=0.1, milestones=rounds),
    )


def _conv_conclude(setting: Setting, trained: tuple[Trained, ...]) -> Conclusion:
    runs = variants(trained)
    best = max(runs, key=lambda name: spread(accuracy(one) for one in runs[name]).median)
    first, second = (_accuracy(runs[name]) for name in ("without, rate 0.01", "with, rate 0.01"))
    steady, annealed = (_accuracy(runs[name]) for name in ("with, rate 0.1", "with, rate 0.1 annealed"))
    milestones = ", ".join(map(number, runs["with, rate 0.1 annealed"][0].run.milestones))
    claims = (
        Claim(sentence=f"At the rate 0.01 the test accuracy is {second} with batch norm, {first} without."),
        Claim(sentence=f"At the rate 0.1 it is {steady}; annealed tenfold after steps {milestones}, {annealed}."),
        Claim(sentence=f"Best: {best}, {_accuracy(runs[best])}."),
    )
    return Conclusion(
        claims=claims,
        tables=(ends("How the networks end", setting, trained, loss=0.5),),
        figures=loss_and_accuracy(trained),
    )


def _accuracy(runs: Sequence[Trained]) -> str:
    return shown(spread(accuracy(one) for one in runs), percent=True)


FC_DIGITS = Experiment(
    name="fc-digits",
    title="A fully connected network, with and without batch norm",
    question="Does a network with batch norm learn in fewer steps?",
    plan=_fc_plan,
    conclude=_fc_conclude,
)
NORMS = Experiment(
    name="norms",
    title="Batch, layer and group norm side by side",
    question="Which normalization helps, and which of them minds a small batch?",
    plan=_norms_plan,
    conclude=_norms_conclude,
)
CONV = Experiment(
    name="conv",
    title="A convolutional network, and a learning rate annealed in rounds",
    question="What does batch norm change in {conv 3x3 - norm - relu}, and does it bear a learning rate of 0.1?",
    plan=_conv_plan,
    conclude=_conv_conclude,
)
