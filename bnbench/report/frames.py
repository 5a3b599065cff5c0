"""Tables for further work: pandas frames, and CSV that a spreadsheet opens without executing anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from bnbench.model import Comparison, Finding, Report
from bnbench.report.words import visible
from bnbench.tolerances import band

if TYPE_CHECKING:
    import pandas as pd

Value: TypeAlias = str | float | None
"""One cell; None where there is nothing to say, which is not the same as nan."""

FINDING_COLUMNS = (
    *("implementation", "check", "claim", "case", "status", "reason"),
    *("quantity", "error", "unit", "limit", "relative", "band", "index", "got", "expected", "note", "reproduce"),
)
TIMING_COLUMNS = (
    *("implementation", "case", "operation", "seconds_median", "seconds_low", "seconds_high"),
    *("baseline", "baseline_over_own_time_median", "baseline_over_own_time_low", "baseline_over_own_time_high"),
    *("gigabytes_per_second", "page_faults_per_call", "rounds", "calls_per_round", "relative_error", "hard_error"),
    *("untimed_because", "reproduce"),
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n")
"""What makes a spreadsheet take a text for a formula (OWASP, "CSV injection")."""


def findings_frame(report: Report) -> pd.DataFrame:
    """One row for each comparison, or for a finding without any. Errors are in units of ``unit``."""
    return _frame(FINDING_COLUMNS, _finding_rows(report))


def timings_frame(report: Report) -> pd.DataFrame:
    """One row for each measurement, then one for each that was not made, with the reason.

    The ratio is the baseline's time over the implementation's own, so that above 1 is faster.
    """
    return _frame(TIMING_COLUMNS, _timing_rows(report))


def findings_csv(report: Report) -> str:
    """:func:`findings_frame` as CSV."""
    return _csv(FINDING_COLUMNS, _finding_rows(report))


def timings_csv(report: Report) -> str:
    """:func:`timings_frame` as CSV."""
    return _csv(TIMING_COLUMNS, _timing_rows(report))


def _finding_rows(report: Report) -> Iterator[tuple[Value, ...]]:
    for finding in report.findings:
        comparisons: tuple[Comparison | None, ...] = finding.comparisons or (None,)
        for comparison in comparisons:
            yield _finding_row(finding, comparison)


def _finding_row(finding: Finding, comparison: Comparison | None) -> tuple[Value, ...]:
    verdict = (finding.implementation, finding.check, finding.claim, finding.case, finding.status.value, finding.reason)
    if comparison is None:
        return (*verdict, *(None,) * 10, finding.reproduce)
    relative = comparison.relative
    return (
        *verdict,
        comparison.quantity,
        comparison.error,
        comparison.unit,
        comparison.limit,
        relative,
        None if relative is None else band(relative),
        None if comparison.index is None else f"[{', '.join(map(str, comparison.index))}]",
        comparison.got,
        comparison.expected,
        comparison.note,
        finding.reproduce,
    )


def _timing_rows(report: Report) -> Iterator[tuple[Value, ...]]:
    for m in report.measurements:
        yield (
            *(m.implementation, m.case, m.operation, m.seconds.median, m.seconds.low, m.seconds.high),
            *(m.baseline, m.ratio.median, m.ratio.low, m.ratio.high),
            *(m.gigabytes_per_second, m.faults_per_call, m.rounds, m.calls_per_round, m.relative_error, m.hard_error),
            *(None, m.reproduce),
        )
    for untimed in report.untimed:
        yield (untimed.implementation, untimed.case, untimed.operation, *(None,) * 13, untimed.reason, None)


def _frame(columns: Sequence[str], rows: Iterable[tuple[Value, ...]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns))


def _csv(columns: Sequence[str], rows: Iterable[tuple[Value, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(_cell, row) for row in rows)
    return text.getvalue()


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    text = visible(value, keep="\n\t")
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
