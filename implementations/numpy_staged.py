"""Batch normalization as a computation graph of nine nodes.

    mu = mean(x)                    (1)     inverse_sd = 1 / sd           (6)
    xc = x - mu                     (2)     x_hat = xc * inverse_sd       (7)
    sq = xc^2                       (3)     scaled = x_hat * gamma        (8)
    var = mean(sq)                  (4)     y = scaled + beta             (9)
    sd = sqrt(var + eps)            (5)

An operation returns its value and its local vjp: the gradient with respect to its value in, the
gradients with respect to its arguments out. The backward pass of the whole is then the same for
every graph: walk the nodes in reverse, and add up what arrives at a quantity along several paths.

Quantities per element are ``(N, C, *spatial)``. Quantities per channel are ``(1, C, 1, ...)``, so
that they broadcast. M is the number of elements that share a channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from bnbench import Array, Capabilities, Forward, Implementation, Vjp, check_arguments

LocalVjp: TypeAlias = Callable[[Array], tuple[Array, ...]]


def channel_sum(a: Array) -> Array:
    """Sum over everything but the channels. Where a value was broadcast, its gradient is summed."""
    total: Array = a.sum((0, *range(2, a.ndim)), keepdims=True)
    return total


def mean(a: Array) -> tuple[Array, LocalVjp]:
    """mu_c = 1/M sum_m a_mc, hence d mu_c / d a_mc = 1/M: all elements get the same share."""
    axes = (0, *range(2, a.ndim))
    count = a.size // a.shape[1]
    # NumPy adds rows one after another: in float32 the rounding errors of many rows would pile up.
    mu: Array = a.mean(axes, dtype=np.float64, keepdims=True).astype(a.dtype)

    def vjp(dmu: Array) -> tuple[Array]:
        return (np.broadcast_to(dmu / count, a.shape),)

    return mu, vjp


def centre(x: Array, mu: Array) -> tuple[Array, LocalVjp]:
    """xc = x - mu: d xc / d x = 1 and d xc / d mu = -1, for all the elements mu was taken from."""

    def vjp(dxc: Array) -> tuple[Array, Array]:
        return dxc, -channel_sum(dxc)

    return x - mu, vjp


def square(xc: Array) -> tuple[Array, LocalVjp]:
    """sq = xc^2: d sq / d xc = 2 xc."""

    def vjp(dsq: Array) -> tuple[Array]:
        return (2 * xc * dsq,)

    return xc * xc, vjp


def root(var: Array, eps: Array) -> tuple[Array, LocalVjp]:
    """sd = (var + eps)^(1/2): d sd / d var = 1/2 (var + eps)^(-1/2) = 1 / (2 sd); the same for eps."""
    sd = np.sqrt(var + eps)

    def vjp(dsd: Array) -> tuple[Array, Array]:
        dvar = dsd / (2 * sd)
        return dvar, dvar.sum()

    return sd, vjp


def reciprocal(sd: Array) -> tuple[Array, LocalVjp]:
    """inverse_sd = sd^(-1): d inverse_sd / d sd = -sd^(-2) = -inverse_sd^2."""
    inverse_sd = 1 / sd

    def vjp(dinverse_sd: Array) -> tuple[Array]:
        return (-inverse_sd * inverse_sd * dinverse_sd,)

    return inverse_sd, vjp


def scale(a: Array, factor: Array) -> tuple[Array, LocalVjp]:
    """scaled = a factor: d scaled / d a = factor, d scaled / d factor = a, one factor for a channel."""

    def vjp(dscaled: Array) -> tuple[Array, Array]:
        return dscaled * factor, channel_sum(dscaled * a)

    return a * factor, vjp


def shift(a: Array, offset: Array) -> tuple[Array, LocalVjp]:
    """y = a + offset: d y / d a = 1, d y / d offset = 1, one offset for a channel."""

    def vjp(dy: Array) -> tuple[Array, Array]:
        return dy, channel_sum(dy)

    return a + offset, vjp


class Node(NamedTuple):
    """``name = operation(*arguments)``; an argument is an input or an earlier node."""

    name: str
    operation: Callable[..., tuple[Array, LocalVjp]]
    arguments: tuple[str, ...]


GRAPH: tuple[Node, ...] = (
    Node("mu", mean, ("x",)),
    Node("xc", centre, ("x", "mu")),
    Node("sq", square, ("xc",)),
    Node("var", mean, ("sq",)),
    Node("sd", root, ("var", "eps")),
    Node("inverse_sd", reciprocal, ("sd",)),
    Node("x_hat", scale, ("xc", "inverse_sd")),
    Node("scaled", scale, ("x_hat", "gamma")),
    Node("y", shift, ("scaled", "beta")),
)
STATISTICS = ("mu", "sq", "var")
"""The nodes that describe the batch. Eval is given mu and var instead: constants of the graph."""


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
    channels = (1, -1) + (1,) * (x.ndim - 2)

    values = {
        "x": x,
        "gamma": gamma.copy().reshape(channels),  # an optimizer may update gamma before it calls vjp again
        "beta": beta.reshape(channels),
        "eps": np.asarray(eps, x.dtype),
    }
    nodes = GRAPH
    if not training:
        nodes = tuple(node for node in GRAPH if node.name not in STATISTICS)
        values |= {"mu": running_mean.reshape(channels), "var": running_var.reshape(channels)}

    local_vjps = {}
    for name, operation, arguments in nodes:
        values[name], local_vjps[name] = operation(*(values[argument] for argument in arguments))

    if training:
        running_mean = (1 - momentum) * running_mean + momentum * values["mu"].ravel()
        running_var = (1 - momentum) * running_var + momentum * values["var"].ravel()

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        gradients = {"y": dy}
        for name, _, arguments in reversed(nodes):
            # Every use of this quantity stands later in the graph, so its gradient is complete.
            for argument, gradient in zip(arguments, local_vjps[name](gradients.pop(name)), strict=True):
                # x, and xc: two uses, two paths to y, and the gradients along them add up.
                gradients[argument] = gradients[argument] + gradient if argument in gradients else gradient
        return gradients["x"], gradients["gamma"].ravel(), gradients["beta"].ravel()

    return values["y"], (running_mean.copy(), running_var.copy()), vjp


def load() -> Forward:
    return forward


implementation = Implementation(
    name="numpy_staged",
    load=load,
    summary="NumPy, backward through a graph of nine operations",
    capabilities=Capabilities(running_var_ddof=0),
)
