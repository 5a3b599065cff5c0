"""The grid of cases: cases to text and back, and deterministic draws of their data.

A case id reads ``dtype/shape/mode`` followed by whatever differs from the defaults:

>>> from bnbench.cases import case_id, parse_case
>>> case_id(parse_case("float64/9x5/train"))
'float64/9x5/train'
>>> parse_case("float32/4x3x2x2/eval/mean=12/sd=5/seed=3").mean
12.0
"""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any

import numpy as np

from bnbench.model import Array, Case, Inputs

DTYPES = ("float32", "float64")
MODES = {"train": True, "eval": False}
OPTIONAL = {f.name: f.default for f in fields(Case) if f.name not in {"shape", "dtype", "training"}}


class CaseError(ValueError):
    """A text that is not a case id."""


def shape_text(shape: tuple[int, ...]) -> str:
    """``(4, 3, 2)`` as ``4x3x2``."""
    return "x".join(map(str, shape))


def parse_shape(text: str) -> tuple[int, ...]:
    """The inverse of :func:`shape_text`. Raises CaseError."""
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        shape = ()
    if len(shape) < 2 or min(shape) < 1:
        raise CaseError(f"shape {text!r}: expected N x C [x spatial ...] such as 9x5 or 4x3x2x2, all at least 1")
    return shape


def _number_text(value: float) -> str:
    """The shortest text that parses back to the same number: ``12`` for 12.0, ``1e-05`` for 1e-5."""
    return repr(value).removesuffix(".0")


def case_id(case: Case) -> str:
    """The text of a case; defaults are left out."""
    mode = "train" if case.training else "eval"
    extras = [f"{k}={_number_text(getattr(case, k))}" for k, default in OPTIONAL.items() if getattr(case, k) != default]
    return "/".join([case.dtype, shape_text(case.shape), mode, *extras])


def parse_case(text: str) -> Case:
    """The case that prints as ``text``. Raises CaseError saying what was expected where."""
    dtype, _, rest = text.partition("/")
    shape, _, rest = rest.partition("/")
    mode, *extras = rest.split("/")
    if dtype not in DTYPES:
        raise CaseError(f"case {text!r}: dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    if mode not in MODES:
        raise CaseError(f"case {text!r}: mode {mode!r}: expected one of {', '.join(MODES)}")
    case = Case(shape=parse_shape(shape), dtype=dtype, training=MODES[mode])
    for extra in extras:
        key, equals, value = extra.partition("=")
        if key not in OPTIONAL or not equals:
            raise CaseError(f"case {text!r}: {extra!r}: expected one of {', '.join(f'{k}=...' for k in OPTIONAL)}")
        try:
            change: dict[str, Any] = {key: int(value) if key == "seed" else float(value)}
        except ValueError:
            raise CaseError(f"case {text!r}: {extra!r}: {value!r} is not a number") from None
        case = replace(case, **change)
    return case


def count(shape: tuple[int, ...]) -> int:
    """M, the number of elements that are normalized together in one channel: N times the spatial size."""
    return int(shape[0] * np.prod(shape[2:], dtype=int))


def per_channel(a: Array, rank: int) -> Array:
    """``(C,)`` as ``(1, C, 1, ...)``, so that it broadcasts against ``(N, C, *spatial)``."""
    return a.reshape((1, -1) + (1,) * (rank - 2))


def _generator(case: Case, purpose: str) -> np.random.Generator:
    # The dtype is left out of the seed: a case draws the same numbers in float32 and float64.
    text = f"{purpose}/{case_id(replace(case, dtype='float64', training=True))}"
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))


def draw(case: Case) -> Inputs:
    """The arguments of the case: the same on every call, machine and in both modes.

    gamma has mixed signs and |gamma| in [0.5, 2]: with gamma = 1 a backward that forgets it would
    pass. The running statistics differ from the batch's, so that a mode mix-up shows.
    """
    rng = _generator(case, "inputs")
    dtype = np.dtype(case.dtype)
    channels = case.channels
    x = case.sd * rng.standard_normal(case.shape) + case.mean
    gamma = rng.choice([-1.0, 1.0], channels) * rng.uniform(0.5, 2.0, channels)
    beta = rng.standard_normal(channels)
    running_mean = case.mean + case.sd * rng.standard_normal(channels)
    running_var = case.sd**2 * rng.uniform(0.5, 2.0, channels)
    return Inputs(
        x=x.astype(dtype),
        gamma=gamma.astype(dtype),
        beta=beta.astype(dtype),
        running_mean=running_mean.astype(dtype),
        running_var=running_var.astype(dtype),
        options=case.options,
    )


def draw_cotangent(case: Case) -> Array:
    """dy ~ N(0, 1), shaped as x. Never in span{1, x_hat}, where dx of a train step vanishes."""
    return _generator(case, "cotangent").standard_normal(case.shape).astype(case.dtype)


def grid(*, quick: bool = False) -> tuple[Case, ...]:
    """The cases that ``bnbench check`` verifies by default.

    Odd sizes show tails of vectorized loops, N != C shows swapped axes, a variance near eps shows
    epsilon mistakes, a shifted mean shows cancellation, and every rank appears.
    """
    shapes = ((9, 5), (17, 3), (5, 4, 3), (3, 5, 2, 4), (3, 2, 2, 3, 2))
    plain = [Case(shape=shape) for shape in shapes]
    varied = [
        Case(shape=(4, 5), mean=12.0, sd=5.0),
        Case(shape=(8, 7), sd=3e-3),
        Case(shape=(33, 6), eps=1e-3, momentum=0.25, seed=1),
        Case(shape=(5, 3, 4), mean=-3.0, sd=0.5, seed=2),
    ]
    cases = [plain[0], plain[3], varied[1]] if quick else plain + varied
    return tuple(
        replace(case, dtype=dtype, training=training)
        for dtype in DTYPES
        for case in cases
        for training in (True, False)
    )
