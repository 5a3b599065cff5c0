"""The functions of UW homework 2 as stages: what they are given, what they answer, on which cases.

Shapes: ``x`` and ``d`` (the gradient of the loss by the normalized values) are ``(R, C)``, C columns in G
groups of n neighbours; ``m``, ``v`` and their gradients ``dm``, ``dv`` are ``(1, G)``. A group has
M = R n elements. Everything handed to a submission is float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from bnbench.model import Array

Stage: TypeAlias = Literal[
    "mean", "variance", "normalize", "delta_mean", "delta_variance", "delta_batch_norm", "forward"
]
ARGUMENTS: Mapping[Stage, tuple[str, ...]] = {
    "mean": ("x",),
    "variance": ("x", "m"),
    "normalize": ("x", "m", "v"),
    "delta_mean": ("d", "v"),
    "delta_variance": ("d", "x", "m", "v"),
    "delta_batch_norm": ("d", "dm", "dv", "m", "v", "x"),
    "forward": ("x", "x_next", "d", "row"),
}
"""Of ``forward`` the arguments are those of a layer's life: two batches, a backward pass, one row."""

LAYER_RESULTS = ("y", "mean_1", "variance_1", "y_next", "mean_2", "variance_2", "dx", "y_row", "mean_3", "variance_3")
"""What a layer answers: after each forward pass also its rolling averages."""

EPS = 1e-5
"""What the homework prescribes; the older edition prescribes none."""
ROLLING = 0.1
"""Weight of the new batch in the rolling averages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came of one call."""

    status: Literal["returned", "missing", "crashed", "timeout", "bad_result"]
    results: tuple[Array, ...] = ()
    """The result; for ``forward`` all of ``LAYER_RESULTS``. float32, with the shapes they came with."""
    arguments: tuple[Array, ...] = ()
    """The arguments as they are after the call."""
    aliased: int | None = None
    """Index of the argument whose memory the result is."""
    detail: str = ""


Call: TypeAlias = Callable[[Stage, int, tuple[Array, ...]], Answer]
"""``call(stage, groups, arguments)``: the door to a submission."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageCase:
    """True inputs of every stage: float32 values, held in float64."""

    name: str
    groups: int
    arrays: Mapping[str, Array]
    given: bool = False
    """Whether ``v``, ``dm`` and ``dv`` are numbers of their own, not those of ``x`` and ``d``."""

    @property
    def rows(self) -> int:
        return int(self.arrays["x"].shape[0])

    @property
    def spatial(self) -> int:
        return int(self.arrays["x"].shape[1]) // self.groups


def stage_cases() -> tuple[StageCase, ...]:
    """Cases whose counts (rows, n, groups, columns) differ, a constant channel, one row, tiny variances.

    With one element in a group, an integer division 1/(rows*n) is not zero.
    """
    return (
        _case("rows < cols", 5, 4, 3, seed=1),
        _case("a constant channel", 6, 2, 5, seed=2, constant=True),
        _case("tiny variance", 4, 6, 2, seed=3, v=np.array([[0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1.0]])),
        _case("one row", 1, 3, 7, seed=4),
        _case("one element", 1, 3, 1, seed=7, v=np.array([[0.5, 1.0, 2.0]])),
        _case("n = 1", 9, 4, 1, seed=5),
        _case("rows > cols", 14, 3, 2, seed=6),
    )


def drawn_case(seed: int) -> StageCase:
    """An ordinary case on other data than :func:`stage_cases` has, all of whose counts differ as well."""
    return _case("drawn", 7, 3, 4, seed=seed)


def _float32(a: Array) -> Array:
    rounded: Array = a.astype(np.float32).astype(np.float64)
    return rounded


def _case(
    name: str, rows: int, groups: int, spatial: int, *, seed: int, constant: bool = False, v: Array | None = None
) -> StageCase:
    """Draw a case. With ``v`` the variance is given, as a rolling average is.

    ``m`` is always the mean: only then is the path from the mean through the variance zero, which a
    submission may follow or leave out.
    """
    draws = np.random.default_rng(seed)
    given = v is not None
    x = draws.normal(1.5, 1.0, (rows, groups * spatial)) * np.repeat(draws.uniform(0.5, 2, groups), spatial)
    d = draws.normal(0.25, 1.0, x.shape)
    if constant:
        x[:, :spatial] = 0.75
    if v is None:
        blocks = _float32(x).reshape(rows, groups, spatial)
        m, v = blocks.mean((0, 2))[np.newaxis], blocks.var((0, 2))[np.newaxis]
        gradients = d.reshape(rows, groups, spatial)
        dm = -gradients.sum((0, 2)) / np.sqrt(v + EPS)
        dv = -0.5 * (gradients * (blocks - m[0, :, np.newaxis])).sum((0, 2)) / (v + EPS) ** 1.5
    else:
        dm, dv = draws.normal(size=(2, 1, groups))
        x *= np.sqrt(np.repeat(v, spatial, axis=1) + EPS)
        if rows * spatial > 1:  # about zero, lest rounding of x - m hide what eps is
            x -= np.repeat(x.reshape(rows, groups, spatial).mean((0, 2)), spatial)
        m = _float32(x).reshape(rows, groups, spatial).mean((0, 2))[np.newaxis]
    x_next, row = draws.normal(-1.0, 1.5, x.shape), draws.normal(0.5, 1.0, x[:1].shape)
    arrays = {"x": x, "m": m, "v": v, "d": d, "dm": dm, "dv": dv, "x_next": x_next, "row": row}
    rounded = {key: _float32(array) for key, array in arrays.items()}
    return StageCase(name=name, groups=groups, arrays=rounded, given=given)
