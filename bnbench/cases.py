"""The grid of cases: cases to text and back, and deterministic draws of their data.

A case id reads ``dtype/shape/mode``, the mode being train or eval for batch norm, the name of the norm
for the others, followed by whatever differs from the defaults:

>>> from bnbench.cases import case_id, parse_case
>>> case_id(parse_case("float64/9x5/train"))
'float64/9x5/train'
>>> parse_case("float32/4x3x2x2/eval/mean=12/sd=5/seed=3").mean
12.0
>>> parse_case("float64/4x6x3/group2").groups
2
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import fields, replace
from typing import Any

import numpy as np

from bnbench.blocks import GROUPED, groups_of, to_blocks
from bnbench.model import Array, Capabilities, Case, Inputs

DTYPES = ("float16", "float32", "float64")
MODES: dict[str, dict[str, Any]] = {
    "train": {"training": True},
    "eval": {"training": False},
    **{norm: {"norm": norm} for norm in GROUPED if norm != "group"},
}
NEVER_NEGATIVE = ("sd", "eps", "seed")
LARGEST = 1 << 27
"""Elements of x: 1 GiB in float64, and a kernel holds several such arrays."""
OPTIONAL = {f.name: f.default for f in fields(Case) if f.name in {"mean", "sd", "eps", "momentum", "seed"}}


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
    if math.prod(shape) > LARGEST:
        raise CaseError(f"shape {text!r}: {math.prod(shape):,} elements, expected at most {LARGEST:,}")
    return shape


def _number_text(value: float) -> str:
    """The shortest text that parses back to the same number: ``12`` for 12.0, ``1e-05`` for 1e-5."""
    return repr(value).removesuffix(".0")


def case_id(case: Case) -> str:
    """The text of a case; defaults are left out."""
    mode: str = ("train" if case.training else "eval") if case.norm == "batch" else case.norm
    if case.norm == "group":
        mode += str(case.groups)
    extras = [f"{k}={_number_text(getattr(case, k))}" for k, default in OPTIONAL.items() if getattr(case, k) != default]
    return "/".join([case.dtype, shape_text(case.shape), mode, *extras])


def parse_case(text: str) -> Case:
    """The case that prints as ``text``. Raises CaseError saying what was expected where."""
    dtype, _, rest = text.partition("/")
    shape, _, rest = rest.partition("/")
    mode, *extras = rest.split("/")
    if dtype not in DTYPES:
        raise CaseError(f"case {text!r}: dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    case = replace(Case(shape=parse_shape(shape), dtype=dtype), **_parse_mode(text, mode))
    try:
        groups_of(case.channels, case.norm, case.groups)
    except ValueError as error:
        raise CaseError(f"case {text!r}: {error}") from None
    for extra in extras:
        key, equals, value = extra.partition("=")
        if key not in OPTIONAL or not equals:
            raise CaseError(f"case {text!r}: {extra!r}: expected one of {', '.join(f'{k}=...' for k in OPTIONAL)}")
        try:
            change: dict[str, Any] = {key: int(value) if key == "seed" else float(value)}
        except ValueError:
            raise CaseError(f"case {text!r}: {extra!r}: {value!r} is not a number") from None
        if not math.isfinite(change[key]) or (key in NEVER_NEGATIVE and change[key] < 0):
            sign = ", not negative" if key in NEVER_NEGATIVE else ""
            raise CaseError(f"case {text!r}: {extra!r}: expected a finite number{sign}")
        case = replace(case, **change)
    return case


def _parse_mode(text: str, mode: str) -> dict[str, Any]:
    groups = re.fullmatch(r"group(\d+)", mode)
    if groups:
        return {"norm": "group", "groups": int(groups[1])}
    if mode not in MODES:
        raise CaseError(f"case {text!r}: mode {mode!r}: expected one of {', '.join(MODES)} or group2, group3, ...")
    return MODES[mode]


def elements(case: Case) -> int:
    """M, the number of elements that are normalized together."""
    return int(to_blocks(np.empty(case.shape, dtype=bool), case.norm, case.groups).shape[1])


def sized(case: Case, *, blocks: int, elements: int) -> Case:
    """The case with ``elements`` in each of at least ``blocks`` blocks, of the same rank where it can be.

    >>> sized(parse_case("float64/9x5/train"), blocks=3, elements=33).shape
    (33, 3)
    >>> sized(parse_case("float64/4x6x3/group2"), blocks=3, elements=7).shape
    (3, 14, 1)
    """
    rank = len(case.shape)
    if case.norm == "instance" or (case.norm == "batch" and rank > 2):
        shape: tuple[int, ...] = (1, blocks, *(1,) * (rank - 3), elements)
    elif case.norm == "batch":
        shape = (elements, blocks)
    else:
        shape = (blocks, groups_of(case.channels, case.norm, case.groups) * elements, *(1,) * (rank - 2))
    return replace(case, shape=shape)


def _generator(case: Case, purpose: str) -> np.random.Generator:
    # A case draws the same numbers in every dtype, mode and norm.
    text = f"{purpose}/{case_id(replace(case, dtype='float64', training=True, norm='batch'))}"
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


def draw_cotangents(case: Case, declared: Capabilities) -> tuple[Array, ...]:
    """One dy where the implementation declares a backward in the mode of the case, none elsewhere."""
    return (draw_cotangent(case),) if declared.has_vjp(training=case.training) else ()


def grid(*, quick: bool = False) -> tuple[Case, ...]:
    """The cases that ``bnbench check`` verifies by default.

    Odd sizes show tails of vectorized loops, N != C shows swapped axes, a variance near eps shows
    epsilon mistakes, a shifted mean shows cancellation, and every rank appears. float16 is for those
    implementations that declare it: small blocks, and an eps that float16 can hold.
    """
    shapes = ((9, 5), (17, 3), (5, 4, 3), (3, 5, 2, 4), (3, 2, 2, 3, 2))
    plain = [Case(shape=shape) for shape in shapes]
    varied = [
        Case(shape=(4, 5), mean=12.0, sd=5.0),
        Case(shape=(8, 7), sd=3e-3),
        Case(shape=(33, 6), eps=1e-3, momentum=0.25, seed=1),
        Case(shape=(5, 3, 4), mean=-3.0, sd=0.5, seed=2),
    ]
    grouped = [
        Case(shape=(7, 9), norm="layer"),
        Case(shape=(3, 5, 2, 3), norm="layer", mean=12.0, sd=5.0),
        Case(shape=(4, 15), norm="rms"),
        Case(shape=(3, 4, 5), norm="rms", sd=3e-3),
        Case(shape=(3, 6, 5), norm="group", groups=2),
        Case(shape=(2, 6, 3, 3), norm="group", groups=3, mean=12.0, sd=5.0),
        Case(shape=(3, 4, 7), norm="instance"),
        Case(shape=(2, 3, 4, 3), norm="instance", sd=3e-3),
    ]
    half = [
        Case(shape=(9, 5), eps=1e-3),
        Case(shape=(3, 5, 2, 4), mean=3.0, sd=2.0, eps=1e-3),
        Case(shape=(8, 7), sd=0.05, eps=1e-3),
        Case(shape=(4, 15), norm="layer", eps=1e-3),
        Case(shape=(3, 6, 5), norm="group", groups=2, eps=1e-3),
        Case(shape=(3, 4, 7), norm="instance", eps=1e-3),
        Case(shape=(4, 15), norm="rms", eps=1e-3),
    ]
    batch = [plain[0], plain[3], varied[1]] if quick else plain + varied
    precise = tuple(
        replace(case, dtype=dtype, training=training)
        for dtype in ("float32", "float64")
        for case in (batch + (grouped[::2] if quick else grouped))
        for training in ((True, False) if case.norm == "batch" else (True,))
    )
    return precise + tuple(
        replace(case, dtype="float16", training=training)
        for case in half
        for training in ((True, False) if case.norm == "batch" else (True,))
    )
