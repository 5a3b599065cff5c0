"""Derivatives of any array function along directions, with no structure known.

:mod:`bnbench.differences` knows what a normalization is and so which step is right. Here nothing is known:
steps fall by a factor of 4 over eight decades, every three in a row give a sixth-order (Romberg)
estimate of the slope, and the three with the least estimated error are taken. That error has three
parts, none of them from the gradient that is on trial:

- **truncation**: the last correction of the extrapolation, and the distance to the next finer estimate;
- **noise**: rounding noise of the function, measured (ECnoise), magnified by 1 / step;
- **kink**: (phi(h) - 2 phi(0) + phi(-h)) / h tends to 0 with h where phi is smooth, and to the jump of
  the slope where it is not. Its limit is extrapolated too.

A direction for which no step is free of a kink says nothing about the gradient, and is told as such.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bnbench.extrapolation import NOISE_OFFSETS, noise_level
from bnbench.model import Array
from bnbench.tolerances import CONVERGED, HONEST_SLOPE_NOISE, NOISE, RESOLUTION, roundoff

Loss: TypeAlias = Callable[[Array], tuple[float, float]]
"""At a moved argument: the loss <dy, y>, and the 2-norm of its terms."""
Gradient: TypeAlias = Callable[[Array], Array]
"""At a moved argument: the loss's gradient as the backward has it, shaped as the argument, float64."""
Positions: TypeAlias = npt.NDArray[np.intp]

RATIO = 4
FIRST = 16.0
"""The first step, as a multiple of the typical magnitude of the argument."""
FIRST_FROM_ZERO = 4096.0
"""The first step of an argument that is zero everywhere and so does not tell its scale."""
LAST = 1e-9
FAIR = 0.25
"""The largest step that a backward's noise is measured by."""
GAIN = math.sqrt(2) / 2 * math.hypot(RATIO**2 * 256 / 255 * 16 / 15, RATIO * (256 / 255 / 15 + 16 / 15 / 255))
"""Noise of the extrapolated slope over (noise of the loss / first of its three steps)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """Where derivatives are taken: the loss as a function of one argument, and the gradient on trial."""

    loss: Loss
    gradient: Gradient
    x: Array
    dx: Array
    """The gradient at x, float64."""

    @property
    def magnitude(self) -> float:
        """Root mean square of x; 1 where x is zero."""
        wide = np.abs(self.x.astype(np.float64))
        largest = wide.max(initial=0.0)
        return float(largest * np.sqrt(((wide / largest) ** 2).mean())) if largest > 0 else 1.0

    @property
    def steps(self) -> Array:
        """From coarse to fine, as multiples of a direction of the size of x."""
        first, last = (FIRST, max(LAST, 64 * roundoff(self.x.dtype))) if self.x.any() else (FIRST_FROM_ZERO, LAST)
        steps: Array = first / float(RATIO) ** np.arange(1 + int(math.log(first / last, RATIO)))
        return steps

    def moved(self, q: Array, distance: float) -> Array:
        """x + distance q, rounded to the dtype of x."""
        there: Array = (self.x.astype(np.float64) + distance * q).astype(self.x.dtype)
        return there


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """Standard deviations of rounding noise: of the loss, and of the backward's slope."""

    forward: float
    backward: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Slope:
    """The slope along one direction: what the gradient says and what the function does."""

    analytic: float
    numeric: float
    truncation: float
    noise: float
    step: float
    converged: bool
    """Whether there is a step at which truncation and the jump of the slope drown in noise."""
    norm: float
    """2-norm of the terms of the loss."""

    @property
    def smooth(self) -> bool:
        """Whether it says something: converged, and not just because the noise of a kink drowns everything."""
        return self.converged and NOISE.limit * self.budget <= RESOLUTION.limit * max(self.size, self.norm)

    @property
    def budget(self) -> float:
        """By how much an honest gradient may be off."""
        return self.truncation + self.noise

    @property
    def size(self) -> float:
        return max(abs(self.analytic), abs(self.numeric))

    @property
    def z(self) -> float:
        error = abs(self.analytic - self.numeric)
        z = 0.0 if error == 0 else error / self.budget if self.budget > 0 else math.inf
        return math.inf if math.isnan(z) else z


def dense(point: Point, rng: np.random.Generator, count: int) -> list[Array]:
    """Gaussian directions of the size of x; every second one has the size of x element by element."""
    normal = rng.standard_normal((count, *point.x.shape)) * point.magnitude
    share = np.abs(point.x.astype(np.float64)) / point.magnitude
    return [q * share if number % 2 and point.x.any() else q for number, q in enumerate(normal)]


def sparse(point: Point, rng: np.random.Generator, count: int, share: float) -> list[Array]:
    """Directions that move a random share of the elements, at least one."""
    size = point.x.size
    chosen = [rng.choice(size, max(1, round(size * share)), replace=False) for _ in range(count)]
    return [along(point, positions, rng) for positions in chosen]


def along(point: Point, positions: Positions, rng: np.random.Generator | None = None) -> Array:
    """The direction that moves these elements: all alike, or with ``rng`` each by its own amount."""
    q = np.zeros(point.x.size)
    q[positions] = point.magnitude * (1.0 if rng is None else rng.standard_normal(len(positions)))
    return q.reshape(point.x.shape)


def noise_along(point: Point, q: Array) -> tuple[float, float]:
    """Standard deviations of the rounding noise of the loss and of the backward's slope along q.

    Seven evaluations of each at a spacing of sqrt(u) |x|: wide enough that everything rounds anew, and so
    narrow that a smooth function has no sixth differences.
    """
    u = roundoff(point.x.dtype)
    spacing = math.sqrt(u)
    points = [point.moved(q, offset * spacing) for offset in NOISE_OFFSETS]
    losses = [point.loss(x) for x in points]
    floor = u / 4 * losses[len(points) // 2][1]
    forward = max(float(noise_level(np.array([value for value, _ in losses]))), floor)
    slopes = np.array([(point.gradient(x) * q).sum() for x in points])
    backward = max(float(noise_level(slopes)), u / 4 * float(np.sqrt(((point.dx * q) ** 2).sum())))
    return forward, backward


def look(point: Point, directions: Sequence[Array]) -> list[Slope]:
    """The slopes along directions of one kind."""
    return [slope(point, q, noise) for q, noise in zip(directions, noises(point, directions), strict=True)]


def noises(point: Point, directions: Sequence[Array]) -> list[Noise]:
    """The noise along each: what was measured there, but at least the median of all.

    A single measurement can be small by chance. It can also be nan, where a neighbour leaves the domain;
    then the median is taken.
    """
    norms = [float(np.linalg.norm(q)) for q in directions]
    measured = np.array([noise_along(point, q) for q in directions])
    measured[:, 1] /= norms
    finite = measured[np.isfinite(measured).all(1)]
    median = np.median(finite, axis=0) if len(finite) else np.full(2, math.inf)
    measured = np.maximum(np.where(np.isfinite(measured), measured, 0), median)
    return [Noise(forward=float(f), backward=float(b * norm)) for (f, b), norm in zip(measured, norms, strict=True)]


def slope(point: Point, q: Array, measured: Noise, *, steps: Array | None = None) -> Slope:
    """The slope along q: two evaluations of the loss a step, and one. ``steps`` are those of the point."""
    steps = point.steps if steps is None else steps
    here, size = point.loss(point.x)
    errors, seconds, noises = [], [], []
    for step in steps:
        ahead, behind = point.moved(q, step), point.moved(q, -step)
        (up, up_size), (down, down_size) = point.loss(ahead), point.loss(behind)
        # The displacement that was realised after rounding, not the one that was asked for.
        change = float((point.dx * (ahead.astype(np.float64) - behind)).sum())
        errors.append((up - down - change) / (2 * step))
        seconds.append((up - 2 * here + down) / step)
        # Far from x the loss may be larger, and so is its rounding.
        noises.append(measured.forward * max(1.0, max(up_size, down_size) / size if size > 0 else 1.0))
    error, truncation = _extrapolated(np.array(errors), (2, 4))
    jump, _ = _extrapolated(np.array(seconds), (1, 3))
    noise = GAIN * np.array(noises)[:-2] / steps[:-2]
    away = truncation + np.abs(jump)
    # Converged is what differs by noise only: at a step too coarse, a saturated or piecewise linear
    # function can look steady, and be far from its slope.
    converged = away <= CONVERGED.limit * noise
    budget = np.where(converged, truncation + noise, np.inf)
    best = int(np.argmin(budget))
    # A step far beyond the size of x gives differences less noise than any backward can have.
    ceiling = HONEST_SLOPE_NOISE * GAIN * measured.forward / min(steps[best], FAIR)
    analytic = float((point.dx * q).sum())
    return Slope(
        analytic=analytic,
        numeric=analytic + float(error[best]),
        truncation=float(truncation[best]),
        noise=float(np.hypot(noise[best], min(measured.backward, ceiling))),
        step=float(steps[best]),
        converged=bool(converged[best]),
        norm=size,
    )


def _extrapolated(values: Array, orders: tuple[int, int]) -> tuple[Array, Array]:
    """Every three values in a row, freed of error terms of these orders, and the estimated error."""
    with np.errstate(invalid="ignore", over="ignore"):
        row = values
        for order in orders:
            coarse = row
            row = row[1:] + (row[1:] - row[:-1]) / (RATIO**order - 1)
        correction = np.abs(row - coarse[1:])
        # A correction can be small by chance; then the next finer estimate is not near.
        finer = np.abs(np.diff(row, append=row[-1:]))
    return row, np.maximum(correction, finer)
