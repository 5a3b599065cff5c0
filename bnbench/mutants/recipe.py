"""Normalization cut into replaceable pieces: a mutant is a recipe with one piece replaced.

Everything but gamma, beta and the running statistics is in blocks, ``(B, M)``; statistics of blocks are
``(B, 1)``. The backward differentiates whatever ``sd`` and ``ddof`` the recipe has, so that a wrong
forward comes with a matching backward unless the bug is in the backward itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np

from bnbench.arguments import check_arguments, check_grouped_arguments
from bnbench.blocks import channel_sum, from_blocks, per_channel, to_blocks
from bnbench.diagnose.cause import Quantity, Slip
from bnbench.model import Array, Capabilities, Forward, GroupedForward, Implementation, Norm, Vjp


@dataclass(frozen=True, kw_only=True, slots=True)
class Residuals:
    """What the forward of a recipe leaves for its backward."""

    x: Array
    centred: Array
    sd: Array
    slope: Array
    """The derivative of ``sd`` with respect to the variance."""
    x_hat: Array
    gamma: Array
    """Per channel, shaped to broadcast against ``(N, C, *spatial)``."""
    shape: tuple[int, ...]
    norm: Norm
    groups: int
    ddof: int
    constants: bool
    """Eval mode of batch norm: mean and variance do not depend on x."""

    @property
    def elements(self) -> int:
        """M."""
        return int(self.x.shape[1])

    def blocks(self, a: Array) -> Array:
        """An array shaped as the input, in blocks."""
        return to_blocks(a, self.norm, self.groups)

    def whole(self, b: Array) -> Array:
        """Blocks, shaped as the input."""
        return np.ascontiguousarray(from_blocks(b, self.shape, self.norm))

    def dx_hat(self, dy: Array) -> Array:
        """gamma dy, in blocks."""
        return self.blocks(self.gamma * dy)


Backward: TypeAlias = Callable[[Residuals, Array], Array]
"""From residuals and dy (shaped as the input) to dx, dgamma or dbeta (as they are returned)."""


def mean(a: Array) -> Array:
    """The mean of every block, ``(B, 1)``."""
    return np.asarray(a.mean(1, keepdims=True))


def variance(x: Array, mu: Array) -> Array:
    """The variance of every block, divisor M, by two passes."""
    return mean((x - mu) ** 2)


def sd(v: Array, eps: float) -> Array:
    return np.asarray(np.sqrt(v + eps))


def slope(v: Array, eps: float) -> Array:
    return np.asarray(0.5 / np.sqrt(v + eps))


def dx(r: Residuals, dy: Array) -> Array:
    g = r.dx_hat(dy) / r.sd
    if r.constants:
        return r.whole(g)
    through_mean = 0 if r.norm == "rms" else mean(g)
    dv = -(r.slope / r.sd) * (g * r.centred).sum(1, keepdims=True)
    return r.whole(g - through_mean + 2 / (r.elements - r.ddof) * r.centred * dv)


def dgamma(r: Residuals, dy: Array) -> Array:
    return channel_sum(dy * r.whole(r.x_hat))


def dbeta(_: Residuals, dy: Array) -> Array:
    return channel_sum(dy)


def moved(old: Array, new: Array, momentum: float) -> Array:
    """The running statistic after a step; momentum weighs the new."""
    return (1 - momentum) * old + momentum * new


def unchanged(old: Array, new: Array, momentum: float) -> Array:  # noqa: ARG001 - the shape of a rule
    return old.copy()


def divided(v: Array, elements: int, ddof: int) -> Array:
    """A variance with divisor M as one with divisor M - ddof."""
    return v * (elements / max(elements - ddof, 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Normalization in pieces. The defaults are right, for every norm."""

    mean: Callable[[Array], Array] = mean
    """Of blocks; not asked for by RMS norm."""
    variance: Callable[[Array, Array], Array] = variance
    sd: Callable[[Array, float], Array] = sd
    """What the centred blocks are divided by, from variance and eps."""
    slope: Callable[[Array, float], Array] = slope
    """The derivative of ``sd`` with respect to the variance."""
    ddof: int = 0
    """Of the variance that is normalized by."""
    x_hat: Callable[[Array, Array], Array] = np.divide
    """From centred blocks and sd."""
    y: Callable[[Array, Array, Array], Array] = field(default=lambda x_hat, gamma, beta: gamma * x_hat + beta)
    """From x_hat, gamma and beta, shaped as the input or to broadcast against it."""
    regroup: Callable[[Norm, int, int], tuple[Norm, int]] = field(default=lambda norm, groups, _: (norm, groups))
    """What is normalized together, from norm, groups and the number of channels."""
    dx: Backward = dx
    dgamma: Backward = dgamma
    dbeta: Backward = dbeta

    kept_ddof: int = 0
    """Of the variance that is kept; 0 is what every recipe declares."""
    kept: Callable[[Array, float], Array] = field(default=lambda v, _: v)
    """What is kept of the variance, from variance and eps."""
    move_mean: Callable[[Array, Array, float], Array] = moved
    move_var: Callable[[Array, Array, float], Array] = moved
    eval_move: Callable[[Array, Array, float], Array] = unchanged
    eval_mean: Callable[[Array, float], Array] = field(default=lambda running_mean, _: running_mean)
    """The mean of eval mode, from running_mean and momentum."""
    eval_sd: Callable[[Array, float], Array] = sd
    one_row: Callable[[Array], Array] = field(default=lambda x_hat: x_hat)
    """Applied to x_hat in eval mode when the batch has one row."""
    check: Callable[..., None] = check_arguments
    check_grouped: Callable[..., None] = check_grouped_arguments


CORRECT = Recipe()


def forward_of(recipe: Recipe = CORRECT, norm: Norm = "batch") -> Forward | GroupedForward:
    """The forward function that follows a recipe."""
    return partial(_batch, recipe) if norm == "batch" else partial(_grouped, recipe, norm)


def _batch(
    recipe: Recipe,
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
    if x.shape[0] == 0:  # an empty batch has no statistics, and nothing to learn from
        nothing = np.zeros_like(gamma)
        return x.copy(), (running_mean.copy(), running_var.copy()), lambda dy: (dy.copy(), nothing, nothing.copy())
    blocks = to_blocks(x, "batch")
    mu = recipe.mean(blocks)
    v = recipe.variance(blocks, mu)
    move_mean, move_var = (recipe.move_mean, recipe.move_var) if training else (recipe.eval_move,) * 2
    kept = recipe.kept(divided(v, blocks.shape[1], recipe.kept_ddof), eps)
    new = move_mean(running_mean, mu.ravel(), momentum), move_var(running_var, kept.ravel(), momentum)
    if training:
        y, vjp = _normalized(recipe, x, gamma, beta, mu, v, eps=eps, norm="batch", groups=1)
    else:
        constants = recipe.eval_mean(running_mean, momentum)[:, np.newaxis], running_var[:, np.newaxis]
        y, vjp = _normalized(recipe, x, gamma, beta, *constants, eps=eps, norm="batch", groups=1, constants=True)
    return y, new, vjp


def _grouped(
    recipe: Recipe, norm: Norm, x: Array, gamma: Array, beta: Array, /, *, groups: int, eps: float
) -> tuple[Array, Vjp]:
    recipe.check_grouped(x, gamma, beta, groups=groups)
    norm, groups = recipe.regroup(norm, groups, x.shape[1])
    blocks = to_blocks(x, norm, groups)
    mu = np.zeros((len(blocks), 1), dtype=x.dtype) if norm == "rms" else recipe.mean(blocks)
    v = recipe.variance(blocks, mu)
    return _normalized(recipe, x, gamma, beta, mu, v, eps=eps, norm=norm, groups=groups)


def _normalized(
    recipe: Recipe,
    x: Array,
    gamma: Array,
    beta: Array,
    mu: Array,
    v: Array,
    *,
    eps: float,
    norm: Norm,
    groups: int,
    constants: bool = False,
) -> tuple[Array, Vjp]:
    blocks = to_blocks(x, norm, groups)
    rank = x.ndim
    if not constants:
        v = divided(v, blocks.shape[1], recipe.ddof)
    divisor = (recipe.eval_sd if constants else recipe.sd)(v, eps)
    centred = blocks - mu
    x_hat = recipe.x_hat(centred, divisor)
    if constants and x.shape[0] == 1:
        x_hat = recipe.one_row(x_hat)
    r = Residuals(
        x=blocks,
        centred=centred,
        sd=divisor,
        slope=recipe.slope(v, eps),
        x_hat=x_hat,
        gamma=per_channel(gamma, rank),
        shape=x.shape,
        norm=norm,
        groups=groups,
        ddof=recipe.ddof,
        constants=constants,
    )

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        return recipe.dx(r, dy), recipe.dgamma(r, dy), recipe.dbeta(r, dy)

    return recipe.y(r.whole(x_hat), r.gamma, per_channel(beta, rank)), vjp


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutant:
    """One wrong normalization: what is wrong with it, and how to make it."""

    name: str
    bug: str
    make: Callable[[], Forward | GroupedForward]
    """Called once per use, so that a mutant with state starts afresh."""
    norm: Norm = "batch"
    ddof: int = 0
    """What it declares of the variance that is kept."""
    pieces: Mapping[str, Any] = field(default_factory=dict)
    """What it replaces of the correct recipe; empty where it is no recipe."""
    cause: tuple[Slip, Quantity] | None = None
    """The bug in the words of a diagnosis; None where it is none of a quantity (``bnbench.mutants.causes``)."""

    def implementation(self) -> Implementation:
        """The mutant as a plugin would declare it."""
        return Implementation(
            name=self.name,
            load=self.make,
            summary=self.bug,
            capabilities=Capabilities(norm=self.norm, running_var_ddof=1 if self.ddof else 0),
        )


def mutant(name: str, bug: str, *, norm: Norm = "batch", **pieces: Any) -> Mutant:
    """A mutant that replaces these pieces of the correct recipe."""
    return Mutant(
        name=name, bug=bug, norm=norm, make=lambda: forward_of(replace(CORRECT, **pieces), norm), pieces=pieces
    )


AnyForward: TypeAlias = Callable[..., tuple[Any, ...]]
"""A forward of any norm: it returns y, for batch norm the running statistics, and the vjp."""


def wrapped(name: str, bug: str, wrap: Callable[[AnyForward], AnyForward], *, norm: Norm = "batch") -> Mutant:
    """A mutant around the correct forward. ``wrap`` is called once per use, and may keep state."""
    return Mutant(name=name, bug=bug, norm=norm, make=lambda: cast("Forward", wrap(forward_of(norm=norm))))
