"""Exact fixtures: data on which every output of a normalization is a number that the dtype holds.

In units of a power of two, a block has a mean mu and deviations d that are whole numbers,
sum(d) = 0 and mean(d^2) = b^2 - e with eps = e units^2, so that sqrt(v + eps) = b, a power of two.
Nothing then rounds: sums of few small whole numbers are exact in any order, and so are division by b
and by M, because g = gamma dy is chosen with whole means of g and of g d (:mod:`bnbench.dyadic`).
With M = 2^k + 1 the factor M / (M - 1) is exact too, so that running_var is known to the last bit for
both ddof. gamma is a power of two, of either sign.

A correct implementation has no mismatching element, or rounds a few times (a sum times 1 / M in
place of a division, an online variance). An error of a convention is of the size of the data.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeAlias

import numpy as np

from bnbench.blocks import channel_sum, from_blocks, groups_of, per_channel, to_blocks
from bnbench.cases import shape_text
from bnbench.dyadic import cotangent, deviations
from bnbench.model import Array, Gradients, Inputs, Norm, Options, Outputs
from bnbench.rounding import output_units, standardized
from bnbench.tolerances import roundoff

Kind: TypeAlias = Literal["plain", "large mean", "any eps"]

MOMENTUM = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Fixture:
    """Inputs and a cotangent with the outputs that are exact for them."""

    name: str
    kind: Kind
    """"large mean": mean / sd is 2^8 and more. "any eps": v + eps rounds to v for every eps <= 1e-3,
    so that an implementation with an eps of its own has the same outputs."""
    inputs: Inputs
    dy: Array
    expected: Mapping[int, Outputs]
    """By the ddof of what is kept of the variance: those of 0 and 1 for which running_var is exact."""
    units: Mapping[str, Array]
    """One rounding unit of every output, by its name: float64, shaped as the output (:mod:`bnbench.rounding`)."""

    def outputs(self, ddof: int) -> dict[str, Array]:
        """The exact outputs by name, for what is declared of the variance that is kept.

        The running statistics are there where they move, running_var only where it is exact.
        """
        options = self.inputs.options
        found = named(self.expected.get(ddof, self.expected[0]))
        if ddof not in self.expected:
            del found["running_var"]
        if options.norm == "batch" and options.training:
            return found
        return {name: a for name, a in found.items() if not name.startswith("running")}


def named(outputs: Outputs) -> dict[str, Array]:
    """The six outputs by name; gradients are those of the first cotangent, and left out where there was none."""
    arrays = {"y": outputs.y, "running_mean": outputs.running_mean, "running_var": outputs.running_var}
    for gradients in outputs.gradients[:1]:
        arrays |= gradients._asdict()
    return arrays


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """What a fixture is made from. Lengths are in units of 2^exponent."""

    shape: tuple[int, ...]
    norm: Norm
    groups: int = 1
    kind: Kind = "plain"
    sds: tuple[int, ...]
    """sqrt(v + eps) of the blocks, in turn: powers of two."""
    square_eps: int
    """eps in square units; 0 where eps is too small to be seen."""
    exponent: int
    offset: int = 0
    """What the means of the blocks lie near."""

    @property
    def eps(self) -> float:
        return math.ldexp(self.square_eps, 2 * self.exponent) or 1e-5

    @property
    def name(self) -> str:
        groups = str(self.groups) if self.norm == "group" else ""
        mean = f" 2^{round(math.log2(self.offset))}" if self.offset else ""
        variant = "" if self.kind == "plain" else f", {self.kind}{mean}"
        return f"{self.norm}{groups} {shape_text(self.shape)}{variant}"


SHAPES: dict[Norm, tuple[tuple[tuple[int, ...], int], ...]] = {
    "batch": tuple(
        (shape, 1)
        for shape in (
            *((8, 3), (9, 5), (17, 3), (32, 7), (65, 5), (257, 3)),
            *((3, 5, 3), (4, 3, 8), (2, 3, 2, 2), (3, 5, 1, 3), (5, 3, 13, 1), (2, 3, 1, 2, 2), (3, 5, 1, 3, 1)),
        )
    ),
    "layer": tuple(
        (shape, 1)
        for shape in (
            *((3, 8), (5, 9), (3, 17), (7, 32), (3, 65), (2, 257)),
            *((5, 3, 3), (3, 4, 8), (3, 2, 2, 2), (5, 3, 1, 3), (3, 5, 13, 1), (3, 2, 1, 2, 2), (5, 3, 1, 3, 1)),
        )
    ),
    "group": (
        *(((3, 24), 3), ((3, 18), 2), ((2, 51), 3), ((2, 130), 2), ((2, 514), 2)),
        *(((3, 6, 3), 2), ((2, 12, 8), 3), ((2, 6, 2, 2), 3), ((3, 9, 1, 3), 3), ((3, 6, 1, 3, 1), 2)),
    ),
    "instance": tuple(
        (shape, 1)
        for shape in (
            *((3, 5, 8), (2, 5, 9), (3, 3, 17), (2, 3, 65), (2, 3, 257)),
            *((3, 5, 3, 3), (2, 3, 4, 2), (3, 3, 2, 16), (3, 5, 3, 1, 3), (2, 3, 2, 2, 2)),
        )
    ),
}
SHAPES["rms"] = SHAPES["layer"]
"""Shape and groups. M is 8, 9, 17, 32, 65 or 257; M and the number of channels are odd more often than not."""

EXPONENTS = {"float16": (0,), "float32": (-9, 0, 4), "float64": (-9, 0, 13)}
"""-9 with a square eps of 1 or 4 makes eps 4e-6 or 1.5e-5."""
SDS = {"float16": (4, 2, 8), "float32": (4, 2, 8, 16, 32), "float64": (4, 2, 8, 16, 32)}
MOST_ELEMENTS = {"float16": 17, "float32": 257, "float64": 257}
"""Beyond, sums have more bits than the dtype."""
OFFSETS: dict[str, tuple[int, ...]] = {"float16": (), "float32": (1 << 12, 1 << 20), "float64": (1 << 20, 1 << 30)}
"""In float64 a variance from sums of squares is exact at 2^20 and loses everything at 2^30."""
SWALLOWING = {"float16": 1, "float32": 11, "float64": 25}
"""The exponent from which on eps <= 1e-3 vanishes beside v."""


@cache
def fixtures(norm: Norm, dtype: str, *, training: bool = True, rank: int | None = None) -> tuple[Fixture, ...]:
    """The exact fixtures of a norm, mode and rank in one of float16, float32 and float64.

    Raises KeyError for any other dtype. Arrays are read-only: they are made once and shared.
    """
    return tuple(
        make_fixture(design, dtype, training=training)
        for design in designs(norm, dtype)
        if rank in {None, len(design.shape)}
    )


def designs(norm: Norm, dtype: str) -> Iterator[Design]:
    """All designs that are exact in this dtype."""
    large: set[int] = set()
    swallowed: set[int] = set()
    for turn, (shape, groups) in enumerate(SHAPES[norm]):
        elements = to_blocks(np.empty(shape, dtype=bool), norm, groups).shape[1]
        if elements > MOST_ELEMENTS[dtype]:
            continue
        # An odd M leaves one element without a partner, so that M (b^2 - e) must be even.
        exponent = EXPONENTS[dtype][turn % len(EXPONENTS[dtype])]
        sds = SDS[dtype] if elements % 2 else tuple(b // 2 for b in SDS[dtype])
        plain = Design(
            shape=shape,
            norm=norm,
            groups=groups,
            sds=sds,
            square_eps=sds[1] ** 2,
            exponent=exponent,
        )
        yield plain
        if elements == 9 and len(shape) not in swallowed:
            swallowed.add(len(shape))
            yield replace(plain, kind="any eps", sds=(2, 4, 8), square_eps=0, exponent=SWALLOWING[dtype])
        if norm != "rms" and elements == 9 and len(shape) not in large:
            large.add(len(shape))
            for offset in OFFSETS[dtype]:
                yield replace(plain, kind="large mean", offset=offset)


def make_fixture(design: Design, dtype: str, *, training: bool = True) -> Fixture:
    """Draw the data of a design, always the same, and say what normalization makes of it."""
    rng = np.random.default_rng(zlib.crc32(design.name.encode()))
    shape, norm, rank = design.shape, design.norm, len(design.shape)
    blocks, elements = to_blocks(np.empty(shape, dtype=bool), norm, groups_of(shape[1], norm, design.groups)).shape
    sds = np.resize(design.sds, blocks)
    d = np.array([deviations(elements, int(b) ** 2 - design.square_eps, rng, paired=norm != "rms") for b in sds])
    g = np.array([cotangent(row, rng) for row in d])
    mean = np.zeros(blocks) if norm == "rms" else design.offset + rng.permutation(np.arange(blocks) % 11 - 4) + 0.0

    # Everything below is exact in float64, because these are few-digit numbers and powers of two.
    unit = math.ldexp(1, design.exponent)
    channels = shape[1]
    gamma = rng.choice([-1.0, 1.0], channels) * rng.choice([0.5, 1.0, 2.0], channels)
    beta = rng.choice([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0], channels)
    wide_gamma = per_channel(gamma, rank)
    dy = from_blocks(g / 1.0, shape, norm) / wide_gamma
    running_mean = design.offset + rng.integers(-9, 10, channels) + 0.0
    running_sd = rng.choice([sd for sd in design.sds if sd**2 > design.square_eps], channels)
    running_var = running_sd**2.0 - design.square_eps

    x = from_blocks(mean[:, np.newaxis] + d, shape, norm)
    constants = norm == "batch" and not training
    if constants:
        sd = running_sd / 1.0
        x_hat = (x - per_channel(running_mean, rank)) / per_channel(sd, rank)
        through = g / 1.0
    else:
        sd = sds / 1.0
        x_hat = from_blocks(d / sd[:, np.newaxis], shape, norm)
        through = g - d * (g * d).mean(1, keepdims=True) / sd[:, np.newaxis] ** 2
        if norm != "rms":
            through = through - g.mean(1, keepdims=True)
    gradients = Gradients(
        from_blocks(through / (sd * unit)[:, np.newaxis], shape, norm), channel_sum(dy * x_hat), channel_sum(dy)
    )
    variance = sds**2.0 - design.square_eps

    def held(a: Array) -> Array:
        a = np.ascontiguousarray(a, dtype=dtype)
        a.flags.writeable = False
        return a

    def outputs(ddof: int) -> Outputs:
        new_mean, new_var = running_mean, running_var
        if norm == "batch" and training:
            kept = variance * elements / (elements - ddof)
            new_mean = running_mean + MOMENTUM * (mean - running_mean)
            new_var = running_var + MOMENTUM * (kept - running_var)
        return Outputs(
            y=held(wide_gamma * x_hat + per_channel(beta, rank)),
            running_mean=held(new_mean * unit),
            running_var=held(new_var * unit**2),
            gradients=(Gradients(*(held(a) for a in gradients)),),
        )

    inputs = Inputs(
        x=held(x * unit),
        gamma=held(gamma),
        beta=held(beta),
        running_mean=held(running_mean * unit),
        running_var=held(running_var * unit**2),
        options=Options(training=training, norm=norm, groups=design.groups, eps=design.eps, momentum=MOMENTUM),
    )
    # M / (M - 1) is a dyadic number only for M = 2^k + 1.
    both = norm != "batch" or not training or (elements - 1).bit_count() == 1
    return Fixture(
        name=design.name,
        kind=design.kind,
        inputs=inputs,
        dy=held(dy),
        expected={ddof: outputs(ddof) for ddof in ((0, 1) if both else (0,))},
        units=rounding_units(inputs, held(dy)),
    )


def rounding_units(inputs: Inputs, dy: Array) -> dict[str, Array]:
    """One rounding unit of every output; those of the running statistics follow the old and the batch's."""
    units = output_units(inputs, dy)
    if inputs.options.norm == "batch":
        at, u = standardized(inputs), roundoff(inputs.x.dtype)
        size = (at.sd * at.kappa)[:, 0]
        units["running_mean"] = u * (np.abs(inputs.running_mean.astype(np.float64)) + size)
        units["running_var"] = u * (inputs.running_var.astype(np.float64) + size * at.sd[:, 0])
    return units
