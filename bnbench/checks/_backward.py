"""The backward of a kernel as a map of blocks, from g = gamma dy to dx: what the identities speak about."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bnbench.blocks import from_blocks, per_channel, to_blocks
from bnbench.cases import draw_cotangent
from bnbench.model import Array, Case, Comparison, Inputs, Subject
from bnbench.rounding import Standardized, dx_unit, standardized
from bnbench.tolerances import IDENTITY, roundoff


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the backward made of one g. Both are blocks of float64, ``(B, M)``."""

    g: Array
    """gamma dy for the dy that the kernel was given, rounded to the dtype of x."""
    dx: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockBackward:
    """The backward of a subject at fixed inputs."""

    subject: Subject
    inputs: Inputs
    at: Standardized

    def blocks(self, a: Array) -> Array:
        """An array shaped as x, in blocks of float64."""
        options = self.inputs.options
        return to_blocks(a.astype(np.float64), options.norm, options.groups)

    def scaled(self, a: Array) -> Array:
        """gamma times an array shaped as x, in blocks of float64."""
        gamma = per_channel(self.inputs.gamma.astype(np.float64), a.ndim)
        return self.blocks(gamma * a.astype(np.float64))

    def cotangent(self, g: Array) -> Array:
        """The dy (shaped and typed as x) whose gamma dy is these blocks."""
        x = self.inputs.x
        gamma = per_channel(self.inputs.gamma.astype(np.float64), x.ndim)
        return np.ascontiguousarray(from_blocks(g, x.shape, self.inputs.options.norm) / gamma).astype(x.dtype)

    def __call__(self, *gs: Array) -> tuple[Answer, ...]:
        """One forward, then one vjp for each g in blocks."""
        dys = [self.cotangent(g) for g in gs]
        gradients = self.subject.kernel(self.inputs, *dys).gradients
        return tuple(Answer(g=self.scaled(dy), dx=self.blocks(a.dx)) for dy, a in zip(dys, gradients, strict=True))

    def unit(self, g: Array) -> Array:
        """One rounding unit of dx at g, ``(B, M)``.

        Sums of M equal terms err by sqrt(M) roundings, and the variance of an online algorithm by kappa.
        """
        plain = replace(self.at, kappa=np.ones_like(self.at.kappa))
        unit = dx_unit(plain, g, roundoff(self.inputs.x.dtype), growth=math.sqrt(g.shape[1]))
        return np.asarray(self.at.kappa * unit)

    def residual(self, g: Array) -> Array:
        """One residual unit of sums of dx over a block, u kappa sqrt(M) ||g|| / s: ``(B, 1)``."""
        size = roundoff(self.inputs.x.dtype) * self.at.kappa * np.sqrt(g.shape[1])
        return np.asarray(size * np.sqrt((g**2).sum(1, keepdims=True)) / self.at.sd)


def backward_of(subject: Subject, inputs: Inputs) -> BlockBackward:
    """The backward of a subject at these inputs."""
    return BlockBackward(subject=subject, inputs=inputs, at=standardized(inputs))


def cotangents(case: Case) -> tuple[Array, Array]:
    """Two independent dy ~ N(0, 1), shaped and typed as x."""
    return draw_cotangent(case), draw_cotangent(replace(case, seed=case.seed + 1))


def block_sum(a: Array) -> Array:
    """Sums over blocks, ``(B, 1)``; nan where infinities of both signs meet."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(a.sum(1, keepdims=True))


def path_factors(shape: tuple[int, ...], elements: int) -> Mapping[str, float]:
    """What is usually wrong with a path of the graph, and by which factor the path is then off."""
    divisors = {"M - 1": elements - 1, "N": shape[0], "C": shape[1], "M / N": elements // shape[0]}
    return {
        "is missing": 0.0,
        "has the wrong sign": -1.0,
        "counts twice": 2.0,
        "counts half": 0.5,
        "is a sum in place of a mean": float(elements),
        **{
            f"is divided by {name} = {divisor}, not by M = {elements}": elements / divisor
            for name, divisor in divisors.items()
            if divisor not in {0, 1, elements}
        },
    }


def explained(comparison: Comparison, got: Array, unit: Array, explanations: Iterable[tuple[str, Array]]) -> Comparison:
    """The comparison, noting the first explanation that predicts ``got``, if it is beyond its limit."""
    if comparison.error <= comparison.limit:
        return comparison
    with np.errstate(invalid="ignore", over="ignore"):
        for text, predicted in explanations:
            if (np.abs(got - predicted) <= IDENTITY.limit * unit).all():
                return replace(comparison, note=text)
    return comparison
