"""Numeric derivatives of a kernel, with the noise of that very kernel measured beside them.

The loss is <dy, y>, taken per block: ``phi[b] = sum of dy * y over block b``. Everything here has the
shape ``(P, B, L)`` of :func:`bnbench.blocks.panels`. Three ideas carry the file:

- **A known scale.** Along a unit direction q, the variance of x + t s q is a quadratic in t whose
  nearest complex zero is at |t| >= sqrt(M) (M elements per block, s = sqrt(v + eps)), so a step that
  is a fixed fraction of sqrt(M) s is right for every shape and every scale of the data.
- **Sixth order.** Central differences at t, t/2 and t/4, extrapolated by Romberg's scheme; the last
  correction estimates the truncation error.
- **Measured noise.** The rounding noise of phi and of the backward is estimated from differences of
  seven values at a tiny spacing (J. Moré and S. Wild, "Estimating Computational Noise", SIAM J. Sci.
  Comput. 33, 2011), so that a verdict needs no hand-tuned tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bnbench.blocks import channel_sum, panels, per_channel, spread
from bnbench.extrapolation import LEVELS, NOISE_OFFSETS, ROMBERG_GAIN, noise_level, romberg
from bnbench.kernels import Point, outputs_at
from bnbench.model import Array, Inputs, Kernel, Outputs
from bnbench.tolerances import HONEST_NOISE, roundoff

Positions: TypeAlias = npt.NDArray[np.intp]
"""Indices of elements within a block, 0 to M - 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deviation:
    """How far a backward is from the derivative of its own forward.

    ``z = |error| / noise``; both have the unit of the derivative and one value for each block, or for
    each channel where gamma and beta are concerned.
    """

    error: Array
    noise: Array

    @property
    def z(self) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            z = np.where(self.error == 0, 0.0, self.error / self.noise)
        return np.where(np.isnan(z), math.inf, z)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """The data's own scale, for each block: what makes a step right for it."""

    sd: Array
    """sqrt(v + eps) of what normalizes: the block's own, or in eval mode the running variance."""
    kappa: Array
    """max |x| / sd: how much relative rounding of x is amplified."""
    step: Array
    """First step along a unit direction, in the unit of x."""
    spacing: Array
    """Spacing at which only noise is left, in the unit of x."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocked:
    """Inputs and cotangent as :func:`bnbench.blocks.panels` ``(P, B, L)``, and the way back to the kernel."""

    inputs: Inputs
    x: Array
    """float64"""
    dy: Array
    """Weights of the loss, float64."""

    def panels(self, a: Array) -> Array:
        """An array shaped as x, in panels of float64."""
        return panels(a.astype(np.float64, copy=False), self.inputs.options.norm, self.inputs.options.groups)

    def moved(self, distance: Array, direction: Array) -> Array:
        """x moved by a distance for each block, ``(B,)``, along unit directions; panels in the inputs' dtype."""
        there: Array = self.x + wide(distance) * direction
        return there.astype(self.inputs.x.dtype, copy=False)

    def difference_error(self, ahead: Outputs, behind: Outputs, dx: Array, direction: Array, step: Array) -> Array:
        """The central difference of the loss less what dx ``(P, B, L)`` makes of it, ``(B,)``.

        dx is taken along the displacement that was realised after rounding, not the one that was asked for.
        """
        realised = self.moved(step, direction).astype(np.float64) - self.moved(-step, direction)
        return (self.loss(ahead) - self.loss(behind) - _sums(dx * realised)) / (2 * step)

    def point(self, x: Array, *dys: Array) -> Point:
        """What the kernel is to be asked at these panels, which become its own."""
        return replace(self.inputs, x=x.reshape(self.inputs.x.shape)), dys

    def loss(self, outputs: Outputs) -> Array:
        """The loss of every block, ``(B,)``, accumulated in float64."""
        return _sums(self.dy * self.panels(outputs.y))


def blocked(inputs: Inputs, dy: Array) -> Blocked:
    """Bring a kernel's inputs into panels."""
    norm, groups = inputs.options.norm, inputs.options.groups
    x, weights = (panels(a.astype(np.float64), norm, groups) for a in (inputs.x, dy))
    return Blocked(inputs=inputs, x=x, dy=weights)


def wide(values: Array) -> Array:
    """One value for each block, ``(B,)``, as ``(1, B, 1)``."""
    return values[np.newaxis, :, np.newaxis]


def scale_of(inputs: Inputs, levels: int = LEVELS) -> Scale:
    """Steps for these inputs, from their dtype, mean and variance; for differences of order ``2 levels``."""
    options = inputs.options
    x = panels(inputs.x.astype(np.float64), options.norm, options.groups)
    if options.norm == "batch" and not options.training:
        variance = inputs.running_var.astype(np.float64)
    elif options.norm == "rms":
        variance = (x**2).mean((0, 2))
    else:
        variance = x.var((0, 2))
    sd = np.sqrt(variance + options.eps)
    kappa = np.maximum(1.0, np.maximum(x.max((0, 2)), -x.min((0, 2))) / sd)
    u = roundoff(inputs.x.dtype)
    # Truncation grows with the step to the power 2 levels, rounding falls with it.
    share = np.minimum(0.5, (u * kappa) ** (1 / (2 * levels + 1)))
    step = math.sqrt(x.shape[0] * x.shape[2]) / 2 * share * sd
    tiny = 1e-5 if u < 1e-10 else 1e-3
    return Scale(sd=sd, kappa=kappa, step=step, spacing=np.maximum(tiny, 64 * u * kappa) * sd)


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What is seen along one direction in every block, ``(B,)`` each, in the unit of the derivative."""

    direction: Array
    """Unit vectors, ``(P, B, L)``."""
    error: Array
    """Of the backward, against the extrapolated difference; with its sign."""
    truncation: Array
    forward: Array
    """Standard deviation of the noise of the loss: in the unit of the loss."""
    backward: Array

    def noise(self, scale: Scale) -> Array:
        """Of the error: that of the extrapolated difference and that of the backward."""
        return np.hypot(ROMBERG_GAIN * self.forward / scale.step, self.backward)


def directional_deviation(
    kernel: Kernel, inputs: Inputs, dy: Array, rng: np.random.Generator, *, directions: int = 3
) -> Deviation:
    """Is dx the derivative of <dy, y> along random directions? One verdict for each block.

    Costs ``13 directions + 1`` forward evaluations whatever the shape: six for the Romberg differences
    and seven for the noise. The deviation with the largest z of all directions is returned.
    """
    every = deviations(directional_probes(kernel, inputs, dy, rng, directions=directions), scale_of(inputs))
    worst = np.argmax(every.z, axis=0)
    each = np.arange(worst.size)
    return Deviation(error=every.error[worst, each], noise=every.noise[worst, each])


def deviations(probes: Iterable[Probe], scale: Scale) -> Deviation:
    """Error and noise of every direction and block, ``(directions, B)``."""
    # Taken one by one: a probe holds a direction as large as x.
    seen = np.array([(np.abs(probe.error), probe.truncation, probe.noise(scale)) for probe in probes])
    # Every direction meets the same noise: pooled, its estimate has three times the degrees of freedom.
    return Deviation(error=seen[:, 0], noise=seen[:, 1] + np.sqrt((seen[:, 2] ** 2).mean(0)))


def directional_probes(
    kernel: Kernel, inputs: Inputs, dy: Array, rng: np.random.Generator, *, directions: int
) -> Iterator[Probe]:
    """Measure error and noise along random directions: ``13 directions + 1`` forward evaluations."""
    at = blocked(inputs, dy)
    scale = scale_of(inputs)
    base = kernel(inputs, dy)
    dx = at.panels(base.gradients[0].dx)
    u = roundoff(inputs.x.dtype)
    floor = u / 4 * _norms(at.panels(base.y) * at.dy)
    g = at.panels(per_channel(inputs.gamma.astype(np.float64), dy.ndim) * dy)
    ceiling = HONEST_NOISE * u * scale.kappa * _norms(g) / scale.sd
    del base, g
    steps = [scale.step / 2**level for level in range(LEVELS)]

    def points(q: Array) -> Iterator[Point]:
        for step in steps:
            yield at.point(at.moved(step, q))
            yield at.point(at.moved(-step, q))
        for offset in NOISE_OFFSETS:
            yield at.point(at.moved(offset * scale.spacing, q), dy)

    for _ in range(directions):
        q = rng.standard_normal(at.x.shape)
        q /= wide(_norms(q))
        outputs = outputs_at(kernel, points(q))
        errors = [at.difference_error(next(outputs), next(outputs), dx, q, step) for step in steps]
        error, truncation = romberg(errors)
        losses, slopes = [], []
        for around in outputs:
            losses.append(at.loss(around))
            slopes.append(_sums(at.panels(around.gradients[0].dx) * q))
        yield Probe(
            direction=q,
            error=error,
            truncation=truncation,
            forward=np.maximum(noise_level(np.array(losses)), floor),
            backward=np.clip(noise_level(np.array(slopes)), u / 4 * _norms(dx * q), ceiling),
        )


def sample_positions(total: int, rng: np.random.Generator, *, most: int) -> Positions:
    """Positions within a block of ``total`` elements: all of them, or ``most`` with first and last."""
    if total <= most:
        return np.arange(total)
    inner = rng.choice(np.arange(1, total - 1), most - 2, replace=False)
    return np.sort(np.concatenate([[0], inner, [total - 1]]))


def compressed_dx(kernel: Kernel, inputs: Inputs, dy: Array, positions: Positions, *, levels: int = LEVELS) -> Array:
    """Numeric dx at these positions of every block, ``(B, positions)``, float64.

    Blocks are independent, so one position is moved in all blocks at once: ``2 levels`` evaluations per
    position (Curtis, Powell and Reid, "On the estimation of sparse Jacobian matrices", 1974). With one level
    they are the central differences of the courses.
    """
    at = blocked(inputs, dy)
    step = scale_of(inputs, levels).step
    x = panels(np.ascontiguousarray(inputs.x), inputs.options.norm, inputs.options.groups)
    rows, columns = np.divmod(positions, x.shape[2])
    here = x[rows, :, columns]  # (positions, B)
    distances = [(step / 2**level).astype(x.dtype) for level in range(levels)]
    pairs = [(here + distance, here - distance) for distance in distances]

    def points() -> Iterator[Point]:
        for number, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            for pair in pairs:
                for moved in pair:
                    there = x.copy()
                    there[row, :, column] = moved[number]
                    yield at.point(there)

    outputs = outputs_at(kernel, points())
    changes = np.empty((levels, *here.shape))
    for number in range(len(positions)):
        for level in range(levels):
            changes[level, number] = _sums(at.dy * (at.panels(next(outputs).y) - at.panels(next(outputs).y)))
    realised = np.array([ahead.astype(np.float64) - behind for ahead, behind in pairs])
    return romberg(list(changes / realised))[0].T


def parameter_deviation(kernel: Kernel, inputs: Inputs, dy: Array, name: str) -> tuple[Deviation, Array]:
    """The deviation of dgamma or dbeta (``name``: "gamma" or "beta"), and the numeric derivative ``(C,)``.

    y is affine in both, so a single step of 1 gives the exact derivative of every channel at once.
    Its noise is measured by moving x a tiny bit.
    """
    at = blocked(inputs, dy)
    scale = scale_of(inputs)
    shape, norm, rank = inputs.x.shape, inputs.options.norm, inputs.x.ndim
    u = roundoff(inputs.x.dtype)
    weight = dy.astype(np.float64)
    parameter = getattr(inputs, name)
    moved = replace(inputs, **{name: parameter + parameter.dtype.type(1)})
    realised = getattr(moved, name).astype(np.float64) - parameter

    # Both points move along x together: what does not vanish in differences is the noise.
    q = at.dy / wide(np.maximum(_norms(at.dy), np.finfo(np.float64).tiny))

    def points() -> Iterator[Point]:
        for offset in (*NOISE_OFFSETS, None):
            x = inputs.x if offset is None else at.moved(offset * scale.spacing, q).reshape(shape)
            yield replace(moved, x=x.copy()), ()
            yield replace(inputs, x=x.copy()), (dy,)

    outputs = outputs_at(kernel, points())
    slopes, sums = [], []
    for _ in NOISE_OFFSETS:
        there, here = next(outputs), next(outputs)
        slopes.append(channel_sum(weight * (there.y.astype(np.float64) - here.y)) / realised)
        sums.append(getattr(here.gradients[0], f"d{name}").astype(np.float64))
    there, here = next(outputs), next(outputs)
    slope = (there.y.astype(np.float64) - here.y) / per_channel(realised, rank)
    numeric = channel_sum(weight * slope)
    got = getattr(here.gradients[0], f"d{name}").astype(np.float64)

    # The rounding of a sum that does not depend on x (dbeta) can't be seen by moving x: a naive sum
    # of n terms is off by about u sqrt(n) / 4 times their norm.
    root = math.sqrt(inputs.x.size // shape[1])
    kappa = np.sqrt(channel_sum(spread(scale.kappa, shape, norm) ** 2)) / root
    forward_floor = u / 4 * (_channel_norms(weight * there.y) + _channel_norms(weight * here.y)) / np.abs(realised)
    # Nor can that of a channel's constants, such as beta - mean gamma / s where eval mode is folded into
    # one fused multiply-add: it is the same at every x, and kappa times larger than y's own.
    both = np.abs(inputs.gamma.astype(np.float64)) + np.abs(moved.gamma)
    forward_floor += u / 4 * kappa * both * np.abs(channel_sum(weight)) / np.abs(realised)
    backward_floor = u / 4 * root * _channel_norms(weight * slope)
    ceiling = HONEST_NOISE * u * kappa * root * _channel_norms(weight)
    forward = np.maximum(noise_level(np.array(slopes)), forward_floor)
    backward = np.clip(noise_level(np.array(sums)), backward_floor, ceiling)
    return Deviation(error=np.abs(got - numeric), noise=np.hypot(forward, backward)), numeric


def _sums(a: Array) -> Array:
    """Sums of the blocks of ``(P, B, L)``: ``(B,)``."""
    total: Array = a.sum((0, 2))
    return total


def _norms(a: Array) -> Array:
    """2-norms of the blocks of ``(P, B, L)``: ``(B,)``."""
    return np.sqrt(_sums(a**2))


def _channel_norms(a: Array) -> Array:
    """2-norms of the channels of ``(N, C, *spatial)``."""
    return np.sqrt(channel_sum(a**2))
