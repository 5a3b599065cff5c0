"""The timing, tested against itself: an implementation in turns with itself, and with itself doing known extra work.

Whatever a report says of two implementations it would also say of one with two names; how often, and how
large a difference must be to be found, is measured here, with the same functions, budgets and policy. Call
:func:`bnbench.policy.settle_process` first.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Literal, TypeAlias

from bnbench.cases import case_id
from bnbench.intervals import median_interval
from bnbench.model import Case, Forward, GroupedForward, Implementation, Interval, SelfTest, SelfTestRow
from bnbench.timing import OPERATIONS, Operation, aligned_draw, bind, operation_case, ratio_in, time_operation
from bnbench.turns import Bind, Clock, in_turns

Row: TypeAlias = tuple[Case, Operation]
Size: TypeAlias = Literal["small", "medium", "large"]
Progress: TypeAlias = Callable[[int, int, str], None]
"""``progress(done, total, doing)``."""

SIZES: Mapping[Size, float] = {"small": 64 << 10, "medium": 2 << 20, "large": math.inf}
"""Up to so many bytes of x: what a first and a second cache hold, and beyond."""
BUNDLE = 20
"""Calls in a row that count as one where slowness is planted; the slowed one makes one more, and so 5 % more of the
very same work, whatever the size. Both go through the same loop, whose cost grows with the calls alike."""
PLANTED = 1 / BUNDLE
"""What is planted, as a share."""
BUNDLE_TIME = 1e-3
"""Seconds."""
SHARE = 0.05
"""Of the timing of a run, what its own self-test may take, where that is more than one row for each size."""
REPEATS, QUICK_REPEATS = 4, 1
"""How often ``bnbench selftest`` times each row; four times are enough to tell a rate of 5 %."""
BOUNDARY_BUDGET = 0.02
"""Seconds."""


def selftest_rows(*, quick: bool = False) -> tuple[Row, ...]:
    """What ``bnbench selftest`` times: two small shapes, two medium ones and a large one; ``quick`` has three."""
    shapes: tuple[tuple[int, ...], ...] = ((4, 5), (64, 128), (256, 1024))
    if not quick:
        shapes += ((8, 16, 32, 32), (32, 64, 28, 28))
    cases = [Case(shape=shape, dtype="float32") for shape in shapes]
    return tuple((operation_case(case, operation), operation) for case in cases for operation in OPERATIONS)


def run_selftest(
    implementations: Sequence[Implementation],
    rows: Sequence[Row],
    *,
    repeats: int = REPEATS,
    budget: float,
    progress: Progress,
) -> SelfTest:
    """Time every implementation against itself on every row, and against itself slowed where that is affordable.

    ``budget`` is in seconds for each function of a row, as everywhere. Raises what an implementation raises.
    """
    before = system_load()
    loaded = [(implementation, implementation.load()) for implementation in implementations]
    todo = [(*pair, *row) for _ in range(repeats) for row in rows for pair in loaded]
    found = []
    for number, (implementation, forward, case, operation) in enumerate(todo):
        progress(number, len(todo), f"{implementation.name} {operation} {case_id(case)}")
        found.append(
            against_itself(
                implementation.name,
                forward,
                (case, operation),
                takes_out=implementation.takes_out,
                budget=budget,
                seed=number,
                plant=True,
            )
        )
    progress(len(todo), len(todo), "")
    return SelfTest(rows=tuple(found), planted=PLANTED, boundary=boundary(), load=(*before, *system_load()))


def against_itself(
    name: str,
    forward: Forward | GroupedForward,
    row: Row,
    *,
    takes_out: bool = False,
    budget: float,
    seed: int = 0,
    plant: bool = False,
    clock: Clock = time.perf_counter_ns,
) -> SelfTestRow:
    """One row: the function under two names, timed as any two; with ``plant``, also beside itself slowed.

    It is slowed only where ``BUNDLE`` calls take at most ``BUNDLE_TIME``: longer ones meet interruptions that those
    of a row do not, and would say less of a row than its own interval.
    """
    case, operation = row
    twin = f"{name}, again"
    _, again = time_operation(
        {name: forward, twin: forward},
        case,
        operation,
        baseline=name,
        takes_out={name, twin} if takes_out else (),
        budget=budget,
        seed=seed,
        clock=clock,
    )
    inputs, dy = aligned_draw(operation_case(case, operation))
    once = partial(bind, forward, inputs, dy, operation, takes_out=takes_out)
    return SelfTestRow(
        implementation=name,
        case=again.case,
        operation=operation,
        size=size_of(case),
        ratio=again.ratio,
        slowed=_slowed(once, budget, seed, clock) if plant and again.seconds.median * BUNDLE <= BUNDLE_TIME else None,
    )


def _slowed(once: Bind, budget: float, seed: int, clock: Clock) -> Interval:
    def bundle(count: int) -> Callable[[], object]:
        call = once()

        def calls() -> None:
            for _ in repeat(None, count):
                call()

        return calls

    binds = {"as it is": partial(bundle, BUNDLE), "slowed": partial(bundle, BUNDLE + 1)}
    return ratio_in(in_turns(binds, budget=budget, seed=seed, clock=clock), "as it is", "slowed")


def size_of(case: Case) -> Size:
    """The size class of the case's x."""
    nbytes = math.prod(case.shape) * int(case.dtype.removeprefix("float")) // 8
    return next(size for size, limit in SIZES.items() if nbytes <= limit)


def spread(rows: Sequence[Row], functions: int) -> tuple[Row, ...]:
    """The rows that a run tests itself on: ``SHARE`` of its time, evenly over its rows, and at least one of each size.

    ``functions`` is how many are timed in all rows together; a test times two.
    """
    of: dict[Size, list[Row]] = {}
    for row in rows:
        of.setdefault(size_of(row[0]), []).append(row)
    share = SHARE * functions / 2 / max(len(rows), 1)
    chosen = []
    for group in of.values():
        count = max(1, math.floor(share * len(group)))
        chosen += [group[(2 * i + 1) * len(group) // (2 * count)] for i in range(count)]
    return tuple(chosen)


def boundary(budget: float = BOUNDARY_BUDGET) -> float:
    """Seconds of a timed call, (4, 5) float32, of a forward that does nothing: the loop, a closure, a frame.

    No ``Inputs`` are made, no ``Outputs`` and no checks run between the clock's two readings.
    """
    inputs, dy = aligned_draw(Case(shape=(4, 5), dtype="float32"))
    nothing: Any = _nothing
    binds = {"nothing": partial(bind, nothing, inputs, dy, "forward_train", takes_out=True)}
    turns = in_turns(binds, budget=budget)
    return median_interval(turns.times["nothing"]).median / turns.calls_per_round / 1e9


def _nothing(
    x: object,
    gamma: object,
    beta: object,
    running_mean: object,
    running_var: object,
    /,
    *,
    training: bool,
    eps: float,
    momentum: float,
    out: object,
) -> None:
    """A forward that costs what being called costs."""


def system_load() -> tuple[float, ...]:
    """Processes that ran or wanted to, on average over the last minute; empty where the system does not tell."""
    return os.getloadavg()[:1] if hasattr(os, "getloadavg") else ()
