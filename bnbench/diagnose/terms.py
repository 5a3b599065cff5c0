"""The quantities of a normalization at one trial, any piece of which may be replaced."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bnbench.blocks import groups_of, per_channel, spread, to_blocks
from bnbench.diagnose.hypotheses import Pieces
from bnbench.diagnose.trials import Trial
from bnbench.model import Array


@dataclass(frozen=True)
class Terms:
    """Float64 arrays, shaped as x ``(N, C, *spatial)`` or to broadcast against it.

    ``pieces`` may replace ``block_mean``, ``mean``, ``variance`` and its ``growth`` (its derivative with respect to the
    right one), ``divisor``, ``x_hat``, ``affine`` and ``slope`` (of y with respect to x_hat).
    """

    trial: Trial
    pieces: Pieces

    @cached_property
    def x(self) -> Array:
        return self.trial.inputs.x.astype(np.float64) if self.regrouped else plain(self.trial).x

    @cached_property
    def dy(self) -> Array:
        return self.trial.dy.astype(np.float64)

    def channels(self, name: str) -> Array:
        """An argument per channel, to broadcast: gamma, beta, running_mean or running_var."""
        return per_channel(getattr(self.trial.inputs, name).astype(np.float64), self.x.ndim)

    @property
    def eps(self) -> float:
        return self.trial.inputs.options.eps

    @property
    def norm(self) -> str:
        return self.trial.inputs.options.norm

    @property
    def constants(self) -> bool:
        """Eval mode: mean and variance do not depend on x."""
        return not self.trial.training

    @cached_property
    def elements(self) -> int:
        """M."""
        options = self.trial.inputs.options
        return int(to_blocks(self.x, options.norm, options.groups).shape[1])

    @cached_property
    def counts(self) -> Mapping[str, float]:
        """The numbers of elements that M is mistaken for, those that differ from M and from 1."""
        shape, options = self.x.shape, self.trial.inputs.options
        spatial = math.prod(shape[2:])
        groups = groups_of(shape[1], options.norm, options.groups) if options.norm != "batch" else 1
        counts = {
            "N": shape[0],
            "C": shape[1],
            "the spatial size": spatial,
            "N times the spatial size": shape[0] * spatial,
            "C times the spatial size": shape[1] * spatial,
            "C / G": shape[1] // groups,
            "the size of x": self.x.size,
            "M - 1": self.elements - 1,
            "M + 1": self.elements + 1,
            "N - 1": shape[0] - 1,
            "sqrt(M)": math.sqrt(self.elements),
        }
        return {name: float(count) for name, count in counts.items()}

    def own_blocks(self, a: Array) -> Array:
        """Means over the blocks of the norm, to broadcast."""
        options = self.trial.inputs.options
        a = np.broadcast_to(a, self.x.shape)
        axes = own_axes(options.norm, a.ndim)
        if axes is not None:
            return np.asarray(a.mean(axes, keepdims=True))
        return spread(to_blocks(a, options.norm, options.groups).mean(1), self.x.shape, options.norm)

    def block_mean(self, a: Array) -> Array:
        """Means over what is normalized together, to broadcast."""
        replaced = self.pieces.get("block_mean")
        return replaced(np.broadcast_to(a, self.x.shape)) if replaced else self.own_blocks(a)

    @cached_property
    def batch_mean(self) -> Array:
        return self.block_mean(self.x) if self.regrouped else plain(self.trial).batch_mean

    @property
    def regrouped(self) -> bool:
        """Whether these terms have to be worked out anew, because other elements are normalized together."""
        return "block_mean" in self.pieces or not self.pieces

    @cached_property
    def mean(self) -> Array:
        """What is subtracted from x."""
        if "mean" in self.pieces:
            return np.asarray(self.pieces["mean"](self))
        if self.constants:
            return self.channels("running_mean")
        return np.zeros(()) if self.norm == "rms" else self.batch_mean

    @cached_property
    def centred(self) -> Array:
        return self.x - self.mean

    @cached_property
    def plain_variance(self) -> Array:
        """The variance before any piece changed it."""
        if self.constants:
            return self.channels("running_var")
        if not self.regrouped:
            return plain(self.trial).plain_variance
        own = np.zeros(()) if self.norm == "rms" else self.batch_mean
        return self.block_mean((self.x - own) ** 2)

    @cached_property
    def variance(self) -> Array:
        replaced = self.pieces.get("variance")
        return np.asarray(replaced(self)) if replaced else self.plain_variance

    def _divisor(self, v: Array) -> Array:
        replaced: Callable[[Array, float], Array] | None = self.pieces.get("divisor")
        return np.asarray(replaced(v, self.eps) if replaced else np.sqrt(v + self.eps))

    @cached_property
    def sd(self) -> Array:
        """What the centred input is divided by."""
        return self._divisor(self.variance)

    @cached_property
    def damping(self) -> Array:
        """2 sd dsd/dv, the weight of the variance path: 1 for sqrt(v + eps). By complex step, exact to rounding."""
        step = 1e-30
        aside: Any = self.variance + complex(0, step)
        return np.asarray(2 * self.sd * self._divisor(aside).imag / step * self.growth)

    @cached_property
    def growth(self) -> Array | float:
        """The derivative of the variance that is taken with respect to the right one."""
        return np.asarray(self.pieces["growth"](self)) if "growth" in self.pieces else 1.0

    @cached_property
    def x_hat(self) -> Array:
        replaced = self.pieces.get("x_hat")
        return np.asarray(replaced(self)) if replaced else self.centred / self.sd

    @cached_property
    def y(self) -> Array:
        gamma, beta = self.channels("gamma"), self.channels("beta")
        replaced = self.pieces.get("affine")
        return np.asarray(replaced(self.x_hat, gamma, beta)) if replaced else gamma * self.x_hat + beta

    @cached_property
    def g(self) -> Array:
        """dL/dx_hat."""
        slope = self.pieces.get("slope")
        gamma = self.channels("gamma")
        return (slope(gamma) if slope else gamma) * self.dy


@functools.cache
def plain(trial: Trial) -> Terms:
    """The right terms of a trial."""
    return Terms(trial, {})


def own_axes(norm: str, rank: int) -> tuple[int, ...] | None:
    """The axes that a norm reduces; None for group norm, which splits one."""
    spatial = tuple(range(2, rank))
    axes = {"batch": (0, *spatial), "layer": (1, *spatial), "rms": (1, *spatial), "instance": spatial}
    return axes.get(norm)


AXES: Mapping[str, Callable[[int], tuple[int, ...]]] = {
    "all of x": lambda rank: tuple(range(rank)),
    "each channel of the batch": lambda rank: (0, *range(2, rank)),
    "each row": lambda rank: (1, *range(2, rank)),
    "each channel of a row": lambda rank: tuple(range(2, rank)),
    "the rows alone, for every position": lambda _: (0,),
    "the channels alone, for every position": lambda _: (1,),
}
"""What means may be taken over, in words."""


def other_axes(norm: str) -> tuple[str, ...]:
    """What means are mistakenly taken over."""
    own = {"batch": "each channel of the batch", "layer": "each row", "rms": "each row"}
    return tuple(name for name in AXES if name != own.get(norm, "each channel of a row" if norm == "instance" else ""))


def mean_over(words: str, a: Array) -> Array:
    """The mean over these :data:`AXES`, kept to broadcast."""
    axes = AXES[words](a.ndim)
    return np.asarray(a.mean(axes, keepdims=True)) if axes else a
