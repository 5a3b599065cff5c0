"""Two runs of ``bnbench run`` compared: what is fixed, what fails now, what is slower or less accurate.

Each run timed its implementations in turns, within itself; between the runs lie other processes and other moments.
So the ratio of a row has the widest interval that its two allow, from the lowest of the one over the highest of the
other, and counts only beyond a factor that the rows themselves tell::

    factor = exp(max(ln 1.10, 4 sigma))

where sigma is 1.4826 times the median absolute deviation of the logarithms of all ratios: most rows have not changed.
The floor of 10 % is what one process differs from the next. The same must hold of the row's ratio to its baseline,
which was timed in the same rounds: what slowed both was the machine. Between different machines there is no verdict
on times.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bnbench.changes import FIXED, FLOOR, SIGMAS, ChangeVerdict, divided, judge, shared_shift
from bnbench.model import Environment, Finding, Interval, Measurement, Report, Status
from bnbench.recorded import RecordedRow

LESS_ACCURATE = FIXED["relative error"]
NEGLIGIBLE = 1e-15
"""Below this an error is a rounding or two of float64, and a multiple of it says nothing."""
BAD = frozenset({Status.FAILED, Status.ERRORED, Status.VACUOUS})
MACHINE = ("cpu", "cores", "platform", "threads", "allocator")


class Turn(StrEnum):
    """What became of a finding, worst first."""

    FAILING = "newly failing"
    LOST = "no longer checked"
    FIXED = "fixed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Something about the machine or the software that is not the same."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Turned:
    """Findings of one check of one implementation that changed status in the same way."""

    turn: Turn
    implementation: str
    check: str
    claim: str
    before: Status | None
    """None where there was no such finding."""
    after: Status
    cases: tuple[str, ...]
    reproduce: str
    """The command that shows the first of them again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """One timing row in both runs."""

    implementation: str
    case: str
    operation: str
    before: float
    after: float
    """Seconds per call."""
    ratio: Interval
    """after / before: above 1 is slower."""
    relative: Interval
    """The same of the time in units of the baseline's of the same rounds; of a baseline, its ratio."""
    verdict: ChangeVerdict | None
    """None between different machines."""
    error_before: float
    error_after: float
    less_accurate: bool
    """Whether the error is more than twice what it was, or not a number any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunComparison:
    """What two reports say about each other; the second is the newer."""

    before: Environment
    after: Environment
    machine: tuple[Difference, ...]
    software: tuple[Difference, ...]
    findings: int
    """How many findings are in both."""
    turned: tuple[Turned, ...]
    factor: float
    """What a ratio must be beyond; infinite without a timing row in both."""
    shared: float
    """By what every implementation is slower or faster, at the least; ratios are judged after division by it."""
    timed: tuple[Timed, ...]
    """The worst ratio first."""

    def of(self, verdict: ChangeVerdict) -> tuple[Timed, ...]:
        """The timing rows with this verdict."""
        return tuple(row for row in self.timed if row.verdict is verdict)

    def turning(self, turn: Turn) -> tuple[Turned, ...]:
        """The findings that turned so."""
        return tuple(one for one in self.turned if one.turn is turn)

    @property
    def regressed(self) -> bool:
        """Whether anything fails, is slower or is less accurate that was not."""
        worse = self.of(ChangeVerdict.REGRESSION) or any(row.less_accurate for row in self.timed)
        return bool(self.turning(Turn.FAILING) or worse)


def compare_reports(before: Report, after: Report) -> RunComparison:
    """What changed from one report to another."""
    machine = tuple(_differences(before.environment, after.environment))
    pairs = _pairs(before.measurements, after.measurements)
    ratios = {row: _ratio(a, b) for row, (a, b) in pairs.items()}
    shared = shared_shift({row: ratio.median for row, ratio in ratios.items()})
    factor = factor_of(ratio.median / shared for ratio in ratios.values())
    timed = [_timed(a, b, shared, None if machine else factor) for a, b in pairs.values()]
    old, new = _by_key(before.findings), _by_key(after.findings)
    return RunComparison(
        before=before.environment,
        after=after.environment,
        machine=machine,
        software=tuple(_software(before.environment, after.environment)),
        findings=len(old.keys() & new.keys()),
        turned=_turned(old, new),
        factor=factor,
        shared=shared,
        timed=tuple(sorted(timed, key=lambda row: -row.ratio.median)),
    )


def factor_of(ratios: Iterable[float]) -> float:
    """What a ratio must be beyond, from all of them; see the head of this module. Infinite without any."""
    logs = [math.log(ratio) for ratio in ratios]
    if not logs:
        return math.inf
    centre = statistics.median(logs)
    sigma = 1.4826 * statistics.median(abs(value - centre) for value in logs)
    return math.exp(max(math.log(FLOOR), SIGMAS * sigma))


def _differences(before: Environment, after: Environment) -> Iterable[Difference]:
    for name in MACHINE:
        a, b = str(getattr(before, name)), str(getattr(after, name))
        if a != b:
            yield Difference(name=name, before=a, after=b)


def _software(before: Environment, after: Environment) -> Iterable[Difference]:
    old = {"bnbench": before.bnbench, "Python": before.python, **before.versions}
    new = {"bnbench": after.bnbench, "Python": after.python, **after.versions}
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield Difference(name=name, before=old.get(name, "none"), after=new.get(name, "none"))


def _pairs(
    before: Iterable[Measurement], after: Iterable[Measurement]
) -> Mapping[RecordedRow, tuple[Measurement, Measurement]]:
    old = {_row(measurement): measurement for measurement in before}
    return {
        row: (old[row], measurement)
        for measurement in after
        if (row := _row(measurement)) in old and all(map(_positive, (old[row], measurement)))
    }


def _row(measurement: Measurement) -> RecordedRow:
    return RecordedRow(
        benchmark=measurement.operation,
        implementation=measurement.implementation,
        case=measurement.case,
        unit="seconds",
    )


def _positive(measurement: Measurement) -> bool:
    return 0 < measurement.seconds.low < math.inf and 0 < measurement.ratio.low < math.inf


def _ratio(before: Measurement, after: Measurement) -> Interval:
    a, b = before.seconds, after.seconds
    return Interval(median=b.median / a.median, low=b.low / a.high, high=b.high / a.low)


def _relative(before: Measurement, after: Measurement) -> Interval:
    if before.baseline != after.baseline or after.implementation == after.baseline:
        return _ratio(before, after)
    # A measurement's own ratio is that of the baseline's time to its own: the larger, the faster.
    a, b = before.ratio, after.ratio
    return Interval(median=a.median / b.median, low=a.low / b.high, high=a.high / b.low)


def verdict_of(ratio: Interval, relative: Interval, factor: float) -> ChangeVerdict:
    """That of the ratio; a change must be one of the relative ratio as well."""
    found = judge(ratio, factor)
    if found in {ChangeVerdict.REGRESSION, ChangeVerdict.IMPROVEMENT} and judge(relative, factor) is not found:
        return ChangeVerdict.UNRESOLVED
    return found


def _timed(before: Measurement, after: Measurement, shared: float, factor: float | None) -> Timed:
    ratio, relative = _ratio(before, after), _relative(before, after)
    own = divided(relative, shared) if after.implementation == after.baseline else relative
    return Timed(
        implementation=after.implementation,
        case=after.case,
        operation=after.operation,
        before=before.seconds.median,
        after=after.seconds.median,
        ratio=ratio,
        relative=relative,
        verdict=None if factor is None else verdict_of(divided(ratio, shared), own, factor),
        error_before=before.relative_error,
        error_after=after.relative_error,
        # Of a NaN after a number every comparison is false; a NaN before is no better than one after.
        less_accurate=not math.isnan(before.relative_error)
        and not after.relative_error <= max(LESS_ACCURATE * before.relative_error, NEGLIGIBLE),
    )


def _by_key(findings: Iterable[Finding]) -> dict[tuple[str, str, str], Finding]:
    return {(finding.implementation, finding.check, finding.case): finding for finding in findings}


def _turned(
    before: Mapping[tuple[str, str, str], Finding], after: Mapping[tuple[str, str, str], Finding]
) -> tuple[Turned, ...]:
    groups: dict[tuple[Turn, str, str, Status | None, Status], list[Finding]] = {}
    for key, finding in after.items():
        old = before[key].status if key in before else None
        if turn := turn_of(old, finding.status):
            groups.setdefault((turn, *key[:2], old, finding.status), []).append(finding)
    order = list(Turn)
    return tuple(
        Turned(
            turn=turn,
            implementation=name,
            check=check,
            claim=found[0].claim,
            before=old,
            after=new,
            cases=tuple(finding.case for finding in found),
            reproduce=found[0].reproduce,
        )
        for (turn, name, check, old, new), found in sorted(groups.items(), key=lambda item: order.index(item[0][0]))
    )


def turn_of(before: Status | None, after: Status) -> Turn | None:
    """How a finding turned; None where it did not, or where nothing is known of it before and it passed."""
    if after in BAD:
        return None if before in BAD else Turn.FAILING
    if before in BAD and after is Status.PASSED:
        return Turn.FIXED
    return Turn.LOST if before in BAD | {Status.PASSED} and after is Status.SKIPPED else None
