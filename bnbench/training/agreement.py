"""All registered batch norms in the same network: the same curve, at their own pace."""

from __future__ import annotations

import math
from functools import partial

from bnbench.report.words import duration, scientific
from bnbench.training.model import Claim, Conclusion, Experiment, Run, Setting, Table, Trained
from bnbench.training.summaries import curves, each_seed, variants

BASELINE = "torch_native"
SAME = 1e-9
STEPS = 50
EXAMPLES = 1000
"""Of the epoch whose time is told."""


def _plan(setting: Setting) -> tuple[Run, ...]:
    names = sorted(setting.available, key=lambda name: name != BASELINE)
    steps = setting.steps or STEPS
    kinds = {"fc": partial(Run), "conv": partial(Run, network="conv", widths=(8, 16), batch=32)}
    return each_seed(
        setting,
        *(
            partial(kind, variant=f"{name}, {network}", norm="batch", implementation=name, steps=steps)
            for network, kind in kinds.items()
            for name in names
        ),
    )


def _conclude(setting: Setting, trained: tuple[Trained, ...]) -> Conclusion:
    runs = variants(trained)
    claims, rows = [], []
    for own in runs.values():
        run = own[0].run
        baseline = runs[f"{BASELINE}, {run.network}"]
        difference = max(_distance(one, right) for one, right in zip(own, baseline, strict=True))
        pace, usual = (min(one.seconds_per_step for one in each) for each in (own, baseline))
        rows.append(
            (
                run.implementation,
                run.network,
                scientific(difference),
                duration(pace * (EXAMPLES // run.batch)),
                f"{usual / pace:.2f}",
            )
        )
        if run.implementation != BASELINE:
            claims.append(
                Claim(
                    sentence=f"{run.implementation} in a network of kind {run.network}: losses differ from those of "
                    f"{BASELINE} by at most {scientific(difference)} (limit {SAME:.0e}).",
                    holds=difference <= SAME,
                )
            )
    columns = (
        "implementation",
        "network",
        "largest difference",
        f"epoch of {EXAMPLES} examples",
        "speed against torch_native",
    )
    note = f"{trained[0].run.steps} steps in float64, {len(setting.seeds)} seeds; time: the fastest seed's median step."
    return Conclusion(
        claims=tuple(claims),
        tables=(Table(title="Every batch norm in the same networks", columns=columns, rows=tuple(rows), note=note),),
        figures=tuple(
            curves(
                f"Training loss, {network}",
                "cross-entropy",
                [one for one in trained if one.run.network == network],
                lambda e: e.loss,
                log_y=True,
            )
            for network in ("fc", "conv")
        ),
    )


def _distance(one: Trained, right: Trained) -> float:
    """The largest difference of two loss curves; infinite where one has ended early."""
    if len(one.losses) != len(right.losses) or not one.losses:
        return math.inf
    return max(abs(a - b) if math.isfinite(a - b) else math.inf for a, b in zip(one.losses, right.losses, strict=True))


IMPLEMENTATIONS = Experiment(
    name="implementations",
    title="Every registered batch norm in the same networks",
    question="Do all implementations train to the same curve, and how fast?",
    plan=_plan,
    conclude=_conclude,
    seeds=2,
)
