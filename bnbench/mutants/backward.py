"""Wrong backwards behind a right forward: the bugs that are found in the field, one each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bnbench.blocks import channel_sum, from_blocks, to_blocks
from bnbench.model import Array
from bnbench.mutants import recipe
from bnbench.mutants.recipe import Backward, Mutant, Residuals, mean, mutant

DxOf = Callable[[Residuals, Array], Array]
"""From residuals and g = gamma dy in blocks to dx s in blocks."""


def _train(dx_of: DxOf) -> Backward:
    """A dx that is wrong in train mode alone: dx s of a block, from g."""

    def wrong(r: Residuals, dy: Array) -> Array:
        return recipe.dx(r, dy) if r.constants else r.whole(dx_of(r, r.dx_hat(dy)) / r.sd)

    return wrong


def _paths(*, through_mean: float = 1.0, through_variance: float = 1.0) -> Backward:
    """dx with its two paths multiplied by factors."""

    def dx_of(r: Residuals, g: Array) -> Array:
        centred = 0 if r.norm == "rms" else through_mean * mean(g)
        return g - centred - through_variance * r.x_hat * mean(g * r.x_hat)

    return _train(dx_of)


def _changed(change: Callable[[Array], Any]) -> Backward:
    """The right dx, changed in place."""

    def wrong(r: Residuals, dy: Array) -> Array:
        dx = recipe.dx(r, dy)
        change(dx)
        return dx

    return wrong


def _with_eps(eps_of: Callable[[float], float]) -> dict[str, Any]:
    """A backward that differentiates sqrt(v + another eps)."""

    def slope(v: Array, eps: float) -> Array:
        return np.asarray(0.5 / np.sqrt(np.maximum(v + eps_of(eps), np.finfo(v.dtype).tiny)))

    def dx(r: Residuals, dy: Array) -> Array:
        return recipe.dx(r if r.constants else replace(r, sd=0.5 / r.slope), dy)

    return {"slope": slope, "dx": dx}


def _mean_path_over_rows(r: Residuals, g: Array) -> Array:
    rows = max(r.shape[0] - 1, 1) if r.elements == r.shape[0] else r.shape[0]
    return np.asarray(g - g.sum(1, keepdims=True) / rows - r.x_hat * mean(g * r.x_hat))


def _other_exponent(r: Residuals, g: Array) -> Array:
    return g - mean(g) - r.x_hat * mean(g * r.x_hat) * r.sd


def _by_x(r: Residuals, g: Array) -> Array:
    return g - mean(g) - r.x / r.sd * mean(g * r.x_hat)


def _diagonal(r: Residuals, g: Array) -> Array:
    return np.asarray(g * (1 - 1 / r.elements - r.x_hat**2 / r.elements))


def _mean_path_over_m_minus_1(r: Residuals, g: Array) -> Array:
    return np.asarray(g - g.sum(1, keepdims=True) / max(r.elements - 1, 1) - r.x_hat * mean(g * r.x_hat))


def _sums_for_means(r: Residuals, g: Array) -> Array:
    return np.asarray(g - g.sum(1, keepdims=True) - r.x_hat * (g * r.x_hat).sum(1, keepdims=True))


def _sqrt_of_count(r: Residuals, g: Array) -> Array:
    root = np.sqrt(r.elements).astype(g.dtype)
    return np.asarray(g - g.sum(1, keepdims=True) / root - r.x_hat * mean(g * r.x_hat))


def _y_for_x_hat(r: Residuals, dy: Array) -> Array:
    gamma = r.blocks(np.broadcast_to(r.gamma, r.shape))
    g = r.dx_hat(dy)
    if r.constants:
        return r.whole(g * gamma / r.sd)
    return r.whole((g - mean(g) - gamma * r.x_hat * mean(g * r.x_hat)) / r.sd)


def _gamma_after_the_means(r: Residuals, dy: Array) -> Array:
    g = r.blocks(dy)
    return r.gamma * r.whole((g - mean(g) - r.x_hat * mean(g * r.x_hat)) / r.sd)


def _in_float32(r: Residuals, dy: Array) -> Array:
    narrow = {name: getattr(r, name).astype(np.float32) for name in ("x", "centred", "sd", "slope", "x_hat", "gamma")}
    return recipe.dx(replace(r, **narrow), dy.astype(np.float32)).astype(dy.dtype)


def _leaking(r: Residuals, dy: Array) -> Array:
    blocks = r.blocks(recipe.dx(r, dy))
    return r.whole((blocks + 1e-3 * np.roll(blocks, 1, axis=0)).astype(dy.dtype))


def _train_formula(r: Residuals, dy: Array) -> Array:
    return recipe.dx(replace(r, constants=False), dy)


def _without_1_over_s_in_eval(r: Residuals, dy: Array) -> Array:
    return np.asarray(r.gamma * dy) if r.constants else recipe.dx(r, dy)


def _of_the_batch(r: Residuals, dy: Array) -> Array:
    """dgamma with the x_hat of the batch, in eval mode too."""
    if not r.constants:
        return recipe.dgamma(r, dy)
    centred = r.x - mean(r.x)
    return channel_sum(dy * r.whole(centred / np.sqrt(mean(centred**2) + 1e-5).astype(dy.dtype)))


def _clipped(r: Residuals, dy: Array) -> Array:
    return recipe.dx(r, np.clip(dy, -2, 2))


def _normalized(r: Residuals, dy: Array) -> Array:
    largest = np.abs(dy).max()
    with np.errstate(invalid="ignore"):
        return np.asarray(recipe.dx(r, dy / largest) * largest)


def _without_the_tail(a: Array) -> Array:
    return a[: len(a) // 4 * 4]


def _rows_of_every_four(r: Residuals, dy: Array) -> Array:
    return channel_sum(_without_the_tail(dy * r.whole(r.x_hat)))


def _over_rows(r: Residuals, dy: Array) -> Array:
    return np.asarray(recipe.dgamma(r, dy) / dy.shape[0])


def _one_position_only(r: Residuals, dy: Array) -> Array:
    product = dy * r.whole(r.x_hat)
    return np.asarray(product.reshape(*dy.shape[:2], -1)[:, :, 0].sum(0))


def _dbeta_of_the_tail(_: Residuals, dy: Array) -> Array:
    return channel_sum(_without_the_tail(dy))


def _over_channels(r: Residuals, dy: Array) -> Array:
    """Sums over another axis, cycled to the length that was asked for."""
    return np.resize((dy * r.whole(r.x_hat)).sum(1).ravel(), dy.shape[1])


def _last_channel_doubled(dx: Array) -> None:
    dx[:, -1] *= 2


def _one_element(dx: Array) -> None:
    dx[(-1,) * dx.ndim] *= 1.05


def _tail_unwritten(dx: Array) -> None:
    dx[len(dx) // 4 * 4 :] = 0
    if len(dx) < 4:
        dx[-1] = 0


def _batch_sums(r: Residuals, dy: Array) -> Array:
    """The means of a whole channel of the batch, in a norm whose blocks are smaller."""
    g = from_blocks(r.dx_hat(dy), r.shape, r.norm)
    x_hat = r.whole(r.x_hat)
    blocks, hats = to_blocks(g, "batch"), to_blocks(x_hat, "batch")
    dx = from_blocks(blocks - mean(blocks) - hats * mean(blocks * hats), r.shape, "batch")
    return np.ascontiguousarray(r.whole(r.blocks(dx) / r.sd))


def _outside(variance: Array, eps: float) -> Array:
    return np.asarray(np.sqrt(variance) + eps)


def _with_1e_3(variance: Array, eps: float) -> Array:  # noqa: ARG001 - the shape of a divisor
    return np.asarray(np.sqrt(variance + variance.dtype.type(1e-3)))


def _slope_with_1e_3(variance: Array, eps: float) -> Array:  # noqa: ARG001 - the shape of a slope
    return np.asarray(0.5 / np.sqrt(variance + variance.dtype.type(1e-3)))


def _unit_scale(r: Residuals, dy: Array) -> Array:
    return np.asarray(recipe.dx(r, dy) * r.whole(np.broadcast_to(r.sd, r.x.shape)))


def _bessel_forgotten(r: Residuals, dy: Array) -> Array:
    return recipe.dx(replace(r, ddof=0), dy)


BACKWARD: tuple[Mutant, ...] = (
    mutant("dx_with_the_eval_formula", "dx is gamma dy / s, in train mode too", dx=_train(lambda _, g: g)),
    mutant("mean_path_over_rows", "the mean path of dx is divided by N, or by M - 1", dx=_train(_mean_path_over_rows)),
    mutant("mean_path_with_the_wrong_sign", "the mean path of dx has the wrong sign", dx=_paths(through_mean=-1)),
    mutant("mean_path_over_m_minus_1", "the mean path of dx is divided by M - 1", dx=_train(_mean_path_over_m_minus_1)),
    mutant("mean_path_over_root_of_m", "the mean path of dx is divided by sqrt(M)", dx=_train(_sqrt_of_count)),
    mutant("dx_with_sums_for_means", "both paths of dx are sums, not means", dx=_train(_sums_for_means)),
    mutant("dvar_with_another_exponent", "dvar has (v + eps)^-1 in place of ^-3/2", dx=_train(_other_exponent)),
    mutant("dvar_with_a_factor_2", "the variance path of dx counts twice", dx=_paths(through_variance=2)),
    mutant("dvar_halved", "the variance path of dx lacks the factor 2 of the square", dx=_paths(through_variance=0.5)),
    mutant("dvar_with_the_wrong_sign", "the variance path of dx has the wrong sign", dx=_paths(through_variance=-1)),
    mutant(
        "dvar_over_m_minus_1",
        "the variance path of dx is divided by M - 1",
        dx=lambda r, dy: recipe.dx(replace(r, ddof=0 if r.constants else 1), dy),
    ),
    mutant("bessel_in_the_forward_alone", "v has divisor M - 1, its derivative M", ddof=1, dx=_bessel_forgotten),
    mutant("eps_outside_in_the_forward_alone", "divides by sqrt(v) + eps, the derivative does not", sd=_outside),
    mutant("eps_omitted_in_the_backward", "dx differentiates sqrt(v)", **_with_eps(lambda _: 0.0)),
    mutant("eps_of_1e_3_in_the_backward", "dx has an eps of its own, 1e-3", **_with_eps(lambda _: 1e-3)),
    mutant("eps_of_1e_8_in_the_backward", "dx has an eps of its own, 1e-8", **_with_eps(lambda _: 1e-8)),
    mutant("eps_of_1e_3_throughout", "an eps of 1e-3, whatever was asked for", sd=_with_1e_3, slope=_slope_with_1e_3,
           eval_sd=_with_1e_3),
    mutant("dx_scales_by_x_not_x_hat", "the variance path of dx multiplies x, not x - mu", dx=_train(_by_x)),
    mutant("dx_with_y_in_place_of_x_hat", "gamma x_hat stands in dx where x_hat belongs", dx=_y_for_x_hat),
    mutant("jacobian_as_a_diagonal", "dx multiplies g by the diagonal of the Jacobian", dx=_train(_diagonal)),
    mutant("dx_without_1_over_s", "dx is not divided by s", dx=_unit_scale),
    mutant("dx_scaled_by_1_0005", "dx is 0.05 % too large", dx=_changed(lambda dx: np.multiply(dx, 1.0005, out=dx))),
    mutant("dx_negated", "dx has the wrong sign", dx=_changed(lambda dx: np.negative(dx, out=dx))),
    mutant("dx_in_float32", "dx is computed in float32 behind a float64 forward", dx=_in_float32),
    mutant("dx_leaks_between_blocks", "a thousandth of the next block's dx is added", dx=_leaking),
    mutant("last_channel_of_dx_doubled", "the loop over channels ends early", dx=_changed(_last_channel_doubled)),
    mutant("one_element_of_dx_wrong", "the last element of dx is 5 % off", dx=_changed(_one_element)),
    mutant("tail_rows_of_dx_unwritten", "rows past a multiple of four stay zero", dx=_changed(_tail_unwritten)),
    mutant("tail_rows_dropped_in_dgamma", "dgamma sums a multiple of four rows", dgamma=_rows_of_every_four),
    mutant("tail_rows_dropped_in_dbeta", "dbeta sums a multiple of four rows", dbeta=_dbeta_of_the_tail),
    mutant("dy_clipped", "dy is clipped to [-2, 2] before dx", dx=_clipped),
    mutant("dy_normalized_by_its_norm", "dy is divided by its largest value and dx multiplied back", dx=_normalized),
    mutant("dgamma_with_x", "dgamma is sum(dy x)", dgamma=lambda r, dy: channel_sum(dy * r.whole(r.x))),
    mutant("dgamma_over_rows", "dgamma is divided by N", dgamma=_over_rows),
    mutant("dgamma_of_one_position", "dgamma sums over the rows, not over the spatial axes", dgamma=_one_position_only),
    mutant("dgamma_over_the_wrong_axis", "dgamma is summed over the channels", dgamma=_over_channels),
    mutant(
        "dgamma_of_the_next_channel", "dgamma is off by one channel",
        dgamma=lambda r, dy: np.roll(recipe.dgamma(r, dy), -1),
    ),
    mutant("dgamma_and_dbeta_swapped", "returns dx, dbeta, dgamma", dgamma=recipe.dbeta, dbeta=recipe.dgamma),
    mutant("dbeta_times_gamma", "dbeta is sum(gamma dy)", dbeta=lambda r, dy: channel_sum(r.gamma * dy)),
    mutant("eval_backward_with_the_train_formula", "dx takes both paths in eval mode", dx=_train_formula),
    mutant("eval_dx_without_1_over_s", "dx is gamma dy in eval mode", dx=_without_1_over_s_in_eval),
    mutant("eval_dgamma_of_the_batch", "dgamma takes the batch's x_hat in eval mode", dgamma=_of_the_batch),
    mutant("layer_gamma_after_the_means", "layer norm's dx means dy, and multiplies by gamma at the end",
           norm="layer", dx=_gamma_after_the_means),
    mutant("layer_dx_of_the_batch", "layer norm's dx takes means over the batch", norm="layer", dx=_batch_sums),
    mutant("group_dx_of_the_channel", "group norm's dx takes means over a channel", norm="group", dx=_batch_sums),
    mutant("group_dx_over_rows", "group norm's mean path is over N", norm="group", dx=_train(_mean_path_over_rows)),
    mutant("instance_dx_without_the_variance_path", "instance norm's dx lacks the path through v",
           norm="instance", dx=_paths(through_variance=0)),
    mutant("rms_dx_with_a_mean_path", "RMS norm's dx subtracts a mean that its forward does not",
           norm="rms", dx=_train(lambda r, g: g - mean(g) - r.x_hat * mean(g * r.x_hat))),
    mutant("rms_dx_without_the_square_path", "RMS norm's dx lacks the path through the mean square",
           norm="rms", dx=_paths(through_variance=0)),
)  # fmt: skip
"""The backward bugs of homework and of libraries, for every norm."""
