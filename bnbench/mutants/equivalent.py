"""Correct variants: arithmetic that differs and is right all the same. No check may object to one.

They are Mutants whose ``bug`` is none: it says what they do otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np

from bnbench.blocks import channel_sum, from_blocks, per_channel, to_blocks
from bnbench.model import Array, Norm
from bnbench.mutants import recipe
from bnbench.mutants.recipe import CORRECT, AnyForward, Backward, Mutant, Residuals, forward_of, wrapped
from bnbench.mutants.recipe import mutant as variant

Sums = Callable[[Array], Array]
"""From blocks ``(B, M)`` to the sum of every block, ``(B, 1)``, in the dtype of the blocks."""


def _in_turn(a: Array) -> Array:
    return np.asarray(np.cumsum(a, axis=1)[:, -1:])


def _backwards(a: Array) -> Array:
    return _in_turn(a[:, ::-1])


def _in_pairs(a: Array) -> Array:
    while a.shape[1] > 1:
        odd = a[:, a.shape[1] - a.shape[1] % 2 :]
        a = np.concatenate([a[:, 0 : a.shape[1] - 1 : 2] + a[:, 1::2], odd], axis=1)
    return a


def _exactly(a: Array) -> Array:
    return np.asarray([[math.fsum(row)] for row in a.tolist()], dtype=a.dtype)


def _in_float64(a: Array) -> Array:
    return np.asarray(a.sum(1, keepdims=True, dtype=np.float64).astype(a.dtype))


def _summing(name: str, how: str, sums: Sums) -> Mutant:
    """The recipe with every sum, forward and backward, taken another way."""

    def mean(a: Array) -> Array:
        return sums(a) / a.dtype.type(a.shape[1])

    def dx(r: Residuals, dy: Array) -> Array:
        g = r.dx_hat(dy) / r.sd
        return r.whole(g if r.constants else g - mean(g) - r.x_hat * mean(g * r.x_hat))

    def dgamma(r: Residuals, dy: Array) -> Array:
        return sums(to_blocks(dy * r.whole(r.x_hat), "batch")).ravel()

    def dbeta(_: Residuals, dy: Array) -> Array:
        return sums(to_blocks(dy, "batch")).ravel()

    return variant(name, how, mean=mean, variance=lambda x, mu: mean((x - mu) ** 2), dx=dx, dgamma=dgamma, dbeta=dbeta)


def _welford(x: Array) -> tuple[Array, Array]:
    mu, total = np.zeros_like(x[:, 0]), np.zeros_like(x[:, 0])
    for count, element in enumerate(x.T, start=1):
        delta = element - mu
        mu = mu + delta / x.dtype.type(count)
        total = total + delta * (element - mu)
    return mu[:, np.newaxis], total[:, np.newaxis] / x.dtype.type(x.shape[1])


def _merged(x: Array) -> tuple[Array, Array]:
    """Mean and variance by merging those of the halves (Chan, Golub and LeVeque, 1983, equation 2.1)."""
    count = x.shape[1]
    if count <= 3:
        mu = recipe.mean(x)
        return mu, recipe.variance(x, mu)
    left, right = count // 2, count - count // 2
    (mu, v), (mu_right, v_right) = _merged(x[:, :left]), _merged(x[:, left:])
    delta = mu_right - mu
    fraction = x.dtype.type(right / count)
    return mu + delta * fraction, v * (1 - fraction) + v_right * fraction + delta**2 * fraction * (1 - fraction)


def _corrected(x: Array, mu: Array) -> Array:
    deviation = x - mu
    return recipe.mean(deviation**2) - recipe.mean(deviation) ** 2


def _shifted(x: Array, mu: Array) -> Array:  # noqa: ARG001 - the shape of a variance
    deviation = x - x[:, :1]
    return recipe.mean(deviation**2) - recipe.mean(deviation) ** 2


def _one_ulp_more(centred: Array, sd: Array) -> Array:
    return centred * np.nextafter(1 / sd, np.inf, dtype=sd.dtype)


def _by_the_reciprocal(centred: Array, sd: Array) -> Array:
    return centred * (1 / sd)


def _towards(old: Array, new: Array, momentum: float) -> Array:
    return old + momentum * (new - old)


def _staged(r: Residuals, dy: Array) -> Array:
    """Back through the nodes one by one, with the term of the variance's own mean, which is zero."""
    dx_hat = r.dx_hat(dy)
    if r.constants:
        return r.whole(dx_hat / r.sd)
    dsd = -(dx_hat * r.centred).sum(1, keepdims=True) / r.sd**2
    dv = dsd * r.slope
    dcentred = dx_hat / r.sd + 2 * r.centred * (dv / r.elements)
    dmu = -(dx_hat / r.sd).sum(1, keepdims=True) + dv * recipe.mean(-2 * r.centred)
    return r.whole(dcentred if r.norm == "rms" else dcentred + dmu / r.elements)


def _through_dgamma_and_dbeta(r: Residuals, dy: Array) -> Array:
    """Of batch norm: its blocks are channels, so that the block's sums are dgamma and dbeta."""
    slope = r.gamma / r.whole(np.broadcast_to(r.sd, r.x.shape))
    if r.constants:
        return slope * dy
    dgamma, dbeta = (per_channel(f(r, dy) / r.elements, dy.ndim) for f in (recipe.dgamma, recipe.dbeta))
    return slope * (dy - dbeta - r.whole(r.x_hat) * dgamma)


def _gamma_in_the_inverse_sd(r: Residuals, dy: Array) -> Array:
    slope = r.blocks(np.broadcast_to(r.gamma, r.shape)) / r.sd
    d = r.blocks(dy)
    if r.constants:
        return r.whole(slope * d)
    return r.whole(slope * (d - recipe.mean(d) - r.x_hat * recipe.mean(d * r.x_hat)))


def _wide(backward: Backward) -> Backward:
    """A backward that computes in float64 and rounds once."""

    def rounded(r: Residuals, dy: Array) -> Array:
        arrays = ("x", "centred", "sd", "slope", "x_hat", "gamma")
        wide = replace(r, **cast("Any", {name: getattr(r, name).astype(np.float64) for name in arrays}))
        return backward(wide, dy.astype(np.float64)).astype(dy.dtype)

    return rounded


def _dgamma_by_einsum(r: Residuals, dy: Array) -> Array:
    return np.asarray(np.einsum("cm,cm->c", to_blocks(dy, "batch"), to_blocks(r.whole(r.x_hat), "batch")))


def _dbeta_by_matrix_product(_: Residuals, dy: Array) -> Array:
    blocks = to_blocks(dy, "batch")
    return np.asarray(blocks @ np.ones_like(blocks[0]))


def _folded(forward: AnyForward) -> AnyForward:
    """y = a x + b with a = gamma / sd and b = beta - a mu: two constants per channel."""

    def call(x: Array, gamma: Array, beta: Array, *running: Array, **options: Any) -> tuple[Any, ...]:
        _, new, vjp = forward(x, gamma, beta, *running, **options)
        mu, v = running
        if options["training"] and x.size:
            blocks = to_blocks(x, "batch")
            mu, v = blocks.mean(1), blocks.var(1)
        a = gamma / np.sqrt(v + options["eps"])
        return per_channel(a, x.ndim) * x + per_channel(beta - a * mu, x.ndim), new, vjp

    return call


def _laid_out(arrange: Callable[[Array], Array]) -> Callable[[AnyForward], AnyForward]:
    """The same values in arrays of another memory layout."""

    def wrap(forward: AnyForward) -> AnyForward:
        def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
            y, *others, vjp = forward(*arrays, **options)

            def arranged(dy: Array) -> tuple[Array, ...]:
                dx, dgamma, dbeta = vjp(dy)
                return arrange(dx), arrange(dgamma), arrange(dbeta)

            return arrange(y), *others, arranged

        return call

    return wrap


def _every_second(a: Array) -> Array:
    return np.repeat(a, 2, axis=-1)[..., ::2]


def _recomputing(forward: AnyForward) -> AnyForward:
    def call(*arrays: Array, **options: Any) -> tuple[Any, ...]:
        *outputs, _ = forward(*arrays, **options)

        def recomputed(dy: Array) -> Any:
            return forward(*arrays, **options)[-1](dy)

        return *outputs, recomputed

    return call


def _by_transposing(_: AnyForward) -> AnyForward:
    """Batch norm of ``(C, N)``, over the last axis."""

    def call(x: Array, gamma: Array, beta: Array, *running: Array, **options: Any) -> tuple[Any, ...]:
        CORRECT.check(x, gamma, beta, *running, training=options["training"])
        a = np.ascontiguousarray(to_blocks(x, "batch"))
        training = options["training"] and x.size > 0
        mu, v = (a.mean(1), a.var(1)) if training else running
        m = options["momentum"] if training else 0.0
        new = tuple(recipe.moved(old, batch, m) for old, batch in zip(running, (mu, v), strict=True))
        inverse = (1 / np.sqrt(v + options["eps"]))[:, np.newaxis]
        x_hat = (a - mu[:, np.newaxis]) * inverse
        scale = gamma.copy()[:, np.newaxis]

        def vjp(dy: Array) -> tuple[Array, Array, Array]:
            d = to_blocks(dy, "batch")
            dgamma, dbeta = (d * x_hat).sum(1), d.sum(1)
            through = d
            if training:
                through = d - recipe.mean(d) - x_hat * recipe.mean(d * x_hat)
            return from_blocks(scale * inverse * through, x.shape, "batch"), dgamma, dbeta

        return from_blocks(scale * x_hat + beta[:, np.newaxis], x.shape, "batch"), new, vjp

    return call


def _through_batch_norm(norm: Norm) -> Callable[[AnyForward], AnyForward]:
    """Layer, group and instance norm as batch norm of one row whose channels are the blocks."""
    batch_norm = cast("AnyForward", forward_of())

    def wrap(_: AnyForward) -> AnyForward:
        def call(x: Array, gamma: Array, beta: Array, /, *, groups: int, eps: float) -> tuple[Any, ...]:
            CORRECT.check_grouped(x, gamma, beta, groups=groups)
            blocks = to_blocks(x, norm, groups)
            one, zero = np.ones(len(blocks), dtype=x.dtype), np.zeros(len(blocks), dtype=x.dtype)
            x_hat, _, inner = batch_norm(blocks[np.newaxis], one, zero, zero, one, training=True, eps=eps, momentum=0.0)
            x_hat = x_hat.reshape(x.shape)
            scale = per_channel(gamma.copy(), x.ndim)

            def vjp(dy: Array) -> tuple[Array, Array, Array]:
                dx, _, _ = inner((scale * dy).reshape(1, *blocks.shape))
                return dx.reshape(x.shape), channel_sum(dy * x_hat), channel_sum(dy)

            return scale * x_hat + per_channel(beta, x.ndim), vjp

        return call

    return wrap


def _wide_statistics(norm: Norm) -> Mutant:
    return variant(
        f"{norm}_statistics_in_float64",
        "sums in float64 and rounds once",
        norm=norm,
        mean=lambda x: _in_float64(x) / x.dtype.type(x.shape[1]),
        variance=lambda x, mu: np.square(x.astype(np.float64) - mu).mean(1, keepdims=True).astype(x.dtype),
        dx=_wide(recipe.dx),
        dgamma=_wide(recipe.dgamma),
        dbeta=_wide(recipe.dbeta),
    )


EQUIVALENT: tuple[Mutant, ...] = (
    _summing("sums_in_turn", "adds one element after another", _in_turn),
    _summing("sums_backwards", "adds from the last element to the first", _backwards),
    _summing("sums_in_pairs", "adds neighbours, then their sums", _in_pairs),
    _summing("sums_exactly", "adds with one rounding at the end (math.fsum)", _exactly),
    _wide_statistics("batch"),
    variant("variance_by_numpy", "np.var", variance=lambda x, _: x.var(1, keepdims=True)),
    variant("welford", "mean and variance online", mean=lambda x: _welford(x)[0], variance=lambda x, _: _welford(x)[1]),
    variant(
        "merged_halves",
        "mean and variance of halves, merged",
        mean=lambda x: _merged(x)[0],
        variance=lambda x, _: _merged(x)[1],
    ),
    variant("corrected_two_pass", "subtracts the squared mean of the deviations", variance=_corrected),
    variant("shifted_by_the_first", "variance of x - x[0] in one pass", variance=_shifted),
    variant("reciprocal_multiplied", "multiplies by 1 / sd", x_hat=_by_the_reciprocal),
    variant("inverse_sd_one_ulp_off", "1 / sd is one ulp too large", x_hat=_one_ulp_more),
    variant("moved_by_the_difference", "old + momentum (new - old)", move_mean=_towards, move_var=_towards),
    variant("backward_in_stages", "dx node by node, with the term that is zero", dx=_staged),
    variant("backward_by_dgamma_and_dbeta", "mean(g) is gamma dbeta / M", dx=_through_dgamma_and_dbeta),
    variant("gamma_in_the_inverse_sd", "gamma / sd is one factor", dx=_gamma_in_the_inverse_sd),
    variant("sums_by_products", "einsum, matrix product", dgamma=_dgamma_by_einsum, dbeta=_dbeta_by_matrix_product),
    wrapped("folded", "y = a x + b", _folded),
    wrapped("fortran_ordered", "y and dx in Fortran order", _laid_out(np.asfortranarray)),
    wrapped("strided_outputs", "outputs are views with gaps", _laid_out(_every_second)),
    wrapped("recomputed_in_the_vjp", "the vjp runs the forward again", _recomputing),
    wrapped("channels_first_inside", "works on (C, N) and returns transposed views", _by_transposing),
    Mutant(
        name="running_var_with_ddof_1",
        bug="keeps the variance with divisor M - 1, and declares it",
        make=lambda: forward_of(replace(CORRECT, kept_ddof=1)),
        ddof=1,
    ),
    wrapped("layer_by_batch_norm", "batch norm of rows as channels", _through_batch_norm("layer"), norm="layer"),
    wrapped("group_by_batch_norm", "batch norm of groups as channels", _through_batch_norm("group"), norm="group"),
    wrapped(
        "instance_by_batch_norm", "batch norm of every row's channels", _through_batch_norm("instance"), norm="instance"
    ),
    variant("layer_backward_in_stages", "dx node by node", norm="layer", dx=_staged),
    variant("rms_backward_in_stages", "dx node by node", norm="rms", dx=_staged),
    _wide_statistics("layer"),
    _wide_statistics("rms"),
    variant("group_by_the_reciprocal", "multiplies by 1 / sd", norm="group", x_hat=_by_the_reciprocal),
)
