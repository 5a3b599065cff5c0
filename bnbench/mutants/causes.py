"""The mutants by cause: which slip with which quantity each of them is.

Bugs of the harness's boundary (types, refusals, caches, threads), of arithmetic (an approximate root, clipping) and of
NaN are none of a quantity, and are not here. A name stands for itself in every norm: ``layer_eps_missing`` is
``eps_missing``.
"""

from __future__ import annotations

from collections.abc import Mapping

from bnbench.blocks import GROUPED
from bnbench.diagnose.cause import Quantity, Slip

_BY_CAUSE: Mapping[tuple[Slip, Quantity], tuple[str, ...]] = {
    # The forward.
    (Slip.REDUCTION, "mu"): (
        "one_mean_for_the_whole_matrix",
        "mean_broadcast_along_rows",
        "tail_rows_left_out_of_the_mean",
        "rows_beyond_a_multiple_of_256_left_out",
        "layer_over_the_batch",
        "instance_over_the_batch",
        "instance_over_the_row",
        "one_group",
        "a_group_per_channel",
        "batch_over_the_row",
        "each_pixel_over_the_rows",
        "layer_pixel_by_pixel",
        "group_pixel_by_pixel",
    ),
    (Slip.TERM, "xc"): ("layer_without_centring", "rms_with_centring"),
    (Slip.OPERATION, "var"): ("textbook_variance",),
    (Slip.REDUCTION, "var"): ("variance_not_reduced",),
    (Slip.COUNT, "var"): ("variance_over_m_minus_1",),
    (Slip.EPS, "sd"): (
        "eps_outside_the_root",
        "eps_missing",
        "eps_beside_the_root",
        "larger_of_v_and_eps",
        "eps_subtracted",
        "no_variance_counts_as_one",
        "eval_eps_outside_the_root",
        "eval_without_eps",
    ),
    (Slip.EPS, "eps"): ("eps_hard_coded", "eps_of_1e_3_throughout", "eval_eps_is_hard_coded"),
    (Slip.POWER, "sd"): ("root_missing", "square_for_root", "eval_divides_by_the_variance"),
    (Slip.FACTOR, "scaled"): ("gamma_forgotten",),
    (Slip.SIGN, "gamma"): ("gamma_without_its_sign",),
    (Slip.TERM, "y"): ("beta_forgotten",),
    (Slip.SIGN, "beta"): ("beta_subtracted", "eval_subtracts_beta"),
    (Slip.FACTOR, "beta"): ("beta_multiplied_by_gamma",),
    (Slip.LAYOUT, "x"): (
        "groups_of_g_channels",
        "groups_are_dealt_out",
        "channels_mixed_by_a_reshape",
        "spatial_axes_swapped",
        "memory_order_taken_for_c",
        "memory_order",
    ),
    (Slip.LAYOUT, "y"): ("group_y_gains_an_axis",),
    (Slip.REDUCTION, "y"): ("last_channel_left_as_it_was",),
    (Slip.IN_PLACE, "x"): ("centres_x_in_place",),
    # The running statistics, and eval mode.
    (Slip.STATE, "running_mean"): (
        "running_mean_weighs_the_old",
        "running_statistics_never_move",
        "running_statistics_move_twice",
        "running_mean_without_decay",
        "running_statistics_are_replaced",
        "running_mean_starts_from_zero",
        "fresh_statistics_are_replaced",
        "momentum_never_reaches_one",
        "momentum_zero_is_the_default",
        "momentum_is_one_over_the_calls",
        "eval_moves_the_running_statistics",
        "eval_mean_weighed_by_momentum",
    ),
    (Slip.STATE, "running_var"): (
        "running_var_weighs_the_old",
        "running_sd_is_kept",
        "running_sd_is_kept_and_used",
        "inverse_sd_is_kept",
        "running_var_never_moves",
        "running_var_takes_the_root_of_m",
    ),
    (Slip.EPS, "running_var"): ("eps_in_the_running_var",),
    (Slip.COUNT, "running_var"): ("running_var_with_the_other_ddof", "running_var_counts_the_rows"),
    (Slip.ORDER, "running_mean"): ("running_statistics_swapped",),
    (Slip.OPERAND, "running_mean"): ("running_statistics_of_y",),
    (Slip.IN_PLACE, "running_mean"): ("running_statistics_in_place", "running_mean_moves_in_the_vjp"),
    (Slip.MODE, "mu"): (
        "train_uses_the_running_statistics",
        "eval_uses_the_batch",
        "eval_of_fresh_statistics_uses_the_batch",
    ),
    (Slip.MODE, "y"): ("eval_of_one_row_uses_the_row",),
    (Slip.TERM, "scaled"): ("eval_forgets_gamma_and_beta",),
    # The backward: dx.
    (Slip.TERM, "dmu"): ("dx_without_the_mean_path", "rms_dx_with_a_mean_path"),
    (Slip.TERM, "dvar"): (
        "dx_without_the_variance_path",
        "instance_dx_without_the_variance_path",
        "rms_dx_without_the_square_path",
    ),
    (Slip.TERM, "dxc"): ("dx_with_the_eval_formula",),
    (Slip.FACTOR, "dx_hat"): ("dx_without_gamma",),
    (Slip.ORDER, "dx_hat"): ("layer_gamma_after_the_means",),
    (Slip.UNIMPLEMENTED, "dx"): ("dx_is_zero",),
    (Slip.COUNT, "dmu"): (
        "mean_path_over_rows",
        "mean_path_over_m_minus_1",
        "mean_path_over_root_of_m",
        "group_dx_over_rows",
    ),
    (Slip.SIGN, "dmu"): ("mean_path_with_the_wrong_sign",),
    (Slip.COUNT, "dxc"): ("dx_with_sums_for_means",),
    (Slip.POWER, "dvar"): ("dvar_with_another_exponent",),
    (Slip.FACTOR, "dvar"): ("dvar_with_a_factor_2", "dvar_halved"),
    (Slip.SIGN, "dvar"): ("dvar_with_the_wrong_sign",),
    (Slip.COUNT, "dvar"): ("dvar_over_m_minus_1", "bessel_in_the_forward_alone"),
    (Slip.EPS, "dsd"): (
        "eps_outside_in_the_forward_alone",
        "eps_omitted_in_the_backward",
        "eps_of_1e_3_in_the_backward",
        "eps_of_1e_8_in_the_backward",
    ),
    (Slip.OPERAND, "dvar"): ("dx_scales_by_x_not_x_hat", "dx_with_y_in_place_of_x_hat"),
    (Slip.REDUCTION, "dxc"): (
        "jacobian_as_a_diagonal",
        "layer_dx_of_the_batch",
        "group_dx_of_the_channel",
        "tail_rows_left_out_of_the_means_of_dx",
    ),
    (Slip.POWER, "inverse_sd"): ("dx_without_1_over_s", "eval_dx_without_1_over_s"),
    (Slip.FACTOR, "dx"): ("dx_scaled_by_1_0005",),
    (Slip.SIGN, "dx"): ("dx_negated",),
    (Slip.REDUCTION, "dx"): ("last_channel_of_dx_doubled", "one_element_of_dx_wrong", "tail_rows_of_dx_unwritten"),
    (Slip.MODE, "dx"): ("eval_backward_with_the_train_formula",),
    # The backward: dgamma and dbeta.
    (Slip.COUNT, "dgamma"): ("dgamma_is_a_mean", "dgamma_over_rows"),
    (Slip.COUNT, "dbeta"): ("dbeta_is_a_mean",),
    (Slip.OPERAND, "dgamma"): ("dgamma_from_the_centred_input", "dgamma_with_x"),
    (Slip.EPS, "dgamma"): ("eps_missing_in_dgamma",),
    (Slip.REDUCTION, "dgamma"): (
        "tail_rows_dropped_in_dgamma",
        "dgamma_of_one_position",
        "dgamma_over_the_wrong_axis",
    ),
    (Slip.REDUCTION, "dbeta"): ("tail_rows_dropped_in_dbeta",),
    (Slip.ORDER, "dgamma"): ("dgamma_of_the_next_channel", "dgamma_and_dbeta_swapped"),
    (Slip.FACTOR, "dbeta"): ("dbeta_times_gamma",),
    (Slip.MODE, "dgamma"): ("eval_dgamma_of_the_batch",),
    (Slip.IN_PLACE, "dy"): ("dy_scaled_in_place",),
    # What lives between calls.
    (Slip.IN_PLACE, "y"): ("y_is_scratch_for_the_vjp", "one_buffer_for_every_y"),
    (Slip.IN_PLACE, "dx"): ("one_buffer_for_every_dx",),
    (Slip.IN_PLACE, "cache"): ("one_cache_for_all_calls", "one_cache_for_all_layers"),
}

CAUSES: Mapping[str, tuple[Slip, Quantity]] = {name: cause for cause, names in _BY_CAUSE.items() for name in names}


def cause_of(name: str) -> tuple[Slip, Quantity] | None:
    """The cause of the mutant of this name, itself or without the norm before it; None where it has none."""
    norm, _, plain = name.partition("_")
    return CAUSES.get(name) or (CAUSES.get(plain) if norm in GROUPED else None)
