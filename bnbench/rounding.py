"""What one rounding is worth, for every output: the unit in which an honest evaluation errs.

The units follow the size of the *terms* that are added, never the size of the sum: with two elements
per block, or a variance far above eps, dx is a small difference of large terms. Everything is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnbench.blocks import channel_sum, from_blocks, per_channel, spread, to_blocks
from bnbench.model import Array, Inputs
from bnbench.reference import statistics
from bnbench.tolerances import roundoff


@dataclass(frozen=True, kw_only=True, slots=True)
class Standardized:
    """What a norm makes of x before gamma and beta: ``x_hat`` is ``(B, M)``, the others ``(B, 1)``."""

    x_hat: Array
    sd: Array
    """s = sqrt(v + eps) of what normalizes."""
    kappa: Array
    """max |x| / s, at least 1: how much relative rounding of x is amplified."""
    constants: bool
    """Eval mode of batch norm: mean and variance do not depend on x."""


def standardized(inputs: Inputs) -> Standardized:
    """x_hat and its scale, in float64, at the (rounded) inputs."""
    options = inputs.options
    x = to_blocks(inputs.x.astype(np.float64), options.norm, options.groups)
    constants = options.norm == "batch" and not options.training
    mean: Array
    variance: Array
    if constants:
        mean, variance = (a.astype(np.float64)[:, np.newaxis] for a in (inputs.running_mean, inputs.running_var))
    elif options.norm == "rms":
        mean, variance = np.zeros((len(x), 1)), (x**2).mean(1, keepdims=True)
    else:
        mean, variance = statistics(x)
    sd = np.sqrt(variance + options.eps)
    size = np.maximum(np.abs(x).max(1, keepdims=True), np.abs(mean))
    x_hat = (x - mean) / sd
    if not constants and options.norm != "rms":
        x_hat = x_hat - x_hat.mean(1, keepdims=True)  # what rounding of the mean itself left behind
    return Standardized(x_hat=x_hat, sd=sd, kappa=np.maximum(1.0, size / sd), constants=constants)


def dx_unit(at: Standardized, g: Array, u: float, *, growth: float = 1.0) -> Array:
    """One rounding unit of dx in blocks, for g = gamma dy in blocks and the unit roundoff ``u``.

    dx s = g - mean(g) - x_hat mean(g x_hat): every term is rounded relative to itself, every mean
    relative to the mean of absolute values, and x_hat is off by u kappa as a whole, because mu is. What
    comes of sums is taken ``growth`` times, for those who ask of long sums.
    """
    terms = np.abs(g)
    if not at.constants:
        x_hat, gx = np.abs(at.x_hat), g * at.x_hat
        means = _mean(np.abs(g)) + x_hat * _mean(np.abs(gx))
        shift = at.kappa * (x_hat * np.abs(_mean(g)) + np.abs(_mean(gx)))
        terms = terms + growth * (means + shift)
    return np.asarray(u * terms / at.sd)


def output_units(inputs: Inputs, dy: Array) -> dict[str, Array]:
    """One rounding unit of y and dx (shaped as x) and of dgamma and dbeta, ``(C,)``.

    y = gamma x_hat + beta carries kappa whole; dgamma = sum(dy x_hat) carries it with the random signs
    of dy, as kappa times a 2-norm; dbeta = sum(dy) not at all.
    """
    options, shape, rank = inputs.options, inputs.x.shape, inputs.x.ndim
    at, u = standardized(inputs), roundoff(inputs.x.dtype)
    gamma, beta = (per_channel(a.astype(np.float64), rank) for a in (inputs.gamma, inputs.beta))
    weight = dy.astype(np.float64)
    x_hat = from_blocks(at.x_hat, shape, options.norm)
    kappa = spread(at.kappa[:, 0], shape, options.norm)
    size = np.abs(weight * x_hat)
    dx = dx_unit(at, to_blocks(gamma * weight, options.norm, options.groups), u)
    return {
        "y": u * (np.abs(gamma) * (np.abs(x_hat) + kappa) + np.abs(beta)),
        "dx": from_blocks(dx, shape, options.norm),
        "dgamma": u * (channel_sum(size) + np.sqrt(channel_sum((kappa * weight) ** 2))),
        "dbeta": u * channel_sum(np.abs(weight)),
    }


def _mean(a: Array) -> Array:
    return np.asarray(a.mean(1, keepdims=True))
