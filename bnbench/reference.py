"""Normalization as the papers state it: float64, one line per formula, unoptimized.

Batch norm: Ioffe and Szegedy, arXiv:1502.03167, algorithm 1 (train), section 3 collected into closed
form (backward), algorithm 2 with running averages (eval). Layer norm: Ba, Kiros and Hinton,
arXiv:1607.06450, equation 4. Group and instance norm: Wu and He, arXiv:1803.08494, equations 1 to 6.
RMS norm: Zhang and Sennrich, arXiv:1910.07467, equation 4.
"""

from __future__ import annotations

import numpy as np

from bnbench.blocks import channel_sum, from_blocks, per_channel, to_blocks
from bnbench.model import Array, Gradients, Inputs, Outputs


def statistics(blocks: Array) -> tuple[Array, Array]:
    """Mean and variance (divisor M) of every block, ``(B, 1)``, by the corrected two-pass algorithm.

    Chan, Golub and LeVeque, "Algorithms for computing the sample variance" (1983), equation 1.7:
    subtracting the squared mean of deviations removes what rounding of the mean left behind.
    """
    mean = blocks.mean(1, keepdims=True)
    deviation = blocks - mean
    correction = deviation.mean(1, keepdims=True)
    return mean + correction, (deviation**2).mean(1, keepdims=True) - correction**2


def normalize(inputs: Inputs, /, *dys: Array, running_var_ddof: int = 0) -> Outputs:
    """Normalize ``inputs`` and pull every cotangent back, in float64 whatever the inputs' dtype.

    With M elements per block, and per-channel gamma and beta::

        mu = mean(x)    v = mean((x - mu)^2)    x_hat = (x - mu) / sqrt(v + eps)
        y = gamma x_hat + beta
        dbeta = sum(dy)     dgamma = sum(dy x_hat)      over a channel
        dx = (g - mean(g) - x_hat mean(g x_hat)) / sqrt(v + eps)     with g = gamma dy, over a block

    RMS norm has no mu, and neither the term mean(g). In eval mode of batch norm mu and v are the
    running statistics, constants of the derivative, so that dx = g / sqrt(v + eps). A train step
    moves the running statistics by momentum towards mu and v M / (M - running_var_ddof).
    """
    options = inputs.options
    norm, shape, rank = options.norm, inputs.x.shape, inputs.x.ndim
    blocks = to_blocks(inputs.x.astype(np.float64), norm, options.groups)
    gamma, beta, running_mean, running_var = (
        a.astype(np.float64) for a in (inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var)
    )

    mean: Array
    variance: Array
    constants = norm == "batch" and not options.training
    if constants:
        mean, variance = running_mean[:, np.newaxis], running_var[:, np.newaxis]
    elif norm == "rms":
        mean, variance = np.zeros((len(blocks), 1)), (blocks**2).mean(1, keepdims=True)
    else:
        mean, variance = statistics(blocks)
    if norm == "batch" and options.training:
        elements = blocks.shape[1]
        kept = variance * (elements / (elements - running_var_ddof))
        running_mean = (1 - options.momentum) * running_mean + options.momentum * mean.ravel()
        running_var = (1 - options.momentum) * running_var + options.momentum * kept.ravel()

    sd = np.sqrt(variance + options.eps)
    x_hat = (blocks - mean) / sd
    wide_x_hat = from_blocks(x_hat, shape, norm)

    def vjp(dy: Array) -> Gradients:
        dy = dy.astype(np.float64)
        g = to_blocks(per_channel(gamma, rank) * dy, norm, options.groups)
        through = g
        if not constants:
            through = through - x_hat * (g * x_hat).mean(1, keepdims=True)
            if norm != "rms":
                through = through - g.mean(1, keepdims=True)
        return Gradients(from_blocks(through / sd, shape, norm), channel_sum(dy * wide_x_hat), channel_sum(dy))

    return Outputs(
        y=per_channel(gamma, rank) * wide_x_hat + per_channel(beta, rank),
        running_mean=running_mean,
        running_var=running_var,
        gradients=tuple(vjp(dy) for dy in dys),
    )
