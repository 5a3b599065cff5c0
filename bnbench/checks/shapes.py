"""Does y depend on how the numbers lie in memory, on which axis they lie, or on how many there are?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from bnbench.cases import draw, draw_cotangent, shape_text, sized
from bnbench.checks._check import check
from bnbench.checks._units import block_unit
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs, rounding_unit
from bnbench.compare import agrees, compare
from bnbench.kernels import ARGUMENTS, attempt
from bnbench.model import Array, Case, Comparison, Inputs, Subject
from bnbench.reference import normalize
from bnbench.rounding import output_units
from bnbench.tolerances import ROUNDING

SIZES = ((2, 17), (3, 7), (5, 33), (7, 7), (9, 1), (17, 3), (31, 9), (33, 1), (257, 3))
"""Elements of a block, and blocks: around vector widths and unrolled loops, once as many as the other."""


def _every_second(a: Array) -> Array:
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), dtype=a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def _read_only(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran order": np.asfortranarray,
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "every second element": _every_second,
    "read-only": _read_only,
}


@check(
    "BN122",
    mutant="memory_order_taken_for_c",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="a pointer walked without its strides, or a reshape in memory order",
)
def layout_does_not_matter(subject: Subject, case: Case) -> Iterator[Comparison]:
    """The same numbers in another memory layout give the same y, dx, dgamma and dbeta.

    In Fortran order, with negative strides, as every second element of a larger array (the others are NaN), and
    read-only. Sums may be taken in another order, so that rounding is granted; a layout may also be refused, with
    TypeError or ValueError.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    first = subject.kernel(inputs, dy)
    units = {**output_units(inputs, dy), "dx": block_unit(inputs, dy)}
    for layout, lay in LAYOUTS.items():
        arrays: dict[str, Any] = {name: lay(getattr(inputs, name)) for name in ARGUMENTS}
        answer = attempt(subject.kernel, replace(inputs, **arrays, as_laid_out=True), lay(dy))
        if isinstance(answer, str):
            yield agrees(layout, f"refused: {answer}")
            continue
        got, expected = ({"y": outputs.y, **outputs.gradients[0]._asdict()} for outputs in (answer, first))
        for quantity, unit in units.items():
            yield compare(f"{quantity}, {layout}", got[quantity], expected[quantity], unit, ROUNDING)


def _reshaped(inputs: Inputs) -> tuple[Inputs, Callable[[Array], Array]]:
    """The same blocks in another shape, and how to bring y back.

    Batch norm: (N, C, *S) as (N S, C), or (N, C) as (1, C, N). Layer, group and RMS norm: as (N, C S) with every
    gamma S times, or (N, C) as (N, C, 1). Instance norm: as (1, N C, *S) with gamma N times.
    """
    x, norm = inputs.x, inputs.options.norm
    rows, channels, *spatial = x.shape
    tiled: dict[str, Any]
    positions = int(np.prod(spatial))
    if norm == "batch" and spatial:
        last = (rows, *spatial, channels)
        flat = np.moveaxis(x, 1, -1).reshape(-1, channels)
        return replace(inputs, x=flat), lambda y: np.moveaxis(y.reshape(last), -1, 1)
    if norm == "batch":
        return replace(inputs, x=x.T.copy()[np.newaxis]), lambda y: y[0].T
    if norm == "instance":
        shape = (1, rows * channels, *spatial)
        tiled = {name: np.tile(getattr(inputs, name), rows) for name in ("gamma", "beta")}
    else:
        shape = (rows, channels * positions) if spatial else (rows, channels, 1)
        tiled = {name: np.repeat(getattr(inputs, name), positions) for name in ("gamma", "beta")}
    return replace(inputs, x=x.reshape(shape), **tiled), lambda y: y.reshape(x.shape)


@check(
    "BN123",
    mutant="channels_mixed_by_a_reshape",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="(N, C, H, W) reshaped to (N H W, C) without moving the channels: mean 0 and variance 1 still hold",
)
def the_spatial_axes_are_only_more_elements(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Batch norm of (N, C, H, W) is batch norm of (N H W, C), and likewise for the other norms.

    What is normalized together matters, not along which axes it lies: layer, group and RMS norm of (N, C, H, W) are
    those of (N, C H W) with every gamma repeated, instance norm of (N, C, H, W) is that of (1, N C, H, W).
    """
    inputs = draw(case)
    other, back = _reshaped(inputs)
    as_shape = shape_text(other.x.shape)
    if other.x.ndim not in subject.capabilities.ranks:
        yield agrees(f"y as {as_shape}", f"declares no support for {other.x.ndim} dimensions")
        return
    y = subject.kernel(inputs).y
    unit = rounding_unit(inputs, y.astype(np.float64))
    yield compare(f"y as {as_shape}", back(subject.kernel(other).y), y, unit, ROUNDING)


@check(
    "BN124",
    mutant="rows_beyond_a_multiple_of_256_left_out",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="the tail of a vectorized or blocked loop, or a shape that broadcasts when N = C",
)
def odd_sizes_are_right(subject: Subject, case: Case) -> Iterator[Comparison]:
    """y matches the reference for 2 to 257 elements in a block and 1 to 33 blocks, once as many as the other.

    Sizes that are multiples of 4, 8 and 16 hide the tails of loops; N != C hides a statistic that is broadcast
    along the wrong axis.
    """
    for elements, blocks in SIZES:
        at = sized(case, blocks=blocks, elements=elements)
        inputs = draw(at)
        expected = normalize(inputs).y
        unit = rounding_unit(inputs, expected)
        yield compare(f"y of {shape_text(at.shape)}", subject.kernel(inputs).y, expected, unit, ROUNDING)
