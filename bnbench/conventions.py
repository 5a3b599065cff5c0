"""Which conventions does a kernel follow? Read from one train step and one eval call, not asked.

Normalizations in the field differ in the divisor of the variance (M or M - 1), in where eps goes
(inside the root, outside, max(v, eps)), in what momentum weighs and in what is kept of the variance: 24
combinations, each of which has a backward that is right for it. The data has variances below and
above eps, and is otherwise that of an exact fixture, so that no two conventions look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from bnbench.blocks import from_blocks, per_channel, to_blocks
from bnbench.compare import in_units
from bnbench.fixtures import Design, Fixture, make_fixture
from bnbench.model import Array, Inputs, Kernel, Norm
from bnbench.reference import statistics
from bnbench.tolerances import ROUNDING, roundoff

Rule: TypeAlias = Callable[[Array, float], Array]
"""From variances and eps to what is divided by, or to what is kept."""
Sources: TypeAlias = Mapping[str, tuple[Array, Array]]
"""By name, what may be normalized: centred blocks ``(B, M)`` and their variance ``(B, 1)``."""

DIVISORS: Mapping[str, Rule] = {
    "eps inside the root": lambda v, eps: np.asarray(np.sqrt(v + eps)),
    "eps outside the root": lambda v, eps: np.asarray(np.sqrt(v) + eps),
    "max(v, eps) under the root": lambda v, eps: np.asarray(np.sqrt(np.maximum(v, eps))),
    "no eps": lambda v, _: np.asarray(np.sqrt(v)),
    "v + eps without a root": lambda v, eps: np.asarray(v + eps),
}
KEPT: Mapping[str, Rule] = {
    "the variance": lambda v, _: v,
    "the standard deviation": lambda v, _: np.asarray(np.sqrt(v)),
    "v + eps": lambda v, eps: np.asarray(v + eps),
    "sqrt(v + eps)": lambda v, eps: np.asarray(np.sqrt(v + eps)),
    "1 / sqrt(v + eps)": lambda v, eps: np.asarray(1 / np.sqrt(v + eps)),
}
WEIGHTS: Mapping[str, Callable[[float], float]] = {
    "weighs the new batch": lambda momentum: momentum,
    "weighs the old statistics": lambda momentum: 1 - momentum,
    "is ignored, the batch's statistics replace the old": lambda _: 1.0,
    "is ignored, the statistics never move": lambda _: 0.0,
}
RIGHT_DIVISOR, RIGHT_WEIGHT = next(iter(DIVISORS)), next(iter(WEIGHTS))
UNKNOWN = "follows no known convention"


@dataclass(frozen=True, kw_only=True, slots=True)
class Convention:
    """One convention, in words: what was found, and what the implementation declares."""

    name: str
    found: str
    declared: str

    @property
    def as_declared(self) -> bool:
        return self.found == self.declared

    @property
    def known(self) -> bool:
        return not self.found.endswith(UNKNOWN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conventions:
    """All conventions of one kernel: divisor and eps; for batch norm also momentum, running_var and eval mode."""

    conventions: tuple[Convention, ...]

    @property
    def deviating(self) -> tuple[Convention, ...]:
        """Those that are not as declared."""
        return tuple(convention for convention in self.conventions if not convention.as_declared)

    @property
    def known(self) -> bool:
        """Whether a known convention explains every output, right or wrong."""
        return all(convention.known for convention in self.conventions)

    @property
    def text(self) -> str:
        """All that was found: "normalizes by M - 1; eps outside the root; momentum weighs the old statistics; ..."."""
        return _joined(self.conventions)

    @property
    def deviations(self) -> str:
        """What was found to be other than declared; "" if nothing is."""
        return _joined(self.deviating)


def _joined(conventions: Iterable[Convention]) -> str:
    return "; ".join(dict.fromkeys(convention.found for convention in conventions))


def describe(kernel: Kernel, dtype: str, norm: Norm) -> str:
    """The conventions of a kernel in one sentence. Raises whatever the kernel raises."""
    return infer(kernel, dtype, norm).text


def infer(kernel: Kernel, dtype: str, norm: Norm = "batch", *, ddof: int = 0, rank: int | None = None) -> Conventions:
    """The conventions that explain the outputs of a kernel, beside those declared.

    ``ddof`` is what is declared of the variance that is kept; ``rank`` is the number of dimensions of
    x, 2 or for instance norm 3 if it is not given. Costs one train step, one eval call for batch norm,
    and one more of each where eps seems to be fixed. Raises whatever the kernel raises.
    """
    design = _design(dtype, norm, rank)
    fixture = make_fixture(design, dtype)
    outputs = kernel(fixture.inputs)
    centred, mean, variance = _centred(fixture.inputs)
    bessel = variance * (centred.shape[1] / (centred.shape[1] - 1))
    divisor, eps = _normalization(kernel, fixture, outputs.y, {"M": (centred, variance), "M - 1": (centred, bessel)})
    conventions = [
        _convention("y", "divisor", "normalizes by {}", divisor, "M"),
        _convention("y", "eps", "{}", eps, RIGHT_DIVISOR),
    ]
    if norm != "batch":
        return Conventions(conventions=tuple(conventions))

    side = _momentum(fixture, mean.ravel(), outputs.running_mean)
    kept, var_side = _kept(fixture, {"M": variance, "M - 1": bessel}, outputs.running_var, side)
    same = var_side in {side, None}
    conventions.append(
        _convention(
            "running_mean", "momentum", "momentum {}" if same else "momentum of running_mean {}", side, RIGHT_WEIGHT
        )
    )
    if not same:
        conventions.append(_convention("running_var", "momentum", "momentum of running_var {}", var_side, RIGHT_WEIGHT))
    declared = f"the variance, divisor {'M - 1' if ddof else 'M'}"
    conventions.append(_convention("running_var", "kept", "running_var keeps {}", kept, declared))

    evaluated = make_fixture(design, dtype, training=False)
    source, eps = _evaluation(kernel, evaluated)
    conventions += [
        _convention("y in eval mode", "eval statistics", "eval mode uses {}", source, "the running statistics"),
        _convention("y in eval mode", "eval eps", "{} in eval mode", eps, RIGHT_DIVISOR),
    ]
    return Conventions(conventions=tuple(conventions))


def _convention(quantity: str, name: str, words: str, found: str | None, declared: str) -> Convention:
    return Convention(
        name=name,
        found=f"{quantity} {UNKNOWN}" if found is None else words.format(found),
        declared=words.format(declared),
    )


def _design(dtype: str, norm: Norm, rank: int | None) -> Design:
    """Three variances, 1/7, 3.6 and 17 times eps; M = 9, so that both divisors are far apart."""
    shapes: dict[Norm, tuple[int, ...]] = {"batch": (9, 3), "group": (3, 18), "instance": (3, 3, 9)}
    shape = shapes.get(norm, (3, 9))
    return Design(
        shape=shape + (1,) * ((rank or 0) - len(shape)),
        norm=norm,
        groups=2 if norm == "group" else 1,
        sds=(4, 8, 16),
        square_eps=14,
        exponent=0 if dtype == "float16" else -9,
    )


def _centred(inputs: Inputs) -> tuple[Array, Array, Array]:
    """Centred blocks, their mean and their variance (divisor M), float64."""
    x = to_blocks(inputs.x.astype(np.float64), inputs.options.norm, inputs.options.groups)
    if inputs.options.norm == "rms":
        return x, np.zeros((len(x), 1)), (x**2).mean(1, keepdims=True)
    mean, variance = statistics(x)
    return x - mean, mean, variance


def _best(candidates: Iterable[tuple[str, str, Array]], got: Array, unit: Array) -> tuple[str, str] | tuple[None, None]:
    """The two names of the candidate that is nearest, if it is as near as rounding explains."""
    nearest: tuple[str, str] | tuple[None, None] = (None, None)
    least = ROUNDING.limit
    for first, second, value in candidates:
        error = float(in_units(got, value, unit).max()) if got.shape == value.shape else np.inf
        if error < least:
            nearest, least = (first, second), error
    return nearest


def _normalization(kernel: Kernel, fixture: Fixture, y: Array, sources: Sources) -> tuple[str, str] | tuple[None, None]:
    """Which source explains y, and where eps is."""
    inputs, unit = fixture.inputs, fixture.units["y"]
    norm, groups, eps = inputs.options.norm, inputs.options.groups, inputs.options.eps
    gamma, beta = (per_channel(a.astype(np.float64), inputs.x.ndim) for a in (inputs.gamma, inputs.beta))

    def affine(x_hat: Array) -> Array:
        return np.asarray(gamma * from_blocks(x_hat, inputs.x.shape, norm) + beta)

    found = _best(
        (
            (source, name, affine(centred / divisor(v, eps)))
            for source, (centred, v) in sources.items()
            for name, divisor in DIVISORS.items()
        ),
        y,
        unit,
    )
    if found[0] is not None or y.shape != inputs.x.shape:
        return found
    x_hat = to_blocks((y - beta) / gamma, norm, groups)
    source, own = _best(
        ((source, own, affine(value)) for source, own, value in _with_another_eps(x_hat, sources)), y, unit
    )
    if source is None or own is None:
        return None, None
    doubled = replace(inputs, options=replace(inputs.options, eps=2 * eps))
    fixed = in_units(kernel(doubled).y, y, unit).max() <= ROUNDING.limit
    return source, f"eps fixed at {own}" if fixed else f"eps = {eps:.3g} taken as {own}"


def _with_another_eps(x_hat: Array, sources: Sources) -> Iterator[tuple[str, str, Array]]:
    """x_hat as an eps explains it that the block of smallest variance gives: the other blocks have to agree."""
    for source, (centred, v) in sources.items():
        least = int(np.argmin(v))
        with np.errstate(divide="ignore", invalid="ignore"):
            sd = (centred[least] ** 2).sum() / (centred[least] * x_hat[least]).sum()
        for place, eps in {"inside": sd**2 - v[least, 0], "outside": sd - np.sqrt(v[least, 0])}.items():
            if 0 < eps < np.inf:
                yield source, f"{eps:.3g} {place} the root", centred / DIVISORS[f"eps {place} the root"](v, eps)


def _moved(old: Array, new: Array, weight: float) -> Array:
    return (1 - weight) * old + weight * new


def _momentum(fixture: Fixture, mean: Array, running_mean: Array) -> str | None:
    inputs = fixture.inputs
    old, momentum = inputs.running_mean.astype(np.float64), inputs.options.momentum
    candidates = ((side, "", _moved(old, mean, weight(momentum))) for side, weight in WEIGHTS.items())
    return _best(candidates, running_mean, fixture.units["running_mean"])[0]


def _kept(
    fixture: Fixture, variances: Mapping[str, Array], running_var: Array, side: str | None
) -> tuple[str, str] | tuple[None, None]:
    """What is kept of the variance, and what momentum weighs of it; ``side`` is tried first."""
    inputs = fixture.inputs
    old, options = inputs.running_var.astype(np.float64), inputs.options
    if (running_var == inputs.running_var).all():
        return "nothing", "is ignored, the statistics never move"

    def candidates() -> Iterator[tuple[str, str, Array]]:
        for weighing in sorted(WEIGHTS, key=lambda name: name != side):
            for name, rule in KEPT.items():
                for divisor, v in variances.items():
                    new = rule(v, options.eps).ravel()
                    yield f"{name}, divisor {divisor}", weighing, _moved(old, new, WEIGHTS[weighing](options.momentum))

    # What is kept may be much larger than a variance, and rounds at its own size.
    size = roundoff(running_var.dtype) * np.abs(running_var.astype(np.float64))
    return _best(candidates(), running_var, np.maximum(fixture.units["running_var"], size))


def _evaluation(kernel: Kernel, fixture: Fixture) -> tuple[str, str] | tuple[None, None]:
    """Which statistics eval mode uses, and where eps is."""
    inputs = fixture.inputs
    x = to_blocks(inputs.x.astype(np.float64), "batch")
    mean, variance = (a.astype(np.float64)[:, np.newaxis] for a in (inputs.running_mean, inputs.running_var))
    centred, _, batch_variance = _centred(inputs)
    sources = {
        "the running statistics": (x - mean, variance),
        "the batch's statistics": (centred, batch_variance),
        "the batch's mean and the running variance": (centred, variance),
        "the running mean and the batch's variance": (x - mean, batch_variance),
    }
    return _normalization(kernel, fixture, kernel(inputs).y, sources)
