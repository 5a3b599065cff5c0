"""Train and eval mode: does each use its own statistics, and do the two agree?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.blocks import per_channel
from bnbench.cases import draw, elements
from bnbench.checks._check import BATCH, check
from bnbench.checks.forward import (
    output_matches_the_reference,
    outputs_have_the_types_of_the_inputs,
    rounding_unit,
    with_conventions,
)
from bnbench.checks.statistics import running_mean_moves_towards_the_batch, running_var_moves_towards_the_batch
from bnbench.compare import compare, compare_bits
from bnbench.kernels import outputs_at
from bnbench.model import Case, Comparison, Subject
from bnbench.reference import normalize
from bnbench.tolerances import FEW_ULPS, ROUNDING


@check(
    "BN401",
    mutant="eval_mean_weighed_by_momentum",
    training=False,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="the batch's statistics used in eval mode, eps outside the root, or gamma and beta forgotten",
)
def eval_output_uses_the_running_statistics(subject: Subject, case: Case) -> Iterator[Comparison]:
    """In eval mode, y is gamma (x - running_mean) / sqrt(running_var + eps) + beta.

    The running statistics are far from the batch's, and gamma and beta far from 1 and 0, so that
    neither can be left out unnoticed.
    """
    inputs = draw(case)
    expected = normalize(inputs).y
    comparison = compare("y", subject.kernel(inputs).y, expected, rounding_unit(inputs, expected), ROUNDING)
    yield with_conventions(subject, case, comparison)


@check(
    "BN402",
    mutant="eval_moves_the_running_statistics",
    training=False,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="the update stands outside the branch for train mode",
)
def eval_leaves_the_running_statistics_alone(subject: Subject, case: Case) -> Iterator[Comparison]:
    """In eval mode, running_mean and running_var come back bit for bit as they went in."""
    inputs = draw(case)
    outputs = subject.kernel(inputs)
    yield compare_bits("running_mean", outputs.running_mean, inputs.running_mean)
    yield compare_bits("running_var", outputs.running_var, inputs.running_var)


@check(
    "BN403",
    mutant="eval_of_one_row_uses_the_row",
    training=False,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="a statistic of the batch enters y, or a batch of one row takes another branch",
)
def eval_rows_do_not_see_each_other(subject: Subject, case: Case) -> Iterator[Comparison]:
    """In eval mode, every row alone gives the y that it gives inside the batch.

    A network that answers differently depending on what else is in the batch is wrong in production.
    A few ulps are granted, because a short row may take the scalar tail of a vectorized loop.
    """
    inputs = draw(case)
    together = subject.kernel(inputs).y
    rows = (replace(inputs, x=inputs.x[row : row + 1].copy()) for row in range(case.shape[0]))
    alone = np.concatenate([outputs.y for outputs in outputs_at(subject.kernel, ((row, ()) for row in rows))])
    unit = np.spacing(np.maximum(np.abs(together), np.abs(per_channel(inputs.beta, together.ndim))))
    yield compare("y of rows alone", alone, together, unit, FEW_ULPS)


@check(
    "BN404",
    mutant="momentum_never_reaches_one",
    training=True,
    norms=BATCH,
    after=(
        output_matches_the_reference,
        running_mean_moves_towards_the_batch,
        running_var_moves_towards_the_batch,
    ),
    usual_cause="momentum is clamped or replaced by a default, or the two modes normalize differently",
)
def train_then_eval_agree_by_the_exact_factor(subject: Subject, case: Case) -> Iterator[Comparison]:
    """After a train step with momentum 1, eval of the same x is the train output times a known factor.

    With momentum 1 the running statistics are the batch's, so that

        y_eval - beta = (y_train - beta) sqrt((v + eps) / (v M / (M - ddof) + eps)):

    equal for ddof 0, off by a known factor for ddof 1.
    """
    inputs = draw(replace(case, momentum=1.0))
    ddof = subject.capabilities.running_var_ddof
    trained = subject.kernel(inputs)
    evaluated = subject.kernel(
        replace(
            inputs,
            running_mean=trained.running_mean,
            running_var=trained.running_var,
            options=replace(inputs.options, training=False),
        )
    )

    rank = inputs.x.ndim
    count = elements(case)
    variance = normalize(inputs).running_var
    kept = variance * count / (count - ddof)
    factor = per_channel(np.sqrt((variance + case.eps) / (kept + case.eps)), rank)
    beta = per_channel(inputs.beta.astype(np.float64), rank)
    expected = beta + (trained.y - beta) * factor
    yield compare("y in eval mode", evaluated.y, expected, rounding_unit(inputs, expected), ROUNDING)
