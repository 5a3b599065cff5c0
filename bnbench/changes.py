"""What changed between commits, judged by the spread of the very measurements.

A time is judged by the fastest sample of each of its processes: processes differ more than samples of one. A
change counts when its 99 % interval leaves out 1 and the ratio itself is beyond a factor::

    factor = exp(max(ln 1.10, 4 sigma sqrt(1/n + 1/m)))

where n and m are the numbers of processes and sigma is the spread of one: 1.4826 times the median absolute
deviation of the logarithms from their commit's median, but never less than is typical of the rows of that pair of
commits, because six processes may look quieter than they are. The floor of 10 % is above what was seen of functions
that nobody had touched: 8 of 944 rows were 5 to 7 % off. Values without a spread, such as memory and errors, have a
fixed factor.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from bnbench.model import Interval
from bnbench.recorded import Commit, History, Point, RecordedRow
from bnbench.shift import shift

FLOOR = 1.10
SIGMAS = 4.0
"""Of the standard error of the difference of two medians: one false alarm in some thousand rows, were it normal."""
FIXED = {"bytes": 1.05, "relative error": 2.0}
"""By unit. Errors of the same formula differ by the order of its sums: twice as large is another formula."""


class ChangeVerdict(StrEnum):
    """What became of a row, worst first."""

    LOST = "lost"
    REGRESSION = "regression"
    UNRESOLVED = "unresolved"
    INCOMPARABLE = "incomparable"
    IMPROVEMENT = "improvement"
    GAINED = "gained"
    STEADY = "steady"


@dataclass(frozen=True, kw_only=True, slots=True)
class RowChange:
    """One row at two commits."""

    row: RecordedRow
    before: float
    after: float
    ratio: Interval
    """after / before: above 1 is slower, larger, or less accurate."""
    factor: float
    """What the ratio had to be beyond."""
    verdict: ChangeVerdict
    basis: str
    """Which stored numbers the interval is of: processes, quantiles, values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What changed from one commit to another, the worst first."""

    before: Commit
    after: Commit
    shared: float
    """By what factor every implementation became slower or faster, at the least: the machine, or code that
    they share. Times are judged after division by it."""
    spread: float
    """Sigma of a typical row; NaN where no processes are stored."""
    changes: tuple[RowChange, ...]

    def of(self, verdict: ChangeVerdict) -> tuple[RowChange, ...]:
        """The changes with this verdict, in order."""
        return tuple(change for change in self.changes if change.verdict is verdict)


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelStep:
    """A row whose level changed and stayed, until the next step."""

    commit: Commit
    """The first commit of the new level."""
    change: RowChange


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend:
    """What a history says: the change between two commits, that from the first to the last, and the steps."""

    history: History
    latest: Changes
    overall: Changes
    steps: tuple[LevelStep, ...]


def changes_between(history: History, before: int, after: int) -> Changes:
    """What changed between two commits of the history, given by their places in it.

    Raises IndexError for places that it does not have.
    """
    first, second = history.commits[before], history.commits[after]
    pairs = [
        (row, a, b)
        for row, points in history.rows.items()
        if (a := points[before]) is not None and (b := points[after]) is not None
    ]
    times = [(row, a, b) for row, a, b in pairs if row.unit == "seconds" and comparable(a, b)]
    typical = _median(spread_of(a, b) for _, a, b in times if a.processes and b.processes)
    shared = shared_shift({row: ratio_of(a, b).median for row, a, b in times})
    # What is measured at neither commit, such as an implementation that is unavailable, is no change.
    told = [pair for pair in pairs if any(point.measured for point in pair[1:])]
    found = [_change(row, a, b, typical=typical, shared=shared) for row, a, b in told]
    order = list(ChangeVerdict)
    return Changes(
        before=first,
        after=second,
        shared=shared,
        spread=typical,
        changes=tuple(sorted(found, key=lambda c: (order.index(c.verdict), -_size(c.ratio.median)))),
    )


def steps_between(history: History, levels: Mapping[RecordedRow, Sequence[tuple[int, int]]]) -> tuple[LevelStep, ...]:
    """Those steps between the fitted levels of each row that are regressions or improvements; the latest first.

    A level is the place of its first commit and that after its last; both ends have a value.
    """
    typical = _median(
        spread_of(level, level)
        for row, bounds in levels.items()
        for level in (pooled(history.rows[row][slice(*bound)]) for bound in bounds)
        if row.unit == "seconds" and level.processes
    )
    found = []
    shares: dict[tuple[int, int], float] = {}
    for row, bounds in levels.items():
        for (left, end), (start, right) in pairwise(bounds):
            # The machine's part in it is seen best in the two commits on either side of the step.
            sides = (end - 1, start)
            if sides not in shares:
                shares[sides] = changes_between(history, *sides).shared
            shared = shares[sides]
            before, after = pooled(history.rows[row][left:end]), pooled(history.rows[row][start:right])
            change = _change(row, before, after, typical=typical, shared=shared)
            if change.verdict in {ChangeVerdict.REGRESSION, ChangeVerdict.IMPROVEMENT}:
                found.append((start, LevelStep(commit=history.commits[start], change=change)))
    return tuple(step for _, step in sorted(found, key=lambda item: (-item[0], -_size(item[1].change.ratio.median))))


def pooled(points: Sequence[Point | None]) -> Point:
    """Points of one level, at least one of them a number, as one: the median value and the processes of all."""
    present = [point for point in points if point is not None and point.measured]
    every = all(point.processes for point in present)
    return Point(
        value=statistics.median(point.value for point in present),
        processes=tuple(value for point in present for value in point.processes) if every else (),
        low=min(point.low for point in present),
        high=max(point.high for point in present),
        spread=max(point.spread for point in present),
        version=present[-1].version,
    )


def comparable(a: Point, b: Point) -> bool:
    """Whether both are positive numbers of the same version of the benchmark."""
    return a.version == b.version and all(0 < point.value < math.inf for point in (a, b))


def ratio_of(before: Point, after: Point) -> Interval:
    """after / before of two points with positive values, with a 99 % interval of whatever they have.

    From the processes (:func:`bnbench.shift.shift`) where both have theirs; else the ratio of the values, between
    the extreme ratios of their own intervals; a value without an interval is taken as exact.
    """
    if before.processes and after.processes:
        return shift(before.processes, after.processes)
    ratio = after.value / before.value
    if math.isinf(before.low) and math.isinf(after.low):
        return Interval(median=ratio, low=ratio, high=ratio)
    return Interval(median=ratio, low=max(after.low, 0) / before.high, high=_quotient(after.high, before.low))


def shared_shift(ratios: Mapping[RecordedRow, float]) -> float:
    """The least that every implementation's median ratio shows, if three or more agree on the direction; else 1.

    A machine that is slower today slows all of them. A commit seldom touches more than one, and if two of three
    became slower, the third says that it was not the machine.
    """
    logs: dict[str, list[float]] = {}
    for row, ratio in ratios.items():
        logs.setdefault(row.implementation, []).append(math.log(ratio))
    medians = [statistics.median(values) for values in logs.values()]
    if len(medians) < 3 or min(medians) <= 0 <= max(medians):
        return 1.0
    return math.exp(min(medians, key=abs))


def factor_of(before: Point, after: Point, unit: str, *, typical: float = math.nan) -> float:
    """What a ratio must be beyond to be more than the spread of the measurements; see the head of this module."""
    if unit != "seconds":
        return FIXED.get(unit, FLOOR)
    sigma = spread_of(before, after)
    if typical > sigma or math.isnan(sigma):
        sigma = typical
    if math.isnan(sigma):
        return math.inf  # one sample and nothing to say how good it is
    counts = (max(len(before.processes), 1), max(len(after.processes), 1))
    return math.exp(max(math.log(FLOOR), SIGMAS * sigma * math.sqrt(1 / counts[0] + 1 / counts[1])))


def spread_of(before: Point, after: Point) -> float:
    """Sigma of one process, relative: see the head of this module. Of one sample, where no processes are stored."""
    if before.processes and after.processes:
        deviations = []
        for point in (before, after):
            logs = [math.log(value) for value in point.processes]
            centre = statistics.median(logs)
            deviations += [abs(value - centre) for value in logs]
        return 1.4826 * statistics.median(deviations)
    return max(before.spread, after.spread)


def _change(row: RecordedRow, before: Point, after: Point, *, typical: float, shared: float) -> RowChange:
    factor = factor_of(before, after, row.unit, typical=typical)
    ratio = ratio_of(before, after) if comparable(before, after) else _limit(before, after)
    divisor = shared if row.unit == "seconds" else 1.0
    basis = "processes" if before.processes and after.processes else "quantiles"
    return RowChange(
        row=row,
        before=before.level,
        after=after.level,
        ratio=ratio,
        factor=factor,
        verdict=_verdict(before, after, divided(ratio, divisor), factor),
        basis=basis if row.unit == "seconds" else "values",
    )


def _verdict(before: Point, after: Point, ratio: Interval, factor: float) -> ChangeVerdict:
    if before.version != after.version:
        return ChangeVerdict.INCOMPARABLE
    if not after.measured:
        return ChangeVerdict.LOST
    return judge(ratio, factor) if before.measured else ChangeVerdict.GAINED


def judge(ratio: Interval, factor: float) -> ChangeVerdict:
    """A regression or improvement is resolved and beyond the factor; steady is an interval within a finite one."""
    if ratio.low > 1 and ratio.median > factor:
        return ChangeVerdict.REGRESSION
    if ratio.high < 1 and ratio.median < 1 / factor:
        return ChangeVerdict.IMPROVEMENT
    within = factor < math.inf and 1 / factor <= ratio.low and ratio.high <= factor
    return ChangeVerdict.STEADY if within else ChangeVerdict.UNRESOLVED


def _limit(before: Point, after: Point) -> Interval:
    """The ratio where a value is zero, negative or not a number: 1 if both are the same, else 0, infinite or NaN."""
    if before.value == after.value:
        ratio = 1.0
    elif math.isnan(before.value) or math.isnan(after.value):
        ratio = math.nan
    else:
        ratio = math.inf if after.value > before.value else 0.0
    return Interval(median=ratio, low=ratio, high=ratio)


def divided(ratio: Interval, divisor: float) -> Interval:
    """The interval over a positive number."""
    return Interval(median=ratio.median / divisor, low=ratio.low / divisor, high=ratio.high / divisor)


def _quotient(above: float, below: float) -> float:
    return above / below if below > 0 else math.inf


def _size(ratio: float) -> float:
    return math.inf if not 0 < ratio < math.inf else abs(math.log(ratio))


def _median(values: Iterable[float]) -> float:
    found: Sequence[float] = tuple(values)
    return statistics.median(found) if found else math.nan
