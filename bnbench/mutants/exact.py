"""Mutants that exact data shows to the last bit."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from bnbench.blocks import channel_sum, to_blocks
from bnbench.model import Array, Forward
from bnbench.mutants import recipe
from bnbench.mutants.recipe import AnyForward, Mutant, Residuals, forward_of, mutant


def _fast_root(variance: Array, eps: float) -> Array:
    """sqrt(v + eps) by the fast inverse square root of Quake III with two Newton steps: 18 bits.

    In float64 it is right, so that only float32 shows it.
    """
    if variance.dtype != np.float32:
        return np.asarray(np.sqrt(variance + eps))
    a = (variance + eps).astype(np.float32)
    half, three_halves = np.float32(0.5), np.float32(1.5)
    root = (np.int32(0x5F3759DF) - (a.view(np.int32) >> 1)).view(np.float32)
    for _ in range(2):
        root = root * (three_halves - half * a * root * root)
    return np.asarray(1 / root)


def _counting_rows() -> Forward:
    forward = cast("AnyForward", forward_of())

    def call(x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, **options: Any) -> tuple[Any, ...]:
        y, (new_mean, new_variance), vjp = forward(x, gamma, beta, mean, variance, **options)
        if options["training"] and len(x):
            kept = recipe.divided(to_blocks(x, "batch").var(1), len(x), 1)
            new_variance = recipe.moved(variance, kept, options["momentum"])
        return y, (new_mean, new_variance), vjp

    return cast("Forward", call)


def _whole_fours(elements: int) -> int:
    return elements // 4 * 4


def _dx_without_tails(r: Residuals, dy: Array) -> Array:
    g = r.dx_hat(dy) / r.sd
    if r.constants:
        return r.whole(g)
    most = _whole_fours(r.elements)
    level, slope = (a[:, :most].sum(1, keepdims=True) / r.elements for a in (g, g * r.x_hat))
    return r.whole(g - level - r.x_hat * slope)


def _dgamma_without_eps(r: Residuals, dy: Array) -> Array:
    if r.constants:
        return recipe.dgamma(r, dy)
    root = np.sqrt(recipe.mean(r.centred**2))
    return channel_sum(dy * r.whole(r.centred / np.where(root == 0, 1, root)))


EXACT: tuple[Mutant, ...] = (
    mutant("fast_inverse_square_root", "float32 divides by an approximate root of 18 bits", sd=_fast_root),
    Mutant(
        name="running_var_counts_the_rows",
        bug="keeps v N / (N - 1), N the rows, where M counts spatial positions too",
        make=_counting_rows,
        ddof=1,
    ),
    mutant(
        "tail_rows_left_out_of_the_means_of_dx",
        "the two means of dx leave out the last M % 4 elements",
        dx=_dx_without_tails,
    ),
    mutant("eps_missing_in_dgamma", "dgamma takes an x_hat with sqrt(v) for sqrt(v + eps)", dgamma=_dgamma_without_eps),
)
