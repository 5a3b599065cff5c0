"""Wrong normalizations, one bug each: what proves that the checks can fail.

A :class:`Recipe` is batch normalization cut into replaceable pieces; a mutant replaces one. The
recipe's backward differentiates whatever ``sd`` and ``ddof`` it is given, so that a wrong forward has
a matching backward unless the bug is in the backward itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from bnbench.arguments import check_arguments
from bnbench.cases import count, per_channel
from bnbench.model import Array, Capabilities, Forward, Implementation, Vjp


@dataclass(frozen=True, kw_only=True, slots=True)
class Residuals:
    """What the forward of a recipe leaves for its backward; per-channel arrays broadcast against x."""

    gamma: Array
    centred: Array
    sd: Array
    slope: Array
    x_hat: Array
    axes: tuple[int, ...]
    elements: int
    ddof: int
    training: bool

    def mean(self, a: Array) -> Array:
        """The mean over a channel, shaped to broadcast."""
        return np.asarray(a.mean(self.axes, keepdims=True))

    def total(self, a: Array) -> Array:
        """The sum over a channel, ``(C,)``."""
        return np.asarray(a.sum(self.axes))


Backward: TypeAlias = Callable[[Residuals, Array], Array]


def _sd(variance: Array, eps: float) -> Array:
    return np.asarray(np.sqrt(variance + eps))


def _slope(variance: Array, eps: float) -> Array:
    return np.asarray(0.5 / np.sqrt(variance + eps))


def _dx(r: Residuals, dy: Array) -> Array:
    dx_hat = r.gamma * dy / r.sd
    if not r.training:
        return dx_hat
    through_variance = 2 * r.slope / r.sd * r.centred / (r.elements - r.ddof)
    total = (dx_hat * r.centred).sum(r.axes, keepdims=True)
    return np.asarray(dx_hat - r.mean(dx_hat) - through_variance * total)


def _dgamma(r: Residuals, dy: Array) -> Array:
    return r.total(dy * r.x_hat)


def _dbeta(r: Residuals, dy: Array) -> Array:
    return r.total(dy)


def _divided(variance: Array, elements: int, ddof: int) -> Array:
    """A variance with divisor M as one with divisor M - ddof."""
    return variance * (elements / max(elements - ddof, 1))


def _moved(old: Array, new: Array, momentum: float) -> Array:
    return (1 - momentum) * old + momentum * new


def _unchanged(old: Array, new: Array, momentum: float) -> Array:  # noqa: ARG001 - the shape of a rule
    return old.copy()


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Batch normalization in pieces. The defaults are right."""

    sd: Callable[[Array, float], Array] = _sd
    """What the centred input is divided by, from variance and eps."""
    slope: Callable[[Array, float], Array] = _slope
    """The derivative of ``sd`` with respect to the variance."""
    eval_sd: Callable[[Array, float], Array] = _sd
    eval_mean: Callable[[Array, float], Array] = field(default=lambda running_mean, _: running_mean)
    """The mean of eval mode, from running_mean and momentum."""
    ddof: int = 0
    """Of the variance that is normalized by."""
    kept_ddof: int = 0
    """Of the variance that is kept; 0 is what every mutant declares."""
    move_mean: Callable[[Array, Array, float], Array] = _moved
    move_var: Callable[[Array, Array, float], Array] = _moved
    eval_move: Callable[[Array, Array, float], Array] = _unchanged
    one_row: Callable[[Array], Array] = field(default=lambda x_hat: x_hat)
    """Applied to x_hat in eval mode when the batch has one row."""
    dx: Backward = _dx
    dgamma: Backward = _dgamma
    dbeta: Backward = _dbeta
    check: Callable[..., None] = check_arguments


def forward_of(recipe: Recipe) -> Forward:
    """The forward function that follows a recipe."""

    def forward(
        x: Array,
        gamma: Array,
        beta: Array,
        running_mean: Array,
        running_var: Array,
        /,
        *,
        training: bool,
        eps: float,
        momentum: float,
    ) -> tuple[Array, tuple[Array, Array], Vjp]:
        recipe.check(x, gamma, beta, running_mean, running_var, training=training)
        rank, axes, elements = x.ndim, (0, *range(2, x.ndim)), count(x.shape)
        wide_gamma = per_channel(gamma, rank)
        mean: Array = x.mean(axes)
        variance: Array = x.var(axes)
        move_mean, move_var = (recipe.move_mean, recipe.move_var) if training else (recipe.eval_move,) * 2
        new_mean = move_mean(running_mean, mean, momentum)
        new_var = move_var(running_var, _divided(variance, elements, recipe.kept_ddof), momentum)
        if training:
            variance = _divided(variance, elements, recipe.ddof)
            sd = recipe.sd(variance, eps)
        else:
            mean, variance = recipe.eval_mean(running_mean, momentum), running_var
            sd = recipe.eval_sd(variance, eps)

        centred = x - per_channel(mean, rank)
        x_hat: Array = centred / per_channel(sd, rank)
        if not training and x.shape[0] == 1:
            x_hat = recipe.one_row(x_hat)
        residuals = Residuals(
            gamma=wide_gamma,
            centred=centred,
            sd=per_channel(sd, rank),
            slope=per_channel(recipe.slope(variance, eps), rank),
            x_hat=x_hat,
            axes=axes,
            elements=elements,
            ddof=recipe.ddof,
            training=training,
        )

        def vjp(dy: Array) -> tuple[Array, Array, Array]:
            return recipe.dx(residuals, dy), recipe.dgamma(residuals, dy), recipe.dbeta(residuals, dy)

        return wide_gamma * x_hat + per_channel(beta, rank), (new_mean, new_var), vjp

    return forward


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutant:
    """One wrong normalization: what is wrong with it, and how to make it."""

    name: str
    bug: str
    make: Callable[[], Forward]
    """Called once per use, so that a mutant with state starts afresh."""

    def implementation(self) -> Implementation:
        """The mutant as a plugin would declare it."""
        return Implementation(name=self.name, load=self.make, summary=self.bug, capabilities=Capabilities())


CORRECT = Recipe()


def _mutant(name: str, bug: str, **pieces: Any) -> Mutant:
    return Mutant(name=name, bug=bug, make=lambda: forward_of(replace(CORRECT, **pieces)))


def _outside(variance: Array, eps: float) -> Array:
    return np.sqrt(variance) + eps


def _outside_slope(variance: Array, eps: float) -> Array:  # noqa: ARG001 - the shape of a slope
    return 0.5 / np.sqrt(variance)


def _swapped(old: Array, new: Array, momentum: float) -> Array:
    return momentum * old + (1 - momentum) * new


def _clamped(old: Array, new: Array, momentum: float) -> Array:
    return _moved(old, new, min(momentum, 0.99))


def _dx_in_float64(r: Residuals, dy: Array) -> Array:
    return _dx(r, dy * np.ones(dy.shape))


def _dx_without_mean_path(r: Residuals, dy: Array) -> Array:
    dx_hat = r.gamma * dy / r.sd
    return dx_hat - r.x_hat * r.mean(dx_hat * r.x_hat) if r.training else dx_hat


def _dx_without_variance_path(r: Residuals, dy: Array) -> Array:
    dx_hat = r.gamma * dy / r.sd
    return dx_hat - r.mean(dx_hat) if r.training else dx_hat


def _dx_without_gamma(r: Residuals, dy: Array) -> Array:
    return _dx(replace(r, gamma=np.ones_like(r.gamma)), dy)


def _dbeta_scaling_dy_in_place(r: Residuals, dy: Array) -> Array:
    dbeta = _dbeta(r, dy)
    dy *= r.gamma
    return dbeta


def _flickering() -> Forward:
    forward = forward_of(CORRECT)
    calls = itertools.count()

    def flickering(*arguments: Array, **options: Any) -> tuple[Array, tuple[Array, Array], Vjp]:
        y, running, vjp = forward(*arguments, **options)
        return np.nextafter(y, np.inf, dtype=y.dtype) if next(calls) % 2 else y, running, vjp

    return flickering


def _accumulating() -> Forward:
    forward = forward_of(CORRECT)

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


ALL_MUTANTS: tuple[Mutant, ...] = (
    _mutant("float64_from_float32", "dx is promoted to float64", dx=_dx_in_float64),
    _mutant("eps_outside_the_root", "divides by sqrt(v) + eps in train mode", sd=_outside, slope=_outside_slope),
    _mutant("variance_over_m_minus_1", "normalizes by the variance with divisor M - 1", ddof=1),
    _mutant("running_mean_weighs_the_old", "momentum weighs the old running mean", move_mean=_swapped),
    _mutant("running_var_with_the_other_ddof", "keeps the variance with divisor M - 1, declares M", kept_ddof=1),
    _mutant("dx_without_the_mean_path", "dx lacks the term through mu", dx=_dx_without_mean_path),
    _mutant("dx_without_the_variance_path", "dx lacks the term through v", dx=_dx_without_variance_path),
    _mutant("dx_without_gamma", "dx is not multiplied by gamma", dx=_dx_without_gamma),
    _mutant("dx_is_zero", "dx is never written", dx=lambda _, dy: np.zeros_like(dy)),
    _mutant("dgamma_is_a_mean", "dgamma is divided by M", dgamma=lambda r, dy: _dgamma(r, dy) / r.elements),
    _mutant("dgamma_from_the_centred_input", "dgamma uses x - mu", dgamma=lambda r, dy: r.total(dy * r.centred)),
    _mutant("dbeta_is_a_mean", "dbeta is divided by M", dbeta=lambda r, dy: _dbeta(r, dy) / r.elements),
    _mutant("eval_eps_outside_the_root", "divides by sqrt(running_var) + eps in eval mode", eval_sd=_outside),
    _mutant("eval_mean_weighed_by_momentum", "centres by momentum running_mean in eval mode", eval_mean=np.multiply),
    _mutant("eval_moves_the_running_statistics", "updates the running statistics in eval mode", eval_move=_moved),
    _mutant("eval_of_one_row_uses_the_row", "a batch of one row gives y = beta", one_row=np.zeros_like),
    _mutant("momentum_never_reaches_one", "clamps momentum to 0.99", move_mean=_clamped, move_var=_clamped),
    _mutant("dy_scaled_in_place", "the vjp multiplies dy by gamma in place", dbeta=_dbeta_scaling_dy_in_place),
    Mutant(name="a_different_last_bit_each_time", bug="y differs in the last bit from call to call", make=_flickering),
    Mutant(name="gradients_accumulate", bug="the second vjp adds to the first", make=_accumulating),
    _mutant("shapes_not_checked", "accepts arrays of any length", check=_check_without("shape")),
    _mutant("dtypes_not_checked", "accepts mixed dtypes and integers", check=_check_without("dtype")),
    _mutant("mode_not_checked", "takes any true value for train mode", check=_check_without("mode")),
)
