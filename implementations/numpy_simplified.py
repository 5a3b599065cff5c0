"""Batch normalization in NumPy with the backward pass in closed form.

The local gradients of the staged graph collapse into one expression (see ``bnbench explain
BN301`` for the derivation)::

    dx = gamma / sd * (dy - mean(dy) - x_hat * mean(dy * x_hat))

Eval normalizes with the running statistics, which do not depend on x: dx = gamma / sd * dy.
"""

from __future__ import annotations

import numpy as np

from bnbench import Array, Capabilities, Forward, Implementation, Vjp, check_arguments


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
    axes = (0, *range(2, x.ndim))
    count = x.size // x.shape[1]

    def per_channel(a: Array) -> Array:
        return a.reshape((-1,) + (1,) * (x.ndim - 2))

    def mean(a: Array) -> Array:
        # NumPy adds rows one after another: in float32 the rounding errors of many rows would pile up.
        average: Array = a.mean(axes, dtype=np.float64).astype(a.dtype)
        return average

    mu, var = running_mean, running_var
    if training:
        mu = mean(x)
    xc = x - per_channel(mu)
    if training:
        var = mean(xc * xc)
        running_mean = (1 - momentum) * running_mean + momentum * mu
        running_var = (1 - momentum) * running_var + momentum * var

    inverse_sd = 1 / np.sqrt(var + eps)
    slope = gamma * inverse_sd
    x_hat = xc
    x_hat *= per_channel(inverse_sd)  # in place: fresh memory costs more than the arithmetic
    y = x_hat * per_channel(gamma)
    y += per_channel(beta)

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        dbeta = dy.sum(axes)
        dgamma = (dy * x_hat).sum(axes)
        if training:
            dx = dy - per_channel(dbeta / count)
            dx -= x_hat * per_channel(dgamma / count)
            dx *= per_channel(slope)
        else:
            dx = dy * per_channel(slope)
        return dx, dgamma, dbeta

    return y, (running_mean.copy(), running_var.copy()), vjp


def load() -> Forward:
    return forward


implementation = Implementation(
    name="numpy_simplified",
    load=load,
    summary="NumPy, backward in closed form",
    capabilities=Capabilities(running_var_ddof=0),
)
