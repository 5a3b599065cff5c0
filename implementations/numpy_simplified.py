"""Batch normalization in NumPy with the backward pass in closed form.

The local gradients of the staged graph collapse into one expression (see ``bnbench explain
BN301`` for the derivation)::

    dx = gamma / sd * (dy - mean(dy) - x_hat * mean(dy * x_hat))

Eval normalizes with the running statistics, which do not depend on x: dx = gamma / sd * dy.

In NumPy every pass over an array takes longer than its arithmetic, so there are few: x is moved once, to
d = x - k, and only d is kept. k is near the mean, not the mean, which would take a pass of its own; since
x_hat = (d - mean(d)) / sd, what is missing goes into factors and terms per channel, which cost next to nothing.
"""

from __future__ import annotations

import math

import numpy as np

from bnbench import Array, Capabilities, Forward, Implementation, Vjp, check_arguments

ROWS = 512
"""So many rows are added up in the type of x, their sums in double: else the rounding errors would pile up."""


def channel_sum(a: Array, b: Array | None = None) -> Array:
    """Add up ``a``, or the products ``a b``, over all but the channels: ``(N, C, L)`` to ``(C,)``, in one pass."""
    if a.shape[2] != 1:
        planes = (
            a @ np.ones(a.shape[2], a.dtype) if b is None else (a[:, :, np.newaxis] @ b[..., np.newaxis])[..., 0, 0]
        )
        return _sum_in_double(planes)
    blocks = [slice(start, start + ROWS) for start in range(0, len(a) or 1, ROWS)]
    if b is None:
        sums = [np.ones(len(a[block]), a.dtype) @ a[block, :, 0] for block in blocks]
    else:
        sums = [np.einsum("nc,nc->c", a[block, :, 0], b[block, :, 0]) for block in blocks]
    return sums[0] if len(sums) == 1 else _sum_in_double(np.array(sums))


def _sum_in_double(parts: Array) -> Array:
    total: Array = parts.sum(0, dtype=np.float64).astype(parts.dtype)
    return total


def middle(a: Array, b: Array, c: Array) -> Array:
    """The median of three: of these, at least, it is no outlier."""
    median: Array = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return median


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
    """Normalize ``x`` ``(N, C, *spatial)`` per channel; return y, running statistics and vjp."""
    check_arguments(x, gamma, beta, running_mean, running_var, training=training)
    training = training and x.size > 0  # an empty batch has no statistics
    shape = x.shape
    x = x.reshape(*shape[:2], math.prod(shape[2:]))
    count = x.shape[0] * x.shape[2]

    k, mean_d, var = running_mean, np.zeros_like(running_mean), running_var
    if training:
        k = middle(x[0, :, 0], x[x.shape[0] // 2, :, x.shape[2] // 2], x[-1, :, -1])
    d = x - k[:, np.newaxis]
    if training:
        mean_d = channel_sum(d) / count
        var = np.maximum(channel_sum(d, d) / count - mean_d * mean_d, 0)
        running_mean = (1 - momentum) * running_mean + momentum * (k + mean_d)
        running_var = (1 - momentum) * running_var + momentum * var

    inverse_sd = 1 / np.sqrt(var + eps)
    slope = gamma * inverse_sd
    y = d * slope[:, np.newaxis]
    y += (beta - slope * mean_d)[:, np.newaxis]

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        dy = dy.reshape(x.shape)
        dbeta = channel_sum(dy)
        dgamma = inverse_sd * (channel_sum(dy, d) - mean_d * dbeta)
        if training:
            # mean(dy) + x_hat mean(dy x_hat), and then the rest in place: fresh memory costs more than arithmetic.
            factor = inverse_sd * dgamma / count
            dx = d * factor[:, np.newaxis]
            dx += (dbeta / count - factor * mean_d)[:, np.newaxis]
            np.subtract(dy, dx, out=dx)
            dx *= slope[:, np.newaxis]
        else:
            dx = dy * slope[:, np.newaxis]
        return dx.reshape(shape), dgamma, dbeta

    return y.reshape(shape), (running_mean.copy(), running_var.copy()), vjp


def load() -> Forward:
    return forward


implementation = Implementation(
    name="numpy_simplified",
    load=load,
    summary="NumPy, backward in closed form",
    capabilities=Capabilities(running_var_ddof=0),
)
