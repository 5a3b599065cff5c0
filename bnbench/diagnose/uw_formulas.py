"""The formulas of UW homework 2, with a parameter wherever handed-in files go wrong.

With the right parameters a formula is the reference, in float64; with others it is the mistake that they
name (:mod:`bnbench.diagnose.uw_mistakes`). Formulas: Ioffe and Szegedy, arXiv:1502.03167, section 3,
without gamma and beta. The gradient by the mean leaves out the path through the variance, which is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from bnbench.diagnose.uw_stages import EPS, Stage, StageCase
from bnbench.model import Array

Parameters: TypeAlias = Mapping[str, Any]

UNIT = float(np.finfo(np.float32).eps) / 2

SPREADS: Mapping[str, Callable[[Array, float, float], Array]] = MappingProxyType(
    {
        "inside": lambda v, eps, power: (v + eps) ** (-power / 2),
        "outside": lambda v, eps, power: (v**0.5 + eps) ** -power,
        "after": lambda v, eps, power: 1 / (v ** (power / 2) + eps),
        "larger": lambda v, eps, power: np.maximum(v, eps) ** (-power / 2),
        "special": lambda v, value, power: np.where(v == 0, value, np.where(v == 0, 1, v) ** (-power / 2)),
    }
)
"""Where eps stands in sd^-power; ``larger`` takes eps where v is less, ``special`` a number where v is zero."""

RIGHT: Mapping[Stage, Parameters] = {
    "mean": {"weight": "M", "groups": "blocks"},
    "variance": {"weight": "M", "groups": "blocks", "operand": "xc", "power": 2, "root": 1},
    "normalize": {"numerator": "xc", "spread": ("inside", EPS), "power": 1, "operation": "divide"},
    "delta_mean": {"sign": -1, "spread": ("inside", EPS), "power": 1, "weight": "1", "groups": "blocks"},
    "delta_variance": {
        "factor": -0.5,
        "operand": "xc",
        "spread": ("inside", EPS),
        "power": 3,
        "weight": "1",
        "groups": "blocks",
    },
    "delta_batch_norm": {
        "direct": 1,
        "spread": ("inside", EPS),
        "power": 1,
        "variance_factor": 2,
        "mean_factor": 1,
        "operand": "xc",
        "weight": "M",
        "variance_weight": "M",
        "mean_weight": "M",
    },
}

WEIGHTS: Mapping[str, Callable[[int, int, int], float]] = {
    "M": lambda rows, n, _: 1 / (rows * n),
    "1": lambda _r, _n, _g: 1,
    "rows": lambda rows, _n, _g: 1 / rows,
    "n": lambda _r, n, _g: 1 / n,
    "groups": lambda _r, _n, groups: 1 / groups,
    "cols": lambda _r, n, groups: 1 / (n * groups),
    "rows * cols": lambda rows, n, groups: 1 / (rows * n * groups),
    "rows * groups": lambda rows, _n, groups: 1 / (rows * groups),
    "rows / n": lambda rows, n, _: n / rows,
    "rows / n, whole": lambda rows, n, _: 1 / (rows // n) if rows >= n else float("inf"),
    "n / rows": lambda rows, n, _: rows / n,
    "n / rows, whole": lambda rows, n, _: 1 / (n // rows) if n >= rows else float("inf"),
    "M - 1": lambda rows, n, _: 1 / (rows * n - 1) if rows * n > 1 else float("inf"),
    "rows - 1": lambda rows, _n, _g: 1 / (rows - 1) if rows > 1 else float("inf"),
    "M * M": lambda rows, n, _: 1 / (rows * n) ** 2,
    "zero": lambda rows, n, _: float(rows * n == 1),
}
"""What a sum is multiplied by, given rows, n and groups; the keys are counts as a student writes them."""


class View:
    """A case's arrays for a formula; in ``absolute`` mode every term counts with its magnitude."""

    def __init__(self, case: StageCase, *, absolute: bool = False) -> None:
        arrays = {name: np.abs(a) if absolute else a for name, a in case.arrays.items()}
        self.x, self.m, self.v = arrays["x"], arrays["m"], arrays["v"]
        self.d, self.dm, self.dv = arrays["d"], arrays["dm"], arrays["dv"]
        self.sizes = (case.rows, case.spatial, case.groups)
        self.sign = 1 if absolute else -1
        self.absolute = absolute

    def wide(self, a: Array, how: str = "blocks") -> Array:
        """Give each column the value of its group: its block of n columns, or column modulo groups."""
        columns = np.arange(self.x.shape[1])
        at = columns // self.sizes[1] if how != "interleaved" else columns % self.sizes[2]
        chosen: Array = a[:, at]
        return chosen

    def total(self, a: Array, how: str) -> Array:
        """Sum over the rows and the columns of a group: ``(1, G)``."""
        _, n, groups = self.sizes
        if how == "everything":
            return np.full((1, groups), a.sum())
        columns = a.sum(0)
        blocks = columns.reshape(n, groups).sum(0) if how == "interleaved" else columns.reshape(groups, n).sum(1)
        total: Array = blocks[np.newaxis]
        return total

    def centred(self, how: str = "blocks") -> Array:
        return self.x + self.sign * self.wide(self.m, how)

    def number(self, value: float) -> float:
        return abs(value) if self.absolute else value


def evaluate(stage: Stage, case: StageCase, parameters: Parameters) -> tuple[Array, Array]:
    """Value of a stage on a case, and the magnitude of what was added up: rounding errors are shares of it."""
    with np.errstate(all="ignore"):
        return FORMULAS[stage](View(case), parameters), FORMULAS[stage](View(case, absolute=True), parameters)


def error(got: Array, value: Array, magnitude: Array) -> float:
    """Largest difference, in units of float32 rounding of the magnitude; infinite where only one is finite."""
    if got.shape != value.shape:
        return float("inf")
    with np.errstate(all="ignore"):
        units = np.abs(got - value) / (UNIT * magnitude + float(np.finfo(np.float32).tiny))
    finite = np.isfinite(got) & (np.abs(value) < float(np.finfo(np.float32).max))
    beyond = ~np.isfinite(got) & ~(np.abs(value) < float(np.finfo(np.float32).max))
    return float(np.max(np.where(beyond, 0.0, np.where(finite, units, np.inf)), initial=0.0))


def _mean(c: View, p: Parameters) -> Array:
    return c.total(c.x, p["groups"]) * WEIGHTS[p["weight"]](*c.sizes)


def _variance(c: View, p: Parameters) -> Array:
    how, weight = p["groups"], WEIGHTS[p["weight"]](*c.sizes)
    if p["operand"] == "m":
        return c.m * weight
    if p["operand"] == "E[x^2] - m":
        return c.total(c.x**2, how) * weight + c.sign * c.m
    operand = c.x if p["operand"] == "x" else c.centred(how)
    value: Array = (c.total(operand ** p["power"], how) * weight) ** p["root"]
    return value


def _spread(c: View, p: Parameters) -> Array:
    form, eps = p["spread"]
    return c.wide(SPREADS[form](c.v, eps, p["power"]))


def _normalize(c: View, p: Parameters) -> Array:
    numerators = {"xc": c.centred(), "x": c.x, "m - x": c.sign * c.centred(), "x + m": c.x + c.wide(c.m)}
    numerator = numerators[p["numerator"]]
    if p["operation"] == "subtract":
        return numerator + c.sign / _spread(c, p)
    if p["operation"] == "multiply":
        return numerator / _spread(c, p)
    if p["operation"] == "none":
        return numerator
    return numerator * _spread(c, p)


def _delta_mean(c: View, p: Parameters) -> Array:
    form, eps = p["spread"]
    spread = SPREADS[form](c.v, eps, p["power"])
    return c.number(p["sign"]) * c.total(c.d, p["groups"]) * spread * WEIGHTS[p["weight"]](*c.sizes)


def _delta_variance(c: View, p: Parameters) -> Array:
    operands = {"xc": c.centred(p["groups"]), "x": c.x, "1": np.ones_like(c.x), "m": c.wide(c.m, p["groups"])}
    form, eps = p["spread"]
    spread = SPREADS[form](c.v, eps, p["power"])
    total = c.total(c.d * operands[p["operand"]], p["groups"])
    return c.number(p["factor"]) * total * spread * WEIGHTS[p["weight"]](*c.sizes)


def _delta_batch_norm(c: View, p: Parameters) -> Array:
    share = WEIGHTS[p["weight"]](*c.sizes) * c.sizes[0] * c.sizes[1]
    through_v = share * WEIGHTS[p["variance_weight"]](*c.sizes) * c.number(p["variance_factor"])
    through_m = share * WEIGHTS[p["mean_weight"]](*c.sizes) * c.number(p["mean_factor"])
    operand = c.x if p["operand"] == "x" else c.centred()
    direct = p["direct"] * c.d * _spread(c, p)
    value: Array = direct + through_v * operand * c.wide(c.dv) + through_m * c.wide(c.dm)
    return value


FORMULAS: Mapping[Stage, Callable[[View, Parameters], Array]] = {
    "mean": _mean,
    "variance": _variance,
    "normalize": _normalize,
    "delta_mean": _delta_mean,
    "delta_variance": _delta_variance,
    "delta_batch_norm": _delta_batch_norm,
}
