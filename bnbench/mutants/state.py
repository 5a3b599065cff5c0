"""Mutants of the running statistics and of eval mode."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from bnbench.blocks import to_blocks
from bnbench.model import Array
from bnbench.mutants import recipe
from bnbench.mutants.recipe import AnyForward, Mutant, mutant, wrapped


def _swapped(old: Array, new: Array, momentum: float) -> Array:
    return recipe.moved(new, old, momentum)


def _without_decay(old: Array, new: Array, momentum: float) -> Array:
    return old + momentum * new


def _twice(old: Array, new: Array, momentum: float) -> Array:
    return recipe.moved(recipe.moved(old, new, momentum), new, momentum)


def _replaced(old: Array, new: Array, momentum: float) -> Array:  # noqa: ARG001 - the shape of a rule
    return new


def _from_zero(old: Array, new: Array, momentum: float) -> Array:
    return recipe.moved(np.zeros_like(old), new, momentum)


def _replaced_when_fresh(old: Array, new: Array, momentum: float) -> Array:
    return recipe.moved(old, new, momentum if old.any() else 1.0)


def _default_for_zero(old: Array, new: Array, momentum: float) -> Array:
    return recipe.moved(old, new, momentum or 0.1)


def _by_the_root(old: Array, new: Array, momentum: float) -> Array:
    return recipe.moved(old, new, 1 - math.sqrt(1 - momentum))


def _root(v: Array, _: float) -> Array:
    return np.asarray(np.sqrt(v))


def _statistics_of_y(forward: AnyForward) -> AnyForward:
    def call(x: Array, gamma: Array, beta: Array, *running: Array, **options: Any) -> tuple[Any, ...]:
        y, new, vjp = forward(x, gamma, beta, *running, **options)
        if options["training"]:
            blocks = to_blocks(y, "batch")
            statistics = blocks.mean(1), blocks.var(1)
            new = tuple(recipe.moved(a, b, options["momentum"]) for a, b in zip(running, statistics, strict=True))
        return y, new, vjp

    return call


def _swapped_statistics(forward: AnyForward) -> AnyForward:
    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        y, (mean, variance), vjp = forward(*arrays, **options)
        return y, (variance, mean) if options["training"] else (mean, variance), vjp

    return call


def _in_place(forward: AnyForward) -> AnyForward:
    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        y, new, vjp = forward(*arrays, **options)
        for a, b in zip(arrays[3:], new, strict=True):
            a[...] = b
        return y, arrays[3:], vjp

    return call


def _moving_in_the_vjp(forward: AnyForward) -> AnyForward:
    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        y, (mean, variance), vjp = forward(*arrays, **options)

        def moving(dy: Array) -> tuple[Array, Array, Array]:
            if options["training"]:
                mean[...] = recipe.moved(mean, to_blocks(arrays[0], "batch").mean(1), options["momentum"])
            return cast("tuple[Array, Array, Array]", vjp(dy))

        return y, (mean, variance), moving

    return call


def _one_over_the_calls(forward: AnyForward) -> AnyForward:
    steps = itertools.count(1)

    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        if options["training"]:
            options["momentum"] /= next(steps)
        return forward(*arrays, **options)

    return call


def _trained_by_running(forward: AnyForward) -> AnyForward:
    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        _, new, _ = forward(*arrays, **options)
        y, _, vjp = forward(*arrays[:3], *new, **options | {"training": False})
        return y, new, vjp

    return call


def _in_eval(change: Callable[..., tuple[Any, ...]]) -> Callable[[AnyForward], AnyForward]:
    """A wrapper that calls ``change(forward, *arrays, **options)`` in eval mode."""

    def wrap(forward: AnyForward) -> AnyForward:
        def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
            return change(forward, *arrays, **options) if options["training"] is False else forward(*arrays, **options)

        return call

    return wrap


def _by_the_batch(forward: AnyForward, *arrays: Array, **options: Any) -> tuple[Any, ...]:
    y, _, vjp = forward(*arrays, **options | {"training": True})
    return y, tuple(a.copy() for a in arrays[3:]), vjp


def _by_the_batch_when_fresh(forward: AnyForward, *arrays: Array, **options: Any) -> tuple[Any, ...]:
    return (forward if arrays[3].any() else lambda *a, **o: _by_the_batch(forward, *a, **o))(*arrays, **options)


def _without_affine(
    forward: AnyForward, x: Array, gamma: Array, beta: Array, *running: Array, **options: Any
) -> tuple[Any, ...]:
    return forward(x, np.ones_like(gamma), np.zeros_like(beta), *running, **options)


def _minus_beta(
    forward: AnyForward, x: Array, gamma: Array, beta: Array, *running: Array, **options: Any
) -> tuple[Any, ...]:
    return forward(x, gamma, -beta, *running, **options)


def _racing(forward: AnyForward) -> AnyForward:
    def racing(*arguments: Array, **options: Any) -> tuple[Any, ...]:
        from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

        y, *rest = forward(*arguments, **options)
        if any(pool["num_threads"] > 1 for pool in threadpool_info()):
            y[-1:] += y[-1:]
        return (y, *rest)

    return racing


STATE: tuple[Mutant, ...] = (
    mutant("running_var_weighs_the_old", "momentum weighs the old running variance", move_var=_swapped),
    mutant("running_sd_is_kept", "keeps the standard deviation as running_var", kept=_root),
    mutant(
        "running_sd_is_kept_and_used",
        "keeps the standard deviation and divides by it in eval mode",
        kept=_root,
        eval_sd=lambda kept, eps: kept + eps,
    ),
    mutant("inverse_sd_is_kept", "keeps 1 / sqrt(v + eps)", kept=lambda v, eps: 1 / np.sqrt(v + eps)),
    mutant("eps_in_the_running_var", "averages v + eps", kept=lambda v, eps: v + eps),
    mutant(
        "running_statistics_never_move",
        "train mode returns the running statistics as they were",
        move_mean=recipe.unchanged,
        move_var=recipe.unchanged,
    ),
    mutant("running_var_never_moves", "updates running_mean alone", move_var=recipe.unchanged),
    mutant("running_statistics_move_twice", "updates twice in one step", move_mean=_twice, move_var=_twice),
    mutant("running_mean_without_decay", "adds momentum mu and keeps all of the old", move_mean=_without_decay),
    mutant("running_statistics_are_replaced", "keeps the last batch's", move_mean=_replaced, move_var=_replaced),
    mutant("running_mean_starts_from_zero", "forgets the running mean it was given", move_mean=_from_zero),
    mutant("running_var_takes_the_root_of_m", "decays by sqrt(1 - momentum)", move_var=_by_the_root),
    mutant(
        "momentum_zero_is_the_default",
        "`momentum or 0.1`",
        move_mean=_default_for_zero,
        move_var=_default_for_zero,
    ),
    mutant("fresh_statistics_are_replaced", "replaces a running mean of zeros", move_mean=_replaced_when_fresh),
    wrapped("running_statistics_of_y", "averages the statistics of y", _statistics_of_y),
    wrapped("running_statistics_swapped", "returns (running_var, running_mean)", _swapped_statistics),
    wrapped("running_statistics_in_place", "writes the new running statistics into the old", _in_place),
    wrapped("running_mean_moves_in_the_vjp", "the vjp updates running_mean once more", _moving_in_the_vjp),
    wrapped("momentum_is_one_over_the_calls", "divides momentum by a step counter", _one_over_the_calls),
    wrapped("train_uses_the_running_statistics", "normalizes by the updated running statistics", _trained_by_running),
    wrapped("eval_uses_the_batch", "normalizes by the batch in eval mode", _in_eval(_by_the_batch)),
    wrapped(
        "eval_of_fresh_statistics_uses_the_batch",
        "takes a running mean of zeros for no statistics yet",
        _in_eval(_by_the_batch_when_fresh),
    ),
    wrapped("eval_forgets_gamma_and_beta", "returns x_hat in eval mode", _in_eval(_without_affine)),
    wrapped("eval_subtracts_beta", "gamma x_hat - beta in eval mode", _in_eval(_minus_beta)),
    mutant("eval_divides_by_the_variance", "has no root in eval mode", eval_sd=lambda v, eps: v + eps),
    mutant("eval_without_eps", "divides by sqrt(running_var)", eval_sd=_root),
    mutant("eval_eps_is_hard_coded", "eps is 1e-8 in eval mode", eval_sd=lambda v, _: np.sqrt(v + 1e-8)),
    wrapped("two_threads_race_for_the_last_row", "adds the last row twice with two threads", _racing),
)
