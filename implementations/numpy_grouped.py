"""Layer, group, instance and RMS norm in NumPy, backward in closed form.

Every row of x falls into G blocks of consecutive channels, and each block is normalized by itself.
Layer norm is group norm with G = 1, instance norm with G = C (Wu and He, arXiv:1803.08494, section
3.1): one function serves the three. With g = gamma dy and means over a block::

    dx = (g - mean(g) - x_hat mean(g x_hat)) / sd

RMS norm (Zhang and Sennrich, arXiv:1910.07467) subtracts no mean, so that mean(g) is missing too.
"""

from __future__ import annotations

import math

import numpy as np

from bnbench import Array, Capabilities, Implementation, Vjp, check_grouped_arguments


def group_norm(x: Array, gamma: Array, beta: Array, /, *, groups: int, eps: float) -> tuple[Array, Vjp]:
    """Normalize every group of channels of every row of ``x`` ``(N, C, *spatial)``; return y and vjp."""
    check_grouped_arguments(x, gamma, beta, groups=groups)
    blocks = _in_blocks(x, groups)
    # The mean stays in float64 until it is subtracted: rounded, it would be off by mean / sd roundings.
    centred = (blocks - _mean(blocks)).astype(x.dtype)
    inverse_sd = _inverse_root(_mean(centred * centred), eps, like=x)
    x_hat = (centred * inverse_sd).reshape(x.shape)
    gamma, beta = _per_channel(gamma, x.ndim), _per_channel(beta, x.ndim)

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        g, h = _in_blocks(gamma * dy, groups), _in_blocks(x_hat, groups)
        dx = g - g.mean(1, keepdims=True)
        dx -= h * (g * h).mean(1, keepdims=True)
        dx *= inverse_sd
        return dx.reshape(x_hat.shape), _channel_sum(dy * x_hat), _channel_sum(dy)

    return gamma * x_hat + beta, vjp


def rms_norm(x: Array, gamma: Array, beta: Array, /, *, groups: int, eps: float) -> tuple[Array, Vjp]:
    """Divide every row of ``x`` ``(N, C, *spatial)`` by its root mean square; return y and vjp."""
    check_grouped_arguments(x, gamma, beta, groups=groups)
    blocks = _in_blocks(x, groups)
    inverse_rms = _inverse_root(_mean(blocks * blocks), eps, like=x)
    x_hat = (blocks * inverse_rms).reshape(x.shape)
    gamma, beta = _per_channel(gamma, x.ndim), _per_channel(beta, x.ndim)

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        g, h = _in_blocks(gamma * dy, groups), _in_blocks(x_hat, groups)
        dx = g - h * (g * h).mean(1, keepdims=True)
        dx *= inverse_rms
        return dx.reshape(x_hat.shape), _channel_sum(dy * x_hat), _channel_sum(dy)

    return gamma * x_hat + beta, vjp


def _in_blocks(a: Array, groups: int) -> Array:
    """``(N, C, *spatial)`` as ``(N G, M)``, one block a row."""
    return a.reshape(a.shape[0] * groups, math.prod(a.shape[1:]) // groups)


def _mean(blocks: Array) -> Array:
    """The mean of every block in float64, ``(N G, 1)``."""
    average: Array = blocks.mean(1, dtype=np.float64, keepdims=True)
    return average


def _inverse_root(mean_square: Array, eps: float, *, like: Array) -> Array:
    inverse: Array = (1 / np.sqrt(mean_square + eps)).astype(like.dtype)
    return inverse


def _per_channel(a: Array, rank: int) -> Array:
    """A copy of ``(C,)`` as ``(C, 1, ...)``: an optimizer may update gamma before it calls vjp."""
    return a.copy().reshape((-1,) + (1,) * (rank - 2))


def _channel_sum(a: Array) -> Array:
    total: Array = a.sum((0, *range(2, a.ndim)))
    return total


implementations = (
    Implementation(
        name="numpy_layer_norm",
        load=lambda: group_norm,
        summary="NumPy, group norm with one group",
        capabilities=Capabilities(norm="layer"),
    ),
    Implementation(
        name="numpy_group_norm",
        load=lambda: group_norm,
        summary="NumPy, backward in closed form",
        capabilities=Capabilities(norm="group"),
    ),
    Implementation(
        name="numpy_instance_norm",
        load=lambda: group_norm,
        summary="NumPy, group norm with a group per channel",
        capabilities=Capabilities(norm="instance"),
    ),
    Implementation(
        name="numpy_rms_norm",
        load=lambda: rms_norm,
        summary="NumPy, backward in closed form",
        capabilities=Capabilities(norm="rms"),
    ),
)
