"""Mutants of the forward: eps, mean and variance, gamma and beta, and the limits of arithmetic.

Most come with the matching backward, so that no comparison of the two can see them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bnbench.blocks import GROUPED, channel_sum, per_channel
from bnbench.model import Array, Norm
from bnbench.mutants import recipe
from bnbench.mutants.recipe import AnyForward, Mutant, mutant, wrapped

# ---- what divides: every form of eps, with its own derivative, for every norm ----


def _missing(v: Array, _: float) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(v))


def _missing_slope(v: Array, _: float) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(0.5 / np.sqrt(v))


def _outside(v: Array, eps: float) -> Array:
    return np.asarray(np.sqrt(v) + eps)


def _larger(v: Array, eps: float) -> Array:
    return np.asarray(np.sqrt(np.maximum(v, eps)))


def _larger_slope(v: Array, eps: float) -> Array:
    return np.where(v > eps, 0.5 / _larger(v, eps), 0)


def _subtracted(v: Array, eps: float) -> Array:
    return np.asarray(np.sqrt(np.abs(v - eps)))


def _subtracted_slope(v: Array, eps: float) -> Array:
    return np.asarray(np.sign(v - eps) * 0.5 / _subtracted(v, eps))


def _hard_coded(v: Array, _: float) -> Array:
    return recipe.sd(v, 1e-5)


def _hard_coded_slope(v: Array, _: float) -> Array:
    return recipe.slope(v, 1e-5)


def _without_root(v: Array, eps: float) -> Array:
    return v + eps


def _squared(v: Array, eps: float) -> Array:
    return np.asarray((v + eps) ** 2)


def _squared_slope(v: Array, eps: float) -> Array:
    return np.asarray(2 * (v + eps))


def _one_for_none(v: Array, eps: float) -> Array:
    return np.where(v == 0, 1, recipe.sd(v, eps)).astype(v.dtype)


Piece = Callable[[Array, float], Array]
ALL: tuple[Norm, ...] = ("batch", *GROUPED)

DIVISORS: tuple[tuple[str, str, Piece, Piece, tuple[Norm, ...]], ...] = (
    ("eps_missing", "divides by sqrt(v)", _missing, _missing_slope, ALL),
    ("eps_beside_the_root", "divides by sqrt(v) + eps", _outside, _missing_slope, GROUPED),
    ("larger_of_v_and_eps", "divides by sqrt(max(v, eps))", _larger, _larger_slope, ("batch", "group", "rms")),
    ("eps_subtracted", "divides by sqrt(|v - eps|)", _subtracted, _subtracted_slope, ("instance",)),
    ("eps_hard_coded", "eps is 1e-5 whatever was asked for", _hard_coded, _hard_coded_slope, ALL),
    ("root_missing", "divides by v + eps", _without_root, lambda v, _: np.ones_like(v), ("batch", "rms")),
    ("square_for_root", "divides by (v + eps)^2", _squared, _squared_slope, ("layer",)),
    ("no_variance_counts_as_one", "divides by 1 where v is 0", _one_for_none, recipe.slope, ("batch", "instance")),
)


def _in_each(name: str, bug: str, *norms: Norm, **pieces: Any) -> tuple[Mutant, ...]:
    """The same bug in several norms; the name of batch norm's has no prefix."""
    return tuple(
        mutant(name if norm == "batch" else f"{norm}_{name}", f"{norm} norm: {bug}", norm=norm, **pieces)
        for norm in norms
    )


# ---- what is reduced ----


def _mean_of_everything(a: Array) -> Array:
    return np.full((len(a), 1), a.mean(), dtype=a.dtype)


def _textbook(x: Array, mu: Array) -> Array:
    return recipe.mean(x * x) - mu * mu


def _mean_without_tail(width: int) -> Callable[[Array], Array]:
    """The mean over whole vectors of this width alone, of blocks that have one."""

    def mean(a: Array) -> Array:
        whole = a.shape[1] // width * width
        return recipe.mean(a[:, :whole] if whole else a)

    return mean


def _mean_broadcast_along_rows(a: Array) -> Array:
    mu = recipe.mean(a)
    return mu.T if a.shape[0] == a.shape[1] else mu


def _mean_centring_in_place(a: Array) -> Array:
    a -= recipe.mean(a)
    return np.zeros((len(a), 1), dtype=a.dtype)


def _mean_skipping_nan(a: Array) -> Array:
    return np.asarray(np.nanmean(a, 1, keepdims=True)) if a.size else recipe.mean(a)


def _variance_skipping_nan(x: Array, mu: Array) -> Array:
    return _mean_skipping_nan((x - mu) ** 2)


def _without_tiny(centred: Array, divisor: Array) -> Array:
    return np.where(np.abs(centred) < 1e-20, 0, centred / divisor).astype(centred.dtype)


# ---- y, and what is special ----


def _last_channel_left(forward: AnyForward) -> AnyForward:
    def call(x: Array, *others: Array, **options: Any) -> tuple[Any, ...]:
        y, *rest = forward(x, *others, **options)
        y[:, -1] = x[:, -1]
        return y, *rest

    return call


def _dgamma_by_way_of_y(forward: AnyForward) -> AnyForward:
    def call(x: Array, gamma: Array, beta: Array, *running: Array, **options: Any) -> tuple[Any, ...]:
        y, *between, vjp = forward(x, gamma, beta, *running, **options)

        def recovering(dy: Array) -> tuple[Array, Array, Array]:
            dx, _, dbeta = vjp(dy)
            with np.errstate(divide="ignore", invalid="ignore"):
                x_hat = (y - per_channel(beta, x.ndim)) / per_channel(gamma, x.ndim)
                return dx, channel_sum(dy * x_hat), dbeta

        return y, *between, recovering

    return call


def _clipped(forward: AnyForward) -> AnyForward:
    def call(x: Array, *others: Array, **options: Any) -> tuple[Any, ...]:
        return forward(np.clip(x, -1e9, 1e9).astype(x.dtype), *others, **options)

    return call


def _nan_for_one_value(forward: AnyForward) -> AnyForward:
    def call(x: Array, *others: Array, **options: Any) -> tuple[Any, ...]:
        y, (mean, variance), vjp = forward(x, *others, **options)
        if options["training"] and x.size == x.shape[1]:
            variance = np.full_like(variance, np.nan)
        return y, (mean, variance), vjp

    return call


def _moved_by_nothing(forward: AnyForward) -> AnyForward:
    def call(x: Array, *others: Array, **options: Any) -> tuple[Any, ...]:
        y, (mean, variance), vjp = forward(x, *others, **options)
        if options["training"] and not x.size:
            mean, variance = ((1 - options["momentum"]) * a for a in (mean, variance))
        return y, (mean, variance), vjp

    return call


FORWARD: tuple[Mutant, ...] = (
    *(each for name, bug, sd, slope, norms in DIVISORS for each in _in_each(name, bug, *norms, sd=sd, slope=slope)),
    *_in_each("variance_over_m_minus_1", "v has divisor M - 1", "layer", "group", "instance", ddof=1),
    *_in_each("variance_not_reduced", "v = (x - mu)^2", "layer", variance=lambda x, mu: (x - mu) ** 2),
    *_in_each("textbook_variance", "v = E[x^2] - E[x]^2", "batch", "layer", "group", "instance", variance=_textbook),
    *_in_each("one_mean_for_the_whole_matrix", "mu is the mean of all x", "batch", "layer", mean=_mean_of_everything),
    *_in_each("mean_broadcast_along_rows", "mu has no kept axis", "batch", "layer", mean=_mean_broadcast_along_rows),
    *_in_each("tail_rows_left_out_of_the_mean", "mean of M // 4 * 4", "batch", "instance", mean=_mean_without_tail(4)),
    *_in_each(
        "rows_beyond_a_multiple_of_256_left_out",
        "mean of M // 256 * 256",
        "batch",
        "group",
        mean=_mean_without_tail(256),
    ),
    *_in_each("centres_x_in_place", "x -= mu", "layer", mean=_mean_centring_in_place),
    *_in_each(
        "statistics_skip_nan", "nanmean", "batch", "layer", mean=_mean_skipping_nan, variance=_variance_skipping_nan
    ),
    *_in_each("tiny_deviations_count_as_none", "x_hat is 0 below 1e-20", "batch", "rms", x_hat=_without_tiny),
    *_in_each("beta_multiplied_by_gamma", "gamma (x_hat + beta)", "batch", "layer", y=lambda h, g, b: g * (h + b)),
    *_in_each("beta_subtracted", "gamma x_hat - beta", "batch", "rms", y=lambda h, g, b: g * h - b),
    *_in_each("beta_forgotten", "gamma x_hat", "batch", "group", y=lambda h, g, _: g * h),
    *_in_each("gamma_forgotten", "x_hat + beta", "batch", "instance", y=lambda h, _, b: h + b),
    *_in_each("gamma_without_its_sign", "|gamma| x_hat + beta", "batch", "layer", y=lambda h, g, b: np.abs(g) * h + b),
    *_in_each("nan_becomes_zero", "nan_to_num", "batch", "rms", y=lambda h, g, b: np.nan_to_num(g * h + b)),
    wrapped("last_channel_left_as_it_was", "the loop over channels ends one early", _last_channel_left),
    wrapped("group_last_channel_left_as_it_was", "the same, in group norm", _last_channel_left, norm="group"),
    wrapped("dgamma_from_y_over_gamma", "x_hat is recovered as (y - beta) / gamma", _dgamma_by_way_of_y),
    wrapped("rms_dgamma_from_y_over_gamma", "the same, in RMS norm", _dgamma_by_way_of_y, norm="rms"),
    wrapped("x_clipped_at_1e9", "clips x, for stability", _clipped),
    wrapped("layer_x_clipped_at_1e9", "the same, in layer norm", _clipped, norm="layer"),
    wrapped("one_value_divides_by_m_minus_1", "keeps 0 / 0 of a single value", _nan_for_one_value),
    wrapped("an_empty_batch_moves_the_running_statistics", "counts an empty batch as zeros", _moved_by_nothing),
)
