"""Batch normalization as the paper states it: float64, one line per formula, unoptimized.

Ioffe and Szegedy, "Batch Normalization", arXiv:1502.03167: algorithm 1 (train), the chain rule of
section 3 collected into closed form (backward), and algorithm 2 with running averages (eval).
"""

from __future__ import annotations

import numpy as np

from bnbench.model import Array, Gradients, Inputs, Outputs


def _statistics(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and variance (divisor M) of every channel, by the corrected two-pass algorithm.

    Chan, Golub and LeVeque, "Algorithms for computing the sample variance" (1983), equation 1.7:
    subtracting the squared sum of deviations removes what rounding of the mean left behind.
    """
    count = x.size // x.shape[1]
    mean = x.mean(axes, keepdims=True)
    deviation = x - mean
    correction = deviation.mean(axes, keepdims=True)
    variance = (deviation**2).sum(axes, keepdims=True) / count - correction**2
    return mean + correction, variance


def batch_norm(inputs: Inputs, /, *dys: Array, running_var_ddof: int = 0) -> Outputs:
    """Normalize ``inputs`` and pull every cotangent back, in float64 whatever the inputs' dtype.

    Train, with M elements per channel (algorithm 1 and section 3 of the paper)::

        mu = mean(x)    v = mean((x - mu)^2)    x_hat = (x - mu) / sqrt(v + eps)
        y = gamma x_hat + beta
        dbeta = sum(dy)     dgamma = sum(dy x_hat)
        dx = gamma / sqrt(v + eps) (dy - mean(dy) - x_hat mean(dy x_hat))

    Eval: mu and v are the running statistics, constants of the derivative, so that
    dx = gamma / sqrt(v + eps) dy. A train step moves the running statistics by momentum towards
    mu and v M / (M - running_var_ddof).
    """
    x = inputs.x.astype(np.float64)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    axes = (0, *range(2, x.ndim))
    gamma, beta, running_mean, running_var = (
        a.astype(np.float64).reshape(shape)
        for a in (inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var)
    )
    count = x.size // x.shape[1]
    options = inputs.options

    if options.training:
        mean, variance = _statistics(x, axes)
        kept = variance * (count / (count - running_var_ddof))
        running_mean = (1 - options.momentum) * running_mean + options.momentum * mean
        running_var = (1 - options.momentum) * running_var + options.momentum * kept
    else:
        mean, variance = running_mean, running_var

    sd = np.sqrt(variance + options.eps)
    x_hat = (x - mean) / sd

    def vjp(dy: Array) -> Gradients:
        dy = dy.astype(np.float64)
        dx = dy
        if options.training:
            dx = dy - dy.mean(axes, keepdims=True) - x_hat * (dy * x_hat).mean(axes, keepdims=True)
        return Gradients(gamma / sd * dx, (dy * x_hat).sum(axes), dy.sum(axes))

    return Outputs(
        y=gamma * x_hat + beta,
        running_mean=running_mean.ravel(),
        running_var=running_var.ravel(),
        gradients=tuple(vjp(dy) for dy in dys),
    )
