"""Trials: a few tiny inputs on which a wrong normalization shows, with the right answers and their rounding.

Sizes are chosen so that counts can't be confused (M, N, C, spatial size and their neighbours all differ), variances
reach from a tenth of eps to a thousand times eps, gamma has both signs, and beta and the running statistics are no
defaults.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bnbench.blocks import GROUPED, per_channel, to_blocks
from bnbench.compare import in_units
from bnbench.model import Array, Capabilities, Inputs, Kernel, Norm, Options, Outputs
from bnbench.reference import normalize
from bnbench.rounding import output_units, standardized
from bnbench.tolerances import ROUNDING, roundoff

EPS, MOMENTUM = 4e-3, 0.3
"""Values that nobody writes into code, so that a constant in place of the argument shows."""

SHAPES: Mapping[Norm, tuple[tuple[int, ...], ...]] = {
    "batch": ((9, 5), (3, 5, 2, 7)),
    "layer": ((5, 9), (3, 5, 2, 7)),
    "rms": ((5, 9), (3, 5, 2, 7)),
    "group": ((4, 12), (5, 6, 7), (2, 6, 2, 5)),
    "instance": ((3, 5, 7), (2, 3, 4, 5)),
}
SQUARE = (6, 6)
"""As many rows as channels: a statistic that lost its axis broadcasts along the wrong one without complaint."""
LONG = (261, 2)
"""More rows than fit into a thread block of 256."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trial:
    """One call: what goes in, what should come out (float64), and what one rounding of each output is worth."""

    inputs: Inputs
    dy: Array
    right: Mapping[str, Array]
    units: Mapping[str, Array]
    ddof: int
    """Of the variance that is kept, as declared."""

    @property
    def training(self) -> bool:
        return self.inputs.options.training

    def aspect(self, name: str) -> str:
        """An output in one mode: ``"dx"``, or ``"dx in eval mode"``."""
        return name if self.training else f"{name} in eval mode"

    def tolerance(self, name: str, expected: Array) -> Array | float:
        """How far rounding may move an output from ``expected``, which may be much larger than the right one."""
        finite = np.where(np.isfinite(expected), np.abs(expected), 0.0)
        u = roundoff(self.inputs.x.dtype)
        size: Array | float
        if name in {"y", "dx"} and expected.ndim == self.inputs.x.ndim:
            size = finite.max((0, *range(2, finite.ndim)), keepdims=True)
        else:
            size = finite
        unit = self.units[name] if self.right[name].shape == expected.shape else 0.0
        return ROUNDING.limit * (unit + u * 8 * size)

    def agrees(self, name: str, got: Array, expected: Array) -> bool:
        """Whether an output is ``expected`` to rounding; what is not a number must be so in both."""
        if got.shape != expected.shape:
            return False
        if not np.isfinite(expected).all():
            same = np.isnan(got) == np.isnan(expected)
            infinite = np.isinf(expected) | np.isinf(got)
            if not same.all() or not (got[infinite] == expected[infinite]).all():
                return False
            finite = np.isfinite(expected)
            return bool((in_units(got, expected, self.tolerance(name, expected))[finite] <= 1).all())
        return bool((in_units(got, expected, self.tolerance(name, expected)) <= 1).all())


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the trials are made for; hashable, so that they and the mutants' answers are made once."""

    norm: Norm
    ranks: tuple[int, ...]
    dtype: str
    ddof: int
    eps: float
    momentum: float


def settings_of(capabilities: Capabilities, *, eps: float = EPS, momentum: float = MOMENTUM) -> Settings:
    """The settings for an implementation; eps and momentum are given where it takes no others than its own."""
    dtype = "float64" if "float64" in capabilities.dtypes else capabilities.dtypes[0]
    return Settings(
        norm=capabilities.norm,
        ranks=capabilities.ranks,
        dtype=dtype,
        ddof=capabilities.running_var_ddof,
        eps=eps,
        momentum=momentum,
    )


@functools.cache
def trials(settings: Settings) -> tuple[Trial, ...]:
    """The trials for these settings: those of both modes first, then those for rarer mistakes."""
    norm, ranks = settings.norm, settings.ranks
    shapes = [shape for shape in SHAPES[norm] if len(shape) in ranks]
    if not shapes:
        shapes = [SHAPES[norm][0] + (1,) * (min(ranks) - len(SHAPES[norm][0]))]
    modes = (True,) if norm in GROUPED else (True, False)
    made = [_trial(settings, shape, training=training) for shape in shapes for training in modes]
    if norm == "batch":
        made += [_trial(settings, shapes[0], training=training, fresh=True) for training in modes]
    if 2 in ranks and norm in {"batch", "layer"}:
        made.append(_trial(settings, SQUARE, constant=norm == "batch"))
    if 2 in ranks and norm == "batch":
        made.append(_trial(settings, LONG))
    return tuple(made)


def _trial(
    settings: Settings, shape: tuple[int, ...], *, training: bool = True, fresh: bool = False, constant: bool = False
) -> Trial:
    """``fresh``: running statistics of zero. ``constant``: the first channel of x is."""
    rng = np.random.default_rng([*shape, 3])
    rows, channels = shape[:2]
    # What shares a variance has a scale of its own; means stay small beside it, so that little is cancelled.
    along = channels if settings.norm == "batch" else rows
    sds = math.sqrt(settings.eps) * np.geomspace(0.3, 30.0, along)
    scale = sds.reshape((1, -1) if settings.norm == "batch" else (-1, 1)) * np.ones((rows, channels))
    lift = scale * (rng.uniform(0.5, 2.0, channels) * rng.choice([-1.0, 1.0], channels))
    wide = (rows, channels) + (1,) * (len(shape) - 2)
    x = scale.reshape(wide) * rng.standard_normal(shape) + lift.reshape(wide)
    if constant:
        x[:, 0] = 0.5
    signs = np.where(np.arange(channels) % 2, -1.0, 1.0)
    typical = scale.mean(0)
    old = np.zeros(channels) if fresh else np.ones(channels)
    arrays = {
        "x": x,
        "gamma": signs * rng.uniform(0.5, 2.0, channels),
        "beta": rng.standard_normal(channels) + 0.5,
        "running_mean": old * typical * rng.uniform(-2, 2, channels),
        "running_var": old * typical**2 * rng.uniform(0.5, 2.0, channels),
    }
    inputs = Inputs(
        **{name: a.astype(settings.dtype) for name, a in arrays.items()},
        options=Options(
            training=training,
            norm=settings.norm,
            groups=3 if settings.norm == "group" else 1,
            eps=settings.eps,
            momentum=settings.momentum,
        ),
    )
    dy = (1.5 * rng.standard_normal(shape)).astype(settings.dtype)
    right = named(normalize(inputs, dy, running_var_ddof=settings.ddof))
    return Trial(inputs=inputs, dy=dy, right=right, units=_units(inputs, dy, right), ddof=settings.ddof)


def _units(inputs: Inputs, dy: Array, right: Mapping[str, Array]) -> Mapping[str, Array]:
    u = roundoff(inputs.x.dtype)
    largest = np.abs(to_blocks(inputs.x.astype(np.float64), "batch")).max(1)
    units = output_units(inputs, dy)
    units["running_mean"] = u * (largest + np.abs(inputs.running_mean))
    units["running_var"] = u * (largest**2 + np.abs(right["running_var"]) + np.abs(inputs.running_var))
    # A fold of mean and scale into one factor rounds at the size of what it multiplies.
    kappa = float(standardized(inputs).kappa.max())
    units["dx"] = units["dx"] + u * kappa * np.abs(right["dx"])
    units["y"] = units["y"] + u * kappa * np.abs(per_channel(inputs.gamma.astype(np.float64), inputs.x.ndim))
    return units


def named(outputs: Outputs) -> dict[str, Array]:
    """All outputs of one call by name, those of the first cotangent."""
    dx, dgamma, dbeta = outputs.gradients[0]
    return {
        "y": outputs.y,
        "running_mean": outputs.running_mean,
        "running_var": outputs.running_var,
        "dx": dx,
        "dgamma": dgamma,
        "dbeta": dbeta,
    }


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answers:
    """What a kernel made of all trials."""

    trials: tuple[Trial, ...]
    outputs: tuple[Mapping[str, Array], ...]
    mutated: tuple[str, ...] = ()
    """Arguments it changed in place."""
    overwritten: tuple[str, ...] = ()
    """Outputs that changed after they were returned."""

    def numbered(self, aspect: str) -> Iterator[tuple[int, tuple[Trial, str, Array]]]:
        """The number of each trial of that mode, with what :meth:`of` gives for it."""
        name, _, eval_mode = aspect.partition(" in ")
        for number, (trial, outputs) in enumerate(zip(self.trials, self.outputs, strict=True)):
            if trial.training != bool(eval_mode):
                yield number, (trial, name, outputs[name])

    def of(self, aspect: str) -> Iterator[tuple[Trial, str, Array]]:
        """Trial, name and array of an output in one mode."""
        return (answer for _, answer in self.numbered(aspect))

    @property
    def aspects(self) -> tuple[str, ...]:
        """Everything there is to be right or wrong, the forward first."""
        return tuple(
            dict.fromkeys(
                trial.aspect(name)
                for name in self.outputs[0]
                for trial in sorted(self.trials, key=lambda trial: not trial.training)
            )
        )

    @property
    def wrong(self) -> tuple[str, ...]:
        """The aspects that are not as the definition has them on some trial."""
        return tuple(
            aspect
            for aspect in self.aspects
            if not all(trial.agrees(name, got, trial.right[name]) for trial, name, got in self.of(aspect))
        )


def answers_of(kernel: Kernel, made: Iterable[Trial]) -> Answers:
    """Ask a kernel. Raises whatever it raises."""
    made = tuple(made)
    with np.errstate(all="ignore"):  # a wrong kernel may divide by zero: that is for the answers to show
        outputs = [kernel(trial.inputs, trial.dy) for trial in made]
    return Answers(
        trials=made,
        outputs=tuple(named(each) for each in outputs),
        mutated=tuple(dict.fromkeys(name for each in outputs for name in each.mutated)),
        overwritten=tuple(dict.fromkeys(name for each in outputs for name in each.overwritten)),
    )
