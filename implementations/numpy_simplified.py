"""Batch normalization in NumPy with the backward pass in closed form.

The nine local gradients of the staged graph collapse into one expression (see ``bnbench explain
BN301`` for the derivation)::

    dx = gamma / sd * (dy - mean(dy) - x_hat * mean(dy * x_hat))
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
    channels = (-1,) + (1,) * (x.ndim - 2)
    axes = (0, *range(2, x.ndim))
    count = x.size // x.shape[1]

    mean, variance = running_mean, running_var
    if training:
        mean = x.mean(axes)
        variance = ((x - mean.reshape(channels)) ** 2).mean(axes)
        running_mean = (1 - momentum) * running_mean + momentum * mean
        running_var = (1 - momentum) * running_var + momentum * variance

    inverse_sd = 1 / np.sqrt(variance + eps)
    x_hat = (x - mean.reshape(channels)) * inverse_sd.reshape(channels)
    y = gamma.reshape(channels) * x_hat + beta.reshape(channels)

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        dbeta = dy.sum(axes)
        dgamma = (dy * x_hat).sum(axes)
        dx = dy
        if training:
            dx = dy - (dbeta / count).reshape(channels) - x_hat * (dgamma / count).reshape(channels)
        return dx * (gamma * inverse_sd).reshape(channels), dgamma, dbeta

    return y, (running_mean.copy(), running_var.copy()), vjp


def load() -> Forward:
    return forward


implementation = Implementation(
    name="numpy_simplified",
    load=load,
    summary="NumPy, backward in closed form",
    capabilities=Capabilities(running_var_ddof=0),
)
