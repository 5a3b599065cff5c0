"""Claims about every implementation. A check measures; :mod:`bnbench.runner` judges."""

from __future__ import annotations

from bnbench.checks.arguments import wrong_dtypes_are_refused, wrong_modes_are_refused, wrong_shapes_are_refused
from bnbench.checks.closed_forms import (
    a_layer_before_gets_no_gradient_along_bias_and_scale,
    dgamma_and_dbeta_are_sums_over_the_output,
    eval_gradients_take_the_statistics_as_constants,
    the_smallest_block_gives_eps_alone,
)
from bnbench.checks.conformance import (
    dbeta_conforms_to_the_reference,
    dgamma_conforms_to_the_reference,
    dx_conforms_to_the_reference,
    y_conforms_to_the_reference,
)
from bnbench.checks.exact import (
    dgamma_and_dbeta_are_exact,
    dx_is_exact,
    output_is_exact,
    running_statistics_are_exact,
)
from bnbench.checks.forward import output_matches_the_reference, outputs_have_the_types_of_the_inputs
from bnbench.checks.gradient import (
    dbeta_is_the_derivative_of_the_forward,
    dgamma_is_the_derivative_of_the_forward,
    dx_is_the_derivative_of_the_forward,
)
from bnbench.checks.identities import (
    a_constant_g_gives_no_dx,
    dx_along_x_hat_is_damped_by_eps,
    dx_sums_to_zero,
    g_across_1_and_x_hat_is_only_scaled,
    g_along_x_hat_gives_dx_damped_by_eps,
    the_backward_is_symmetric,
    the_trace_of_the_backward_is_known,
)
from bnbench.checks.invariances import (
    a_shift_of_a_block_changes_nothing,
    gamma_may_be_zero_or_negative,
    scaling_by_a_power_of_two_changes_nothing,
    the_order_of_channels_does_not_matter,
    the_order_of_rows_and_positions_does_not_matter,
    y_is_affine_in_gamma_and_beta,
)
from bnbench.checks.jacobian import blocks_do_not_see_each_other
from bnbench.checks.linearity import (
    dx_depends_on_gamma_dy_and_never_on_beta,
    dx_is_zero_where_the_block_has_no_dy,
    dx_knows_the_unit_of_x,
    no_dy_gives_no_gradients,
    the_backward_is_linear_in_dy,
)
from bnbench.checks.modes import (
    eval_leaves_the_running_statistics_alone,
    eval_output_uses_the_running_statistics,
    eval_rows_do_not_see_each_other,
    train_then_eval_agree_by_the_exact_factor,
)
from bnbench.checks.moments import (
    a_block_without_variance_gives_beta,
    eps_as_large_as_the_variance_halves_the_mean_square,
    normalized_blocks_have_mean_zero,
    normalized_blocks_have_the_mean_square_that_eps_leaves,
)
from bnbench.checks.numerics import (
    a_large_mean_costs_no_more_than_its_rounding,
    an_empty_batch_leaves_no_trace,
    huge_x_does_not_overflow,
    nan_and_infinity_stay_in_their_block,
    one_value_is_refused_or_gives_beta,
    tiny_x_is_divided_by_the_root_of_eps,
)
from bnbench.checks.purity import (
    arguments_are_left_as_they_were,
    the_number_of_threads_does_not_matter,
    the_same_call_gives_the_same_bits,
    the_vjp_may_be_called_again,
)
from bnbench.checks.shapes import layout_does_not_matter, odd_sizes_are_right, the_spatial_axes_are_only_more_elements
from bnbench.checks.state import (
    a_call_beside_leaves_the_gradients_alone,
    constant_batches_leave_the_known_fraction,
    eval_takes_fresh_statistics_as_they_are,
    fresh_statistics_move_like_any_other,
    momentum_zero_freezes_and_one_replaces,
    outputs_belong_to_the_caller,
    running_statistics_chain_over_batches,
    running_statistics_depend_on_x_alone,
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

ALL_CHECKS: tuple[Check, ...] = (
    *ESSENTIAL,
    normalized_blocks_have_mean_zero,
    normalized_blocks_have_the_mean_square_that_eps_leaves,
    eps_as_large_as_the_variance_halves_the_mean_square,
    a_block_without_variance_gives_beta,
    a_shift_of_a_block_changes_nothing,
    scaling_by_a_power_of_two_changes_nothing,
    y_is_affine_in_gamma_and_beta,
    gamma_may_be_zero_or_negative,
    the_order_of_rows_and_positions_does_not_matter,
    the_order_of_channels_does_not_matter,
    layout_does_not_matter,
    the_spatial_axes_are_only_more_elements,
    odd_sizes_are_right,
    one_value_is_refused_or_gives_beta,
    an_empty_batch_leaves_no_trace,
    a_large_mean_costs_no_more_than_its_rounding,
    huge_x_does_not_overflow,
    tiny_x_is_divided_by_the_root_of_eps,
    nan_and_infinity_stay_in_their_block,
    output_is_exact,
    running_statistics_are_exact,
    dx_is_exact,
    dgamma_and_dbeta_are_exact,
    blocks_do_not_see_each_other,
    running_statistics_depend_on_x_alone,
    constant_batches_leave_the_known_fraction,
    running_statistics_chain_over_batches,
    momentum_zero_freezes_and_one_replaces,
    fresh_statistics_move_like_any_other,
    eval_takes_fresh_statistics_as_they_are,
    a_call_beside_leaves_the_gradients_alone,
    outputs_belong_to_the_caller,
    the_number_of_threads_does_not_matter,
    dx_sums_to_zero,
    dx_along_x_hat_is_damped_by_eps,
    the_backward_is_symmetric,
    a_constant_g_gives_no_dx,
    g_along_x_hat_gives_dx_damped_by_eps,
    g_across_1_and_x_hat_is_only_scaled,
    the_trace_of_the_backward_is_known,
    dgamma_and_dbeta_are_sums_over_the_output,
    the_smallest_block_gives_eps_alone,
    a_layer_before_gets_no_gradient_along_bias_and_scale,
    eval_gradients_take_the_statistics_as_constants,
    the_backward_is_linear_in_dy,
    dx_depends_on_gamma_dy_and_never_on_beta,
    dx_knows_the_unit_of_x,
    dx_is_zero_where_the_block_has_no_dy,
    no_dy_gives_no_gradients,
    dx_conforms_to_the_reference,
    dgamma_conforms_to_the_reference,
    dbeta_conforms_to_the_reference,
    y_conforms_to_the_reference,
)
"""In the order in which they run: a check comes after those it depends on."""
