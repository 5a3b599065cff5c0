"""Numeric derivatives of a kernel, with the noise of that very kernel measured beside them.

The loss is <dy, y>, taken per channel: ``phi[c] = sum of dy * y over channel c``. Three ideas carry
the file:

- **A known scale.** Along a unit direction q, the variance of x + t s q is a quadratic in t whose
  nearest complex zero is at |t| >= sqrt(M) (M elements per channel, s = sqrt(v + eps)), so a step
  that is a fixed fraction of sqrt(M) s is right for every shape and every scale of the data.
- **Sixth order.** Central differences at t, t/2 and t/4, extrapolated by Romberg's scheme; the last
  correction estimates the truncation error.
- **Measured noise.** The rounding noise of phi and of the backward is estimated from differences of
  seven values at a tiny spacing (J. Moré and S. Wild, "Estimating Computational Noise", SIAM J. Sci.
  Comput. 33, 2011), so that a verdict needs no hand-tuned tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bnbench.cases import count, per_channel
from bnbench.model import Array, Inputs, Kernel
from bnbench.tolerances import HONEST_NOISE, roundoff

Positions: TypeAlias = npt.NDArray[np.intp]
"""Flat indices over N and the spatial axes."""

LEVELS = 3
NOISE_OFFSETS = range(-3, 4)
ROMBERG_GAIN = math.sqrt(2) * math.sqrt((256 / 45) ** 2 + (40 / 45) ** 2 + (1 / 45) ** 2) / 2
"""Noise of the extrapolated derivative over (noise of phi / first step): 4.07, from Romberg's weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deviation:
    """How far a backward is from the derivative of its own forward, per channel.

    ``z = |error| / noise``; both have the unit of the derivative. Arrays are ``(channels,)``.
    """

    error: Array
    noise: Array

    @property
    def z(self) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            z = np.where(self.error == 0, 0.0, self.error / self.noise)
        return np.where(np.isnan(z), math.inf, z)


def channel_sum(a: Array) -> Array:
    """Sum over everything but the channels: ``(N, C, *spatial)`` to ``(C,)``."""
    total: Array = a.sum((0, *range(2, a.ndim)))
    return total


def channel_norm(a: Array) -> Array:
    """The 2-norm of each channel, ``(C,)``."""
    return np.sqrt(channel_sum(a**2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """The data's own scale, per channel: what makes a step right for it."""

    sd: Array
    """sqrt(v + eps) of what normalizes: the batch in train mode, the running variance in eval."""
    kappa: Array
    """max |x| / sd: how much relative rounding of x is amplified."""
    step: Array
    """First step along a unit direction, in the unit of x."""
    spacing: Array
    """Spacing at which only noise is left, in the unit of x."""


def scale_of(inputs: Inputs) -> Scale:
    """Steps for these inputs, from their dtype, mean and variance."""
    x = inputs.x.astype(np.float64)
    axes = (0, *range(2, x.ndim))
    variance = x.var(axes) if inputs.options.training else inputs.running_var.astype(np.float64)
    sd = np.sqrt(variance + inputs.options.eps)
    kappa = np.maximum(1.0, np.abs(x).max(axes) / sd)
    u = roundoff(inputs.x.dtype)
    step = math.sqrt(count(x.shape)) / 2 * np.minimum(0.5, (u * kappa) ** (1 / 7)) * sd
    tiny = 1e-5 if u < 1e-10 else 1e-3
    return Scale(sd=sd, kappa=kappa, step=step, spacing=np.maximum(tiny, 64 * u * kappa) * sd)


def channel_loss(kernel: Kernel, inputs: Inputs, dy: Array) -> Callable[[Array], Array]:
    """``x -> phi(x)``, shape ``(C,)``, accumulated in float64."""
    weight = dy.astype(np.float64)

    def phi(x: Array) -> Array:
        return channel_sum(weight * kernel(replace(inputs, x=x)).y)

    return phi


def romberg(estimates: list[Array]) -> tuple[Array, Array]:
    """Extrapolate estimates at steps t, t/2, t/4, ... with even error terms.

    Returns the best value and the size of the last correction.

    >>> derivative = lambda t: np.array([(math.exp(t) - math.exp(-t)) / (2 * t)])
    >>> value, truncation = romberg([derivative(0.4), derivative(0.2), derivative(0.1)])
    >>> bool(abs(value[0] - 1) < 2e-8 < truncation[0])
    True
    """
    row: list[Array] = []
    last = estimates[0]
    for estimate in estimates:
        previous, row = row, [estimate]
        for order, coarse in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarse) / (4**order - 1))
        last = row[-2] if len(row) > 1 else row[-1]
    return row[-1], np.abs(row[-1] - last)


def noise_level(values: Array) -> Array:
    """Standard deviation of the noise in equally spaced values, along the first axis (ECnoise).

    The k-th differences of smooth values vanish, those of noise grow by a known factor. The first
    order at which three estimates in a row agree within a factor of 4 is taken; where none does,
    the largest of the highest three.
    """
    estimates = []
    differences = values
    for k in range(1, len(values)):
        differences = differences[1:] - differences[:-1]
        estimates.append(np.sqrt((differences**2).mean(0) * math.factorial(k) ** 2 / math.factorial(2 * k)))
    sigma = np.array(estimates)
    result = sigma[-3:].max(0)
    for k in reversed(range(len(sigma) - 2)):
        window = sigma[k : k + 3]
        result = np.where(window.max(0) <= 4 * window.min(0), sigma[k], result)
    return np.asarray(result)


def directional_deviation(
    kernel: Kernel, inputs: Inputs, dy: Array, rng: np.random.Generator, *, directions: int = 3
) -> Deviation:
    """Is dx the derivative of <dy, y> along random directions? One verdict per channel.

    Costs ``13 directions`` forward evaluations whatever the shape: six for the Romberg differences
    and seven for the noise. The deviation with the largest z of all directions is returned.
    """
    phi = channel_loss(kernel, inputs, dy)
    scale = scale_of(inputs)
    rank = inputs.x.ndim
    dtype = inputs.x.dtype
    u = roundoff(dtype)
    base = kernel(inputs, dy)
    dx = base.gradients[0].dx.astype(np.float64)
    floor_forward = u / 4 * channel_norm(base.y.astype(np.float64) * dy)
    slope = np.abs(inputs.gamma.astype(np.float64)) / scale.sd
    ceiling = HONEST_NOISE * u * scale.kappa * slope * channel_norm(dy.astype(np.float64))
    errors, truncations, noises = [], [], []
    for _ in range(directions):
        q = rng.standard_normal(inputs.x.shape)
        q /= per_channel(channel_norm(q), rank)

        def moved(distance: Array, q: Array = q) -> Array:
            return (inputs.x + per_channel(distance, rank) * q).astype(dtype)

        estimates = []
        for level in range(LEVELS):
            step = scale.step / 2**level
            ahead, behind = moved(step), moved(-step)
            # The displacement that was realised after rounding, not the one that was asked for.
            change = channel_sum(dx * (ahead.astype(np.float64) - behind))
            estimates.append((phi(ahead) - phi(behind) - change) / (2 * step))
        error, truncation = romberg(estimates)

        points = [kernel(replace(inputs, x=moved(offset * scale.spacing)), dy) for offset in NOISE_OFFSETS]
        forward = noise_level(np.array([channel_sum(p.y * dy.astype(np.float64)) for p in points]))
        backward = noise_level(np.array([channel_sum(p.gradients[0].dx * q) for p in points]))
        forward = np.maximum(forward, floor_forward)
        backward = np.clip(backward, u / 4 * channel_norm(dx * q), ceiling)
        errors.append(np.abs(error))
        truncations.append(truncation)
        noises.append(np.hypot(ROMBERG_GAIN * forward / scale.step, backward))

    # Every direction meets the same noise: pooled, its estimate has three times the degrees of freedom.
    noise = np.array(truncations) + np.sqrt((np.array(noises) ** 2).mean(0))
    every = Deviation(error=np.array(errors), noise=noise)
    worst = np.argmax(every.z, axis=0)
    channels = np.arange(worst.size)
    return Deviation(error=every.error[worst, channels], noise=every.noise[worst, channels])


def sample_rows(shape: tuple[int, ...], rng: np.random.Generator, *, most: int) -> Positions:
    """Positions (flat indices over N and the spatial axes): all of them, or ``most`` with first and last."""
    total = count(shape)
    if total <= most:
        return np.arange(total)
    inner = rng.choice(np.arange(1, total - 1), most - 2, replace=False)
    return np.sort(np.concatenate([[0], inner, [total - 1]]))


def compressed_dx(kernel: Kernel, inputs: Inputs, dy: Array, positions: Positions) -> Array:
    """Numeric dx at these positions of every channel, ``(positions, C)``, float64.

    Channels are independent, so one position is moved in all channels at once: six evaluations per
    position (Curtis, Powell and Reid, "On the estimation of sparse Jacobian matrices", 1974).
    """
    phi = channel_loss(kernel, inputs, dy)
    step = scale_of(inputs).step
    rows = np.moveaxis(inputs.x, 1, -1)
    where = np.unravel_index(positions, rows.shape[:-1])

    numeric = []
    for position in zip(*where, strict=True):
        estimates = []
        for level in range(LEVELS):
            values = []
            places = []
            for sign in (1, -1):
                moved = inputs.x.copy()
                row = np.moveaxis(moved, 1, -1)[position]
                row += (sign * step / 2**level).astype(row.dtype)
                places.append(row.astype(np.float64))
                values.append(phi(moved))
            estimates.append((values[0] - values[1]) / (places[0] - places[1]))
        numeric.append(romberg(estimates)[0])
    return np.array(numeric)


def parameter_deviation(kernel: Kernel, inputs: Inputs, dy: Array, name: str) -> tuple[Deviation, Array]:
    """The deviation of dgamma or dbeta (``name``: "gamma" or "beta"), and the numeric derivative ``(C,)``.

    y is affine in both, so a single step of 1 gives the exact derivative of every channel at once.
    Its noise is measured by moving x a tiny bit.
    """
    scale = scale_of(inputs)
    rank = inputs.x.ndim
    u = roundoff(inputs.x.dtype)
    weight = dy.astype(np.float64)
    parameter = getattr(inputs, name)
    moved = replace(inputs, **{name: parameter + parameter.dtype.type(1)})
    realised = getattr(moved, name).astype(np.float64) - parameter

    # Both points move along x together: what does not vanish in differences is the noise.
    q = weight / per_channel(np.maximum(channel_norm(weight), np.finfo(np.float64).tiny), rank)
    slopes, sums = [], []
    for offset in NOISE_OFFSETS:
        x = (inputs.x + per_channel(offset * scale.spacing, rank) * q).astype(inputs.x.dtype)
        there, here = kernel(replace(moved, x=x)), kernel(replace(inputs, x=x), dy)
        slopes.append(channel_sum(weight * (there.y.astype(np.float64) - here.y)) / realised)
        sums.append(getattr(here.gradients[0], f"d{name}").astype(np.float64))
    there, here = kernel(moved), kernel(inputs, dy)
    slope = (there.y.astype(np.float64) - here.y) / per_channel(realised, rank)
    numeric = channel_sum(weight * slope)
    got = getattr(here.gradients[0], f"d{name}").astype(np.float64)

    # The rounding of a sum that does not depend on x (dbeta) can't be seen by moving x: a naive sum
    # of M terms is off by about u sqrt(M) / 4 times their norm.
    forward_floor = u / 4 * (channel_norm(weight * there.y) + channel_norm(weight * here.y)) / np.abs(realised)
    root = math.sqrt(count(inputs.x.shape))
    backward_floor = u / 4 * root * channel_norm(weight * slope)
    ceiling = HONEST_NOISE * u * scale.kappa * root * channel_norm(weight)
    forward = np.maximum(noise_level(np.array(slopes)), forward_floor)
    backward = np.clip(noise_level(np.array(sums)), backward_floor, ceiling)
    return Deviation(error=np.abs(got - numeric), noise=np.hypot(forward, backward)), numeric
