"""The mutants that the essential checks name: each is caught by one of these checks alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np

from bnbench.arguments import check_arguments
from bnbench.blocks import channel_sum
from bnbench.model import Array, Forward, Vjp
from bnbench.mutants import recipe
from bnbench.mutants.recipe import Mutant, Residuals, forward_of, mean, mutant


def _outside(variance: Array, eps: float) -> Array:
    return np.sqrt(variance) + eps


def _outside_slope(variance: Array, eps: float) -> Array:  # noqa: ARG001 - the shape of a slope
    return 0.5 / np.sqrt(variance)


def _swapped(old: Array, new: Array, momentum: float) -> Array:
    return momentum * old + (1 - momentum) * new


def _clamped(old: Array, new: Array, momentum: float) -> Array:
    return recipe.moved(old, new, min(momentum, 0.99))


def _dx_in_float64(r: Residuals, dy: Array) -> Array:
    return recipe.dx(r, dy * np.ones(dy.shape))


def _dx_without_mean_path(r: Residuals, dy: Array) -> Array:
    g = r.dx_hat(dy) / r.sd
    return r.whole(g if r.constants else g - r.x_hat * mean(g * r.x_hat))


def _dx_without_variance_path(r: Residuals, dy: Array) -> Array:
    g = r.dx_hat(dy) / r.sd
    return r.whole(g if r.constants else g - mean(g))


def _dx_without_gamma(r: Residuals, dy: Array) -> Array:
    return recipe.dx(replace(r, gamma=np.ones_like(r.gamma)), dy)


def _dbeta_scaling_dy_in_place(r: Residuals, dy: Array) -> Array:
    dbeta = recipe.dbeta(r, dy)
    dy *= r.gamma
    return dbeta


def _flickering() -> Forward:
    forward = cast("Forward", forward_of())
    calls = itertools.count()

    def flickering(*arguments: Array, **options: Any) -> tuple[Array, tuple[Array, Array], Vjp]:
        y, running, vjp = forward(*arguments, **options)
        return np.nextafter(y, np.inf, dtype=y.dtype) if next(calls) % 2 else y, running, vjp

    return flickering


def _accumulating() -> Forward:
    forward = cast("Forward", forward_of())

    def accumulating(*arguments: Array, **options: Any) -> tuple[Array, tuple[Array, Array], Vjp]:
        y, running, vjp = forward(*arguments, **options)
        sums: list[Array] = []

        def adding(dy: Array) -> tuple[Array, Array, Array]:
            gradients = vjp(dy)
            sums[:] = [a + b for a, b in zip(sums, gradients, strict=True)] if sums else gradients
            dx, dgamma, dbeta = sums
            return dx, dgamma, dbeta

        return y, running, adding

    return accumulating


def _check_without(aspect: str) -> Callable[..., None]:
    """check_arguments, blind to shapes, dtypes or modes."""

    def check(*arrays: Array, training: bool) -> None:
        x, *others = arrays
        if aspect == "mode":
            training = bool(training)
        if aspect == "dtype":
            arrays = tuple(a.astype(np.float64) for a in arrays)
        if aspect == "shape":
            channels = np.ones(x.shape[-1], dtype=x.dtype)
            arrays = (x.reshape(-1, x.shape[-1]), *(channels.astype(a.dtype) for a in others))
        check_arguments(*arrays, training=training)

    return check


ESSENTIAL: tuple[Mutant, ...] = (
    mutant("float64_from_float32", "dx is promoted to float64", dx=_dx_in_float64),
    mutant("eps_outside_the_root", "divides by sqrt(v) + eps in train mode", sd=_outside, slope=_outside_slope),
    mutant("variance_over_m_minus_1", "normalizes by the variance with divisor M - 1", ddof=1),
    mutant("running_mean_weighs_the_old", "momentum weighs the old running mean", move_mean=_swapped),
    mutant("running_var_with_the_other_ddof", "keeps the variance with divisor M - 1, declares M", kept_ddof=1),
    mutant("dx_without_the_mean_path", "dx lacks the term through mu", dx=_dx_without_mean_path),
    mutant("dx_without_the_variance_path", "dx lacks the term through v", dx=_dx_without_variance_path),
    mutant("dx_without_gamma", "dx is not multiplied by gamma", dx=_dx_without_gamma),
    mutant("dx_is_zero", "dx is never written", dx=lambda _, dy: np.zeros_like(dy)),
    mutant("dgamma_is_a_mean", "dgamma is divided by M", dgamma=lambda r, dy: recipe.dgamma(r, dy) / r.elements),
    mutant(
        "dgamma_from_the_centred_input", "dgamma uses x - mu", dgamma=lambda r, dy: channel_sum(dy * r.whole(r.centred))
    ),
    mutant("dbeta_is_a_mean", "dbeta is divided by M", dbeta=lambda r, dy: recipe.dbeta(r, dy) / r.elements),
    mutant("eval_eps_outside_the_root", "divides by sqrt(running_var) + eps in eval mode", eval_sd=_outside),
    mutant("eval_mean_weighed_by_momentum", "centres by momentum running_mean in eval mode", eval_mean=np.multiply),
    mutant("eval_moves_the_running_statistics", "updates the running statistics in eval mode", eval_move=recipe.moved),
    mutant("eval_of_one_row_uses_the_row", "a batch of one row gives y = beta", one_row=np.zeros_like),
    mutant("momentum_never_reaches_one", "clamps momentum to 0.99", move_mean=_clamped, move_var=_clamped),
    mutant("dy_scaled_in_place", "the vjp multiplies dy by gamma in place", dbeta=_dbeta_scaling_dy_in_place),
    Mutant(name="a_different_last_bit_each_time", bug="y differs in the last bit from call to call", make=_flickering),
    Mutant(name="gradients_accumulate", bug="the second vjp adds to the first", make=_accumulating),
    mutant("shapes_not_checked", "accepts arrays of any length", check=_check_without("shape")),
    mutant("dtypes_not_checked", "accepts mixed dtypes and integers", check=_check_without("dtype")),
    mutant("mode_not_checked", "takes any true value for train mode", check=_check_without("mode")),
)
