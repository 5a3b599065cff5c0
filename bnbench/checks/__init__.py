"""Claims about every implementation. A check measures; :mod:`bnbench.runner` judges."""

from __future__ import annotations

from bnbench.checks.arguments import wrong_dtypes_are_refused, wrong_modes_are_refused, wrong_shapes_are_refused
from bnbench.checks.forward import output_matches_the_reference, outputs_have_the_types_of_the_inputs
from bnbench.checks.gradient import (
    dbeta_is_the_derivative_of_the_forward,
    dgamma_is_the_derivative_of_the_forward,
    dx_is_the_derivative_of_the_forward,
)
from bnbench.checks.modes import (
    eval_leaves_the_running_statistics_alone,
    eval_output_uses_the_running_statistics,
    eval_rows_do_not_see_each_other,
    train_then_eval_agree_by_the_exact_factor,
)
from bnbench.checks.purity import (
    arguments_are_left_as_they_were,
    the_same_call_gives_the_same_bits,
    the_vjp_may_be_called_again,
)
from bnbench.checks.statistics import running_mean_moves_towards_the_batch, running_var_moves_towards_the_batch
from bnbench.model import Check

ESSENTIAL: tuple[Check, ...] = (
    outputs_have_the_types_of_the_inputs,
    output_matches_the_reference,
    running_mean_moves_towards_the_batch,
    running_var_moves_towards_the_batch,
    dx_is_the_derivative_of_the_forward,
    dgamma_is_the_derivative_of_the_forward,
    dbeta_is_the_derivative_of_the_forward,
    eval_output_uses_the_running_statistics,
    eval_leaves_the_running_statistics_alone,
    eval_rows_do_not_see_each_other,
    train_then_eval_agree_by_the_exact_factor,
    arguments_are_left_as_they_were,
    the_same_call_gives_the_same_bits,
    the_vjp_may_be_called_again,
    wrong_shapes_are_refused,
    wrong_dtypes_are_refused,
    wrong_modes_are_refused,
)
"""The smallest set: each of them has a mutant that it alone catches."""

ALL_CHECKS: tuple[Check, ...] = (*ESSENTIAL,)
"""In the order in which they run: a check comes after those it depends on."""
