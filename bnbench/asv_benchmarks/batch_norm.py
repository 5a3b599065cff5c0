"""Time, peak memory and error of every batch norm, by name and case id.

There is no ``setup``: with one, asv_runner 0.3 times single calls, which says nothing at microseconds.
What is timed is bound by a cached function instead, 0.1 microseconds a call. Each benchmark runs in a
process of its own, which loads the one implementation that it is about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from bnbench.cases import draw, draw_cotangent, parse_case
from bnbench.model import Forward, GroupedForward
from bnbench.registry import discover
from bnbench.timing import (
    OPERATIONS,
    Operation,
    aligned,
    aligned_draw,
    bind,
    expected_outputs,
    operation_case,
    relative_error,
)

REGISTRY = discover()
NAMES = tuple(name for name, declared in REGISTRY.implementations.items() if declared.capabilities.norm == "batch")
SPEED_CASES = ("float32/4x5/train", "float32/64x128/train", "float32/8x16x14x14/train", "float64/64x128/train")
MEMORY_CASES = ("float32/64x64x32x32/train",)
HARD_CASE = "float32/64x128/train/mean=1000/sd=0.1"
"""The mean is ten thousand standard deviations from zero: what formulas that cancel get wrong."""


@cache
def loaded(implementation: str) -> Forward | GroupedForward:
    """The forward function. Raises asv's SkipNotImplemented where the implementation is unavailable."""
    declared = REGISTRY.implementations[implementation]
    if reason := REGISTRY.missing(declared):
        from asv_runner.benchmarks.mark import SkipNotImplemented  # type: ignore[import-untyped]

        raise SkipNotImplemented(reason)
    return declared.load()


@cache
def bound(implementation: str, case: str, operation: Operation) -> Callable[[], object]:
    forward = loaded(implementation)
    return bind(forward, *aligned_draw(operation_case(parse_case(case), operation)), operation)


class Speed:
    """Seconds per call."""

    params = (NAMES, SPEED_CASES)
    param_names = ("implementation", "case")

    def time_forward_train(self, implementation: str, case: str) -> None:
        bound(implementation, case, "forward_train")()

    def time_forward_eval(self, implementation: str, case: str) -> None:
        bound(implementation, case, "forward_eval")()

    def time_backward(self, implementation: str, case: str) -> None:
        bound(implementation, case, "backward")()


class Memory:
    """The largest memory of the whole process, libraries included."""

    params = (NAMES, MEMORY_CASES)
    param_names = ("implementation", "case")

    def peakmem_forward_and_backward(self, implementation: str, case: str) -> None:
        forward = loaded(implementation)
        wanted = parse_case(case)
        # One example, repeated: to draw them all would take more memory than what is measured.
        one = replace(wanted, shape=(1, *wanted.shape[1:]))
        inputs, dy = draw(one), draw_cotangent(one)
        count = wanted.shape[0]
        inputs = replace(inputs, x=aligned(np.repeat(inputs.x, count, axis=0)))
        bind(forward, inputs, aligned(np.repeat(dy, count, axis=0)), "backward")()


class Error:
    """The largest error of the three operations' outputs, relative to the reference."""

    params = (NAMES, (*SPEED_CASES, HARD_CASE))
    param_names = ("implementation", "case")

    def track_relative_error(self, implementation: str, case: str) -> float:
        forward = loaded(implementation)
        errors = []
        for operation in OPERATIONS:
            inputs, dy = aligned_draw(operation_case(parse_case(case), operation))
            outputs = bind(forward, inputs, dy, operation)()
            errors.append(relative_error(outputs, expected_outputs(inputs, dy, operation)))
        return float(np.max(errors))  # unlike Python's max, NumPy's keeps a NaN

    track_relative_error.unit = "relative error"  # type: ignore[attr-defined]
