"""What the human formats share: totals, the pass matrix, relative errors, groups of findings and of timings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from bnbench.model import Comparison, Finding, ImplementationInfo, Measurement, Report, Status
from bnbench.report.words import margin

SEVERITY = (Status.FAILED, Status.ERRORED, Status.VACUOUS, Status.PASSED, Status.SKIPPED)
"""Worst first. A skip says less than a pass, so that a cell is skipped only if nothing was measured."""

AS_THE_COURSES = ("forward", "statistics", "gradient", "modes")
"""Groups of checks whose relative errors are shown."""
USUAL_QUANTITIES = ("y", "dx", "dgamma", "dbeta", "running_mean", "running_var")


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """All findings of one check of one implementation, worst first."""

    implementation: str
    check: str
    claim: str
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """The worst over the cases."""
        return self.findings[0].status

    @property
    def count(self) -> int:
        """How many cases have the worst status."""
        return sum(finding.status is self.status for finding in self.findings)

    @property
    def unresolved(self) -> tuple[Finding, ...]:
        """The findings that failed, errored or are vacuous."""
        return tuple(f for f in self.findings if f.status not in {Status.PASSED, Status.SKIPPED})

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why cases were skipped, each reason once."""
        return tuple(dict.fromkeys(f.reason for f in self.findings if f.status is Status.SKIPPED))


class RelativeError(NamedTuple):
    """A classic relative error, of which quantity, and in which dtype it was calculated."""

    value: float
    quantity: str
    dtype: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """One implementation in one line."""

    name: str
    info: ImplementationInfo | None
    """None when findings name an implementation that the report does not list."""
    counts: Mapping[Status, int]
    worst: Comparison | None
    """The comparison with the largest error as a share of its limit."""
    worst_relative: RelativeError | None

    @property
    def status(self) -> Status | None:
        return worst_status(self.counts)


@dataclass(frozen=True, kw_only=True, slots=True)
class RelativeErrors:
    """The worst classic relative error over cases: one row for each implementation and dtype."""

    quantities: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    values: Mapping[tuple[str, str, str], float]
    """By implementation, dtype and quantity; a combination that was not measured is absent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimingBlock:
    """The measurements of one operation on one case, made in one interleaved run; fastest first."""

    case: str
    measurements: tuple[Measurement, ...]


def worst_status(statuses: Iterable[Status]) -> Status | None:
    """The worst of the statuses; None if there is none."""
    return min(statuses, key=SEVERITY.index, default=None)


def names(report: Report) -> tuple[str, ...]:
    """Every implementation that the report speaks of, the listed ones first."""
    listed = (info.name for info in report.implementations)
    return tuple(dict.fromkeys(chain(listed, (f.implementation for f in report.findings))))


def codes(report: Report) -> tuple[str, ...]:
    """Every check that the report speaks of, the listed ones first."""
    return tuple(dict.fromkeys(chain((c.code for c in report.checks), (f.check for f in report.findings))))


def totals(findings: Iterable[Finding]) -> dict[Status, int]:
    """How many findings have each status, zeros left out, in the order of the statuses."""
    counts = Counter(finding.status for finding in findings)
    return {status: counts[status] for status in Status if counts[status]}


def overviews(report: Report) -> tuple[Overview, ...]:
    """One line for each implementation, in the order of :func:`names`."""
    infos = {info.name: info for info in report.implementations}
    of: dict[str, list[Finding]] = {name: [] for name in names(report)}
    relative: dict[str, list[RelativeError]] = {name: [] for name in of}
    for finding in report.findings:
        of[finding.implementation].append(finding)
    for (name, dtype, quantity), value in relative_errors(report).values.items():
        relative[name].append(RelativeError(value, quantity, dtype))
    return tuple(
        Overview(
            name=name,
            info=infos.get(name),
            counts=totals(findings),
            worst=max(_comparisons(findings), key=margin, default=None),
            worst_relative=_worst_relative(relative[name]),
        )
        for name, findings in of.items()
    )


def _worst_relative(errors: Sequence[RelativeError]) -> RelativeError | None:
    """The worst in float64, for which the courses' bands are meant; of all, where there is none in float64."""
    meant = [error for error in errors if error.dtype == "float64"] or errors
    return max(meant, key=lambda error: _nan_high(error.value), default=None)


def groups(report: Report) -> tuple[Group, ...]:
    """The findings by implementation and check, in the report's order."""
    of: dict[tuple[str, str], list[Finding]] = {}
    for finding in report.findings:
        of.setdefault((finding.implementation, finding.check), []).append(finding)
    order = ((name, code) for name in names(report) for code in codes(report) if (name, code) in of)
    return tuple(
        Group(
            implementation=key[0],
            check=key[1],
            claim=of[key][0].claim,
            findings=tuple(sorted(of[key], key=_badness)),
        )
        for key in order
    )


def skips(report: Report) -> dict[tuple[str, str], list[str]]:
    """The checks that were skipped on some case, by implementation and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for group in groups(report):
        for reason in group.reasons:
            found.setdefault((group.implementation, reason), []).append(group.check)
    return found


def relative_errors(report: Report) -> RelativeErrors:
    """Worst relative errors by implementation, dtype (the first part of a case id) and quantity.

    Of the checks that compare outputs and gradients as the courses do; on constructed data, where the true
    value is often zero, the metric says nothing.
    """
    worst: dict[tuple[str, str, str], float] = {}
    constructed = {check.code for check in report.checks if check.group not in AS_THE_COURSES}
    for finding in report.findings:
        if finding.check in constructed:
            continue
        dtype = finding.case.partition("/")[0]
        for comparison in finding.comparisons:
            if comparison.relative is not None:
                key = (finding.implementation, dtype, comparison.quantity)
                worst[key] = max(worst.get(key, 0.0), comparison.relative, key=_nan_high)
    order = {name: i for i, name in enumerate(names(report))}
    found = dict.fromkeys(quantity for _, _, quantity in worst)
    return RelativeErrors(
        quantities=(*(q for q in USUAL_QUANTITIES if q in found), *(q for q in found if q not in USUAL_QUANTITIES)),
        rows=tuple(sorted({key[:2] for key in worst}, key=lambda row: (order[row[0]], row[1]))),
        values=worst,
    )


def timings(report: Report) -> dict[str, list[TimingBlock]]:
    """The measurements by operation and case, in the order in which each first appears."""
    of: dict[str, dict[str, list[Measurement]]] = {}
    for measurement in report.measurements:
        of.setdefault(measurement.operation, {}).setdefault(measurement.case, []).append(measurement)
    return {
        operation: [
            TimingBlock(case=case, measurements=tuple(sorted(rows, key=lambda row: _nan_high(row.seconds.median))))
            for case, rows in cases.items()
        ]
        for operation, cases in of.items()
    }


def headline(report: Report) -> str:
    """The verdict in one sentence; broken plugins and unavailable implementations are said after it."""
    checked = [overview for overview in overviews(report) if overview.counts]
    bad = [o for o in checked if o.status in {Status.FAILED, Status.ERRORED, Status.VACUOUS}]
    if not any(o.status is not Status.SKIPPED for o in checked):
        text = "Nothing was verified"
    elif len(checked) == 1:
        text = f"The implementation {'did not pass' if bad else 'passed'} every check"
    elif bad:
        text = f"{len(bad)} of {len(checked)} implementations did not pass every check"
    else:
        text = f"All {len(checked)} implementations passed every check"
    missing = sum(not info.available for info in report.implementations)
    more = [f"{missing} unavailable"] if missing else []
    if report.broken:
        more.append(f"{len(report.broken)} broken plugin{'s' if len(report.broken) > 1 else ''}")
    return "; ".join([text, *more])


def _comparisons(findings: Iterable[Finding]) -> Iterator[Comparison]:
    return chain.from_iterable(finding.comparisons for finding in findings)


def _badness(finding: Finding) -> tuple[int, float]:
    return SEVERITY.index(finding.status), -max(map(margin, finding.comparisons), default=0.0)


def _nan_high(value: float) -> tuple[bool, float]:
    """Sorts numbers with NaN as the largest of all."""
    return math.isnan(value), value
