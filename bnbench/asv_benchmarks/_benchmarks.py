"""What is recorded of every norm: time, peak memory and error, by implementation and case id.

There is no ``setup``: with one, asv_runner 0.3 times single calls, which says nothing at microseconds.
What is timed is bound by a cached function instead, 0.1 microseconds a call. Each benchmark runs in a
process of its own, which loads the one implementation that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from time import process_time

import numpy as np

from bnbench.cases import draw, draw_cotangent, parse_case
from bnbench.model import Forward, GroupedForward, Norm
from bnbench.registry import discover
from bnbench.timing import (
    Operation,
    aligned,
    aligned_draw,
    bind,
    expected_outputs,
    operation_case,
    operations_of,
    relative_error,
)

REGISTRY = discover()
MODES: Mapping[Norm, str] = {
    "batch": "train",
    "layer": "layer",
    "group": "group4",
    "instance": "instance",
    "rms": "rms",
}
"""The mode of each norm's case ids."""
ROWS = ("float32/4x5", "float32/64x128", "float64/64x128")
IMAGES = ("float32/4x8x4x4", "float32/8x16x14x14", "float64/8x16x14x14")
SPEED: Mapping[Norm, tuple[str, ...]] = {
    "batch": ("float32/4x5", "float32/64x128", "float32/8x16x14x14", "float64/64x128"),
    "layer": ROWS,
    "group": IMAGES,
    "instance": IMAGES,
    "rms": ROWS,
}
"""What each norm is used on: a call's own cost, then arrays that stay in the caches."""
MEMORY = "float32/64x64x32x32"
HARD = "mean=1000/sd=0.1"
"""The mean is ten thousand standard deviations from zero: what formulas that cancel get wrong."""


def names(norm: Norm) -> tuple[str, ...]:
    """The implementations of the norm, available or not, but for those that run on request alone."""
    # A commit that is measured may be older than the field.
    usual = [each for each in REGISTRY.implementations.values() if not getattr(each, "on_request", False)]
    return tuple(each.name for each in usual if each.capabilities.norm == norm)


def speed_cases(norm: Norm) -> tuple[str, ...]:
    """Ids of the cases whose times are recorded."""
    return tuple(f"{case}/{MODES[norm]}" for case in SPEED[norm])


def error_cases(norm: Norm) -> tuple[str, ...]:
    """Ids of the cases whose errors are recorded: those that are timed, and a hard one."""
    return (*speed_cases(norm), f"{speed_cases(norm)[1]}/{HARD}")


@cache
def loaded(implementation: str, case: str) -> Forward | GroupedForward:
    """The forward function. Raises asv's SkipNotImplemented where it is unavailable, or not made for the case."""
    declared = REGISTRY.implementations[implementation]
    rank = len(parse_case(case).shape)
    unfit = "" if rank in declared.capabilities.ranks else f"not made for {rank} dimensions"
    if reason := REGISTRY.missing(declared) or unfit:
        from asv_runner.benchmarks.mark import SkipNotImplemented  # type: ignore[import-untyped]

        raise SkipNotImplemented(reason)
    return declared.load()


@cache
def bound(implementation: str, case: str, operation: Operation) -> Callable[[], object]:
    """The operation on the drawn case, as a function without arguments."""
    forward = loaded(implementation, case)
    return bind(forward, *aligned_draw(operation_case(parse_case(case), operation)), operation)


class _Speed:
    """Seconds of the processor per call, of its one thread. A norm without modes has one forward."""

    param_names = ("implementation", "case")
    # Times differ more between processes than within one: more processes say more than more samples. Fixed
    # numbers let a reader of the stored samples tell the processes apart; and left to itself, asv_runner 0.3
    # takes the first call, which imports and draws, for the length of every call, and times single ones.
    rounds = 6
    repeat = 5
    number = 100
    # Commits are measured seconds to minutes apart. What else ran meanwhile must not count for one of them.
    timer = process_time
    warmup_time = 0.02

    def time_forward_train(self, implementation: str, case: str) -> None:
        bound(implementation, case, "forward_train")()

    def time_backward(self, implementation: str, case: str) -> None:
        bound(implementation, case, "backward")()


class _SpeedOfBothModes(_Speed):
    def time_forward_eval(self, implementation: str, case: str) -> None:
        bound(implementation, case, "forward_eval")()


class _Memory:
    """The largest memory of the whole process, libraries included."""

    param_names = ("implementation", "case")

    def peakmem_forward_and_backward(self, implementation: str, case: str) -> None:
        forward = loaded(implementation, case)
        wanted = parse_case(case)
        # One example, repeated: to draw them all would take more memory than what is measured.
        one = replace(wanted, shape=(1, *wanted.shape[1:]))
        inputs, dy = draw(one), draw_cotangent(one)
        count = wanted.shape[0]
        inputs = replace(inputs, x=aligned(np.repeat(inputs.x, count, axis=0)))
        bind(forward, inputs, aligned(np.repeat(dy, count, axis=0)), "backward")()


class _Error:
    """The largest error of the operations' outputs, relative to the reference."""

    param_names = ("implementation", "case")

    def track_relative_error(self, implementation: str, case: str) -> float:
        forward = loaded(implementation, case)
        errors = []
        for operation in operations_of(parse_case(case)):
            inputs, dy = aligned_draw(operation_case(parse_case(case), operation))
            outputs = bind(forward, inputs, dy, operation)()
            errors.append(relative_error(outputs, expected_outputs(inputs, dy, operation)))
        return float(np.max(errors))  # unlike Python's max, NumPy's keeps a NaN

    # asv reads the unit there.
    track_relative_error.unit = "relative error"  # type: ignore[attr-defined]


def benchmarks(norm: Norm) -> tuple[type[_Speed], type[_Memory], type[_Error]]:
    """The three classes that asv finds in the module of a norm."""
    # asv names a benchmark after its module, its class and its method, and reads `params` of the class.
    speed = type("Speed", (_SpeedOfBothModes if norm == "batch" else _Speed,), _of(norm, speed_cases(norm)))
    memory = type("Memory", (_Memory,), _of(norm, (f"{MEMORY}/{MODES[norm]}",)))
    error = type("Error", (_Error,), _of(norm, error_cases(norm)))
    return speed, memory, error


def _of(norm: Norm, cases: tuple[str, ...]) -> dict[str, object]:
    return {"params": (names(norm), cases)}
