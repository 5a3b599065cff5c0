"""Are wrong arguments refused, rather than turned into wrong numbers?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np

from bnbench.cases import draw
from bnbench.checks._check import BATCH, check
from bnbench.compare import agrees, differs
from bnbench.kernels import refusal
from bnbench.model import Case, Comparison, Inputs, Subject


def _refused(subject: Subject, what: str, inputs: Inputs) -> Comparison:
    answer = refusal(subject.kernel, inputs)
    if answer:
        return agrees(what, f"refused: {answer}")
    return differs(what, got="accepted", expected="refused with TypeError or ValueError")


@check(
    "BN601",
    mutant="shapes_not_checked",
    needs_validation=True,
    usual_cause="broadcasting: a gamma of length 1, or (C,) statistics against x of another width, go through silently",
)
def wrong_shapes_are_refused(subject: Subject, case: Case) -> Iterator[Comparison]:
    """An x without channels, or a per-channel array that is not (C,), is refused."""
    inputs = draw(case)
    yield _refused(subject, "x of one dimension", replace(inputs, x=inputs.x.ravel()))
    state = ("running_mean", "running_var") if case.norm == "batch" else ()
    for name in ("gamma", "beta", *state):
        a = getattr(inputs, name)
        wrong: dict[str, Any] = {"of length C + 1": np.append(a, a[:1])}
        if case.channels > 1:
            wrong["of length 1"] = a[:1]
        for what, array in wrong.items():
            yield _refused(subject, f"{name} {what}", replace(inputs, **{name: array}))


@check(
    "BN602",
    mutant="dtypes_not_checked",
    needs_validation=True,
    usual_cause="integer images or mixed precision are promoted silently",
)
def wrong_dtypes_are_refused(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Integers, and arrays of another dtype than x, are refused."""
    inputs = draw(case)
    other = np.float64 if case.dtype == "float32" else np.float32
    yield _refused(subject, "x of int64", replace(inputs, x=cast("Any", inputs.x.astype(np.int64))))
    yield _refused(subject, f"gamma of {np.dtype(other)}", replace(inputs, gamma=inputs.gamma.astype(other)))


@check(
    "BN603",
    mutant="mode_not_checked",
    norms=BATCH,
    needs_validation=True,
    usual_cause="any non-empty string is true, so that training='test' trains",
)
def wrong_modes_are_refused(subject: Subject, case: Case) -> Iterator[Comparison]:
    """A mode that is not True or False is refused."""
    inputs = draw(case)
    for mode in ("test", None):
        wrong = replace(inputs, options=replace(inputs.options, training=cast("bool", mode)))
        yield _refused(subject, f"training={mode!r}", wrong)
