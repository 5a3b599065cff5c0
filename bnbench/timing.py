"""Timing: several implementations on one case, in turns (:mod:`bnbench.turns`), compared round by round.

A ratio is the median of the paired log ratios with a sign-test interval, at ``CONFIDENCE`` and widened by ``FLOOR``.
Call :func:`bnbench.policy.settle_process` first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np

from bnbench.blocks import GROUPED
from bnbench.cases import case_id, draw, draw_cotangent
from bnbench.intervals import median_interval, ratio_interval
from bnbench.kernels import ARGUMENTS, bound
from bnbench.model import Array, Case, Forward, GroupedForward, Inputs, Interval, Measurement, Norm
from bnbench.reference import normalize
from bnbench.turns import Clock, Turns, in_turns

Operation: TypeAlias = Literal["forward_train", "forward_eval", "backward"]

OPERATIONS: tuple[Operation, ...] = ("forward_train", "forward_eval", "backward")

HARD_MEAN, HARD_SD = 1e4, 0.1
"""Data on which a variance by E[x^2] - E[x]^2 has no digit left in float32."""
CACHE_LINE = 64
"""Bytes. AVX-512 code is up to 1.7 times slower on arrays that do not start on one."""
QUICK_BUDGET = 0.1
BUDGET = 0.3
"""Seconds for each implementation, case and operation."""
CONFIDENCE = 0.99
"""What the sign test is asked for, so that an interval covers 95 %: it takes rounds for independent, and those in which
the machine is busy come one after the other."""
FLOOR = 0.005
"""How far an interval of a ratio reaches beyond the sign test's, to either side, as a share of the ratio. Rounds are
repeated in one process, so that their interval says nothing of where code and memory happen to lie in it."""


def timing_cases(*, quick: bool = False) -> tuple[Case, ...]:
    """The cases that are timed by default: the size where calls cost more than arithmetic, up to the L2 cache.

    Larger arrays measure the memory, and on a shared machine the neighbours. The norms within a row have
    the shapes that they are used on: layer and RMS norm rows of features, group and instance norm images.
    """
    if quick:
        shapes: tuple[tuple[int, ...], ...] = ((4, 5), (64, 128), (8, 16, 14, 14))
        batch = (*(Case(shape=shape, dtype="float32") for shape in shapes), Case(shape=(64, 128), dtype="float64"))
        return batch + _grouped_timing_cases("float32", rows=((64, 128),), images=((8, 16, 14, 14),))
    shapes = ((4, 5), (64, 128), (100, 500), (256, 1024), (128, 16, 28), (16, 32, 14, 14), (8, 16, 32, 32))
    batch = tuple(Case(shape=shape, dtype=dtype) for dtype in ("float32", "float64") for shape in shapes)
    rows, images = ((64, 128), (256, 1024)), ((16, 32, 14, 14), (8, 16, 32, 32))
    return batch + sum((_grouped_timing_cases(d, rows=rows, images=images) for d in ("float32", "float64")), ())


def _grouped_timing_cases(
    dtype: str, *, rows: Sequence[tuple[int, ...]], images: Sequence[tuple[int, ...]]
) -> tuple[Case, ...]:
    shapes: Mapping[Norm, Sequence[tuple[int, ...]]] = {
        "layer": rows,
        "rms": rows,
        "group": images,
        "instance": images,
    }
    return tuple(
        Case(shape=shape, dtype=dtype, norm=norm, groups=4 if norm == "group" else 1)
        for norm in GROUPED
        for shape in shapes[norm]
    )


def aligned(a: Array) -> Array:
    """A C-contiguous copy of ``a`` that starts on a cache line; NumPy itself promises 16 bytes."""
    room = np.empty(a.nbytes + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    copy: Array = room[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


def aligned_draw(case: Case) -> tuple[Inputs, Array]:
    """The inputs and the cotangent of the case, every array on a cache line."""
    inputs = draw(case)
    arrays: dict[str, Any] = {name: aligned(getattr(inputs, name)) for name in ARGUMENTS}
    return replace(inputs, **arrays), aligned(draw_cotangent(case))


def operations_of(case: Case, operations: Iterable[Operation] = OPERATIONS) -> tuple[Operation, ...]:
    """Those of the operations that the case has.

    A norm within a row has no modes: ``forward_train`` is its forward. A case of batch norm in eval
    mode has no ``forward_train``; one in train mode has its eval mode too.
    """
    missing = "forward_eval" if case.norm != "batch" else None if case.training else "forward_train"
    return tuple(operation for operation in operations if operation != missing)


def operation_case(case: Case, operation: Operation) -> Case:
    """The case in the mode that the operation names; ``backward`` leaves the mode as it is."""
    return case if operation == "backward" else replace(case, training=operation == "forward_train")


def bind(
    forward: Forward | GroupedForward, inputs: Inputs, dy: Array, operation: Operation, *, takes_out: bool = False
) -> Callable[[], tuple[Any, ...]]:
    """The operation as a function without arguments: what is timed.

    It returns what ``forward`` or its ``vjp`` does; a backward's forward has been called once, here. One
    that ``takes_out`` gets arrays to write to, the same in every call.
    """
    per_channel = (inputs.gamma, inputs.gamma)  # for running statistics, or for dgamma and dbeta
    if operation == "backward":
        *_, vjp = bound(forward, inputs)()
        if not takes_out:
            return lambda: vjp(dy)
        gradients = tuple(aligned(a) for a in (inputs.x, *per_channel))
        return lambda: vjp(dy, out=gradients)
    if not takes_out:
        return bound(forward, inputs)
    outputs = (inputs.x, *per_channel) if inputs.options.norm == "batch" else (inputs.x,)
    return bound(forward, inputs, tuple(aligned(a) for a in outputs))


def expected_outputs(inputs: Inputs, dy: Array, operation: Operation) -> tuple[Array, ...]:
    """What the operation should return, from the reference: ``(y,)`` or ``(dx, dgamma, dbeta)``."""
    right = normalize(inputs, dy)
    return right.gradients[0] if operation == "backward" else (right.y,)


def relative_error(outputs: Sequence[Any], expected: Sequence[Array]) -> float:
    """The largest max |output - expected| / max |expected|. NaN if any output holds one.

    Outputs beyond the expected ones, a forward's running statistics and vjp, are not looked at.
    """
    errors = []
    for output, right in zip(outputs[: len(expected)], expected, strict=True):
        if output.shape != right.shape:
            return math.inf
        with np.errstate(all="ignore"):
            error = np.max(np.abs(output - right))
            errors.append(error / np.max(np.abs(right)) if error != 0 else 0.0)
    return float(np.max(errors))  # unlike Python's max, NumPy's keeps a NaN


def minimal_traffic(case: Case, operation: Operation) -> int:
    """Bytes that the operation must move: each input read once, each output written once.

    A forward reads x and four arrays per channel and writes y, in training also the two running
    statistics; a backward reads x, dy and gamma, mean and variance and writes dx, dgamma and dbeta.
    A norm within a row has nothing per channel but gamma, beta and their gradients.
    """
    large = 3 if operation == "backward" else 2
    small = {"forward_train": 6, "forward_eval": 4, "backward": 5}[operation]
    if case.norm != "batch":
        small = 3 if operation == "backward" else 2
    return (large * math.prod(case.shape) + small * case.channels) * np.dtype(case.dtype).itemsize


def ratio_in(turns: Turns, baseline: str, name: str) -> Interval:
    """The baseline's time over that of ``name``, with its interval: above 1, ``name`` is faster."""
    if name == baseline:
        return Interval(median=1.0, low=1.0, high=1.0)
    found = ratio_interval(*turns.undisturbed(baseline, name), confidence=CONFIDENCE)
    return replace(found, low=found.low / (1 + FLOOR), high=found.high * (1 + FLOOR))


def _errors_on_hard_data(
    forwards: Mapping[str, Forward | GroupedForward], case: Case, operation: Operation, takes_out: Container[str]
) -> list[float]:
    """Of every implementation, on hard data of the case's shape."""
    inputs, dy = aligned_draw(replace(case, mean=HARD_MEAN, sd=HARD_SD))
    expected = expected_outputs(inputs, dy, operation)
    binds = (bind(forward, inputs, dy, operation, takes_out=name in takes_out) for name, forward in forwards.items())
    return [relative_error(bound(), expected) for bound in binds]


def time_operation(
    forwards: Mapping[str, Forward | GroupedForward],
    case: Case,
    operation: Operation,
    *,
    baseline: str,
    takes_out: Container[str] = (),
    budget: float = BUDGET,
    seed: int = 0,
    clock: Clock = time.perf_counter_ns,
) -> tuple[Measurement, ...]:
    """Time one operation of every implementation in turns; one measurement for each, in order.

    Those that are named in ``takes_out`` get arrays to write to. ``budget`` is as for :func:`bnbench.turns.in_turns`.
    ``forward_train`` and ``forward_eval`` set the mode; ``backward`` is the vjp of one forward in the
    mode of the case.
    Raises ValueError when ``baseline`` is not among ``forwards``.
    """
    if baseline not in forwards:
        raise ValueError(f"the baseline {baseline!r} is not among {', '.join(forwards)}")
    case = operation_case(case, operation)
    inputs, dy = aligned_draw(case)
    binds = {
        name: partial(bind, forward, inputs, dy, operation, takes_out=name in takes_out)
        for name, forward in forwards.items()
    }

    # The first call compiles, where there is something to compile, and its outputs are judged.
    expected = expected_outputs(inputs, dy, operation)
    errors = [relative_error(bound()(), expected) for bound in binds.values()]
    hard_errors = _errors_on_hard_data(forwards, case, operation, takes_out)
    turns = in_turns(binds, budget=budget, seed=seed, clock=clock)

    measurements = []
    for name, error, hard_error in zip(binds, errors, hard_errors, strict=True):
        (times,) = turns.undisturbed(name)
        seconds = median_interval([elapsed / turns.calls_per_round / 1e9 for elapsed in times])
        measurements.append(
            Measurement(
                implementation=name,
                case=case_id(case),
                operation=operation,
                seconds=seconds,
                baseline=baseline,
                ratio=ratio_in(turns, baseline, name),
                gigabytes_per_second=minimal_traffic(case, operation) / seconds.median / 1e9,
                faults_per_call=turns.faults[name] / (turns.rounds * turns.calls_per_round),
                rounds=turns.rounds,
                calls_per_round=turns.calls_per_round,
                relative_error=error,
                hard_error=hard_error,
            )
        )
    return tuple(measurements)
