"""Results in a notebook: tables with bars in them, as HTML that needs nothing else and follows the notebook's theme.

A result becomes a :class:`Sheet`, and a sheet becomes HTML. No name is trusted: every text is escaped, and controls
are shown.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnbench.model import Interval, Measurement, Report, Status
from bnbench.report import words
from bnbench.report.digest import Group, groups, headline, overviews, timings, totals
from bnbench.report.page import environment
from bnbench.report.words import GLYPHS, number
from bnbench.tolerances import NOISE

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bnbench.verdict import ArgumentVerdict, Verdict

FEWEST, MOST = 1e-2, 1e4
"""The ends of the axis of z; what is beyond stands at the end."""
SCALE = 1.25
"""The end of the axis of ratios, by the largest; intervals are cut there."""
IN_FULL = 5
"""How many checks that did not pass are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A bar from the left to ``to``, all in percent of its width; with an interval and a mark if there are any."""

    label: str
    to: float
    low: float | None = None
    span: float = 0.0
    mark: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell: a text, as a badge where it has a tone, or a bar."""

    text: str = ""
    tone: str = ""
    """The class of a badge or a bar: the name of a status; "" for none."""
    bar: Bar | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """The head of a column."""

    name: str
    number: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """One result: a badge and a title, lines, tables, remarks."""

    badge: str
    tone: str
    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    remarks: tuple[str, ...] = ()


def sheet_html(sheet: Sheet) -> str:
    """The sheet as a fragment of HTML."""
    return environment().get_template("notebook.html.j2").render(sheet=sheet)


def text_of(shown: RenderableType) -> str:
    """What rich renders, as text of 80 columns: for where a notebook has no HTML."""
    from rich.console import Console

    page = io.StringIO()
    # In a notebook, rich would print to the cell.
    Console(file=page, width=80, color_system=None, force_jupyter=False).print(shown, crop=False)
    return page.getvalue().rstrip()


def columns(*names: str, numbers: Iterable[str] = ()) -> tuple[Column, ...]:
    """Columns of these names; those in ``numbers`` are aligned to the right."""
    right = set(numbers)
    return tuple(Column(name=name, number=name in right) for name in names)


def verdict_html(verdict: Verdict, remarks: Sequence[str]) -> str:
    """What :func:`bnbench.verify` found: a row for each argument, with z on a logarithmic axis and its limit."""
    heads = (
        "",
        "argument",
        "z",
        "0.01 to 1e4, limit 32",
        "directions",
        "worst at",
        "got",
        "expected",
        "relative error",
    )
    table = Table(
        columns=columns(*heads, numbers=("z", "got", "expected")),
        rows=tuple(_argument(argument) for argument in verdict.arguments),
    )
    return sheet_html(
        Sheet(
            badge=GLYPHS[verdict.status],
            tone=str(verdict.status),
            title=f"{verdict.name} {verdict.status}",
            tables=(table,),
            remarks=tuple(remarks),
        )
    )


def _argument(argument: ArgumentVerdict) -> tuple[Cell, ...]:
    status = Cell(text=f"{GLYPHS[argument.status]} {argument.status}", tone=str(argument.status))
    if not argument.directions:
        return (status, Cell(text=argument.name), *[Cell()] * 7)
    place = f"[{', '.join(map(str, argument.index))}]" if argument.index is not None else "a direction"
    texts = (
        f"{argument.directions} of {argument.directions + argument.rough}",
        place,
        f"{argument.got:.6g}",
        f"{argument.expected:.6g}",
        "" if argument.relative is None else words.relative(argument.relative),
    )
    z = f"z = {number(argument.z)}, limit {number(NOISE.limit)}"
    bar = Bar(label=z, to=_place(argument.z), mark=_place(NOISE.limit))
    tone = "" if argument.z <= NOISE.limit else "failed"
    cells = (Cell(text=text) for text in texts)
    return (status, Cell(text=argument.name), Cell(text=number(argument.z)), Cell(bar=bar, tone=tone), *cells)


def _place(z: float) -> float:
    """Where z is on its axis, in percent; nan, which fails, at the far end."""
    if not z <= MOST:
        return 100.0
    return round(100 * math.log(max(z, FEWEST) / FEWEST) / math.log(MOST / FEWEST), 2)


def report_html(report: Report) -> str:
    """A report: the implementations, what did not pass, and every timing with its ratio to the baseline."""
    counts = totals(report.findings)
    bad = next((s for s in (Status.FAILED, Status.ERRORED, Status.VACUOUS) if counts.get(s)), Status.PASSED)
    lines = ["   ".join(f"{GLYPHS[status]} {count} {status}" for status, count in counts.items())]
    lines += [f"{info.name} is unavailable: {info.reason}" for info in report.implementations if not info.available]
    remarks = [f"{row.implementation} {row.case} {row.operation} was not timed: {row.reason}" for row in report.untimed]
    remarks += [f"broken plugin {broken.source}: {broken.error}" for broken in report.broken]
    return sheet_html(
        Sheet(
            badge=GLYPHS[bad],
            tone=str(bad),
            title=headline(report),
            lines=tuple(filter(None, lines)),
            tables=tuple(_tables(report)),
            remarks=tuple(remarks),
        )
    )


def _tables(report: Report) -> Iterator[Table]:
    if report.findings:
        yield _overview(report)
        unresolved = [group for group in groups(report) if group.unresolved]
        if unresolved:
            more = f", the first {IN_FULL} of {len(unresolved)}" if len(unresolved) > IN_FULL else ""
            yield Table(
                columns=columns("check", "implementation", "claim", "evidence"),
                rows=tuple(_unresolved(group) for group in unresolved[:IN_FULL]),
                caption=f"did not pass{more}",
            )
    for operation, blocks in timings(report).items():
        for block in blocks:
            yield timing_table(block.measurements, f"{words.OPERATIONS.get(operation, operation)}, {block.case}")


def _overview(report: Report) -> Table:
    rows = []
    for row in overviews(report):
        worst, relative = row.worst, row.worst_relative
        margin = "" if worst is None else f"{number(words.margin(worst))} {worst.quantity}"
        error = "" if relative is None else f"{words.scientific(relative.value)} {relative.quantity}, {relative.dtype}"
        counts = [Cell(text=str(row.counts.get(status, "·"))) for status in Status]
        rows.append((Cell(text=row.name), *counts, Cell(text=margin), Cell(text=error)))
    heads = ("implementation", *(f"{GLYPHS[status]} {status}" for status in Status), "error / limit", "relative error")
    return Table(columns=columns(*heads, numbers=heads[1:]), rows=tuple(rows), caption="verified")


def _unresolved(group: Group) -> tuple[Cell, ...]:
    worst = group.unresolved[0]
    said = [words.reason(worst), *map(words.evidence, words.telling(worst)[:1]), worst.hint and f"hint: {worst.hint}"]
    return (
        Cell(text=f"{GLYPHS[group.status]} {group.check}", tone=str(group.status)),
        Cell(text=group.implementation),
        Cell(text=group.claim),
        Cell(text=f"{worst.case}: {'. '.join(filter(None, said))}"),
    )


def timing_table(measurements: Sequence[Measurement], caption: str = "") -> Table:
    """Timings of one operation on one case: time, ratio with its interval as a bar, throughput, error."""
    heads = ("implementation", "time", "ratio [95 %]", "above 1 is faster", "GB/s", "relative error", "on hard data")
    # The scale is that of the medians: one interval that is wide would make every bar invisible.
    top = SCALE * max([1.0, *(m.ratio.median for m in measurements if math.isfinite(m.ratio.median))])
    rows = tuple(
        (
            Cell(text=m.implementation),
            Cell(text=words.duration(m.seconds.median)),
            Cell(text="baseline" if m.implementation == m.baseline else words.interval(m.ratio)),
            Cell(bar=_ratio_bar(m.ratio, top)),
            Cell(text=words.three_digits(m.gigabytes_per_second)),
            Cell(text=words.scientific(m.relative_error)),
            Cell(text=words.optional(m.hard_error)),
        )
        for m in measurements
    )
    return Table(columns=columns(*heads, numbers=(*heads[1:3], *heads[4:])), rows=rows, caption=caption)


def measurements_html(measurements: Sequence[Measurement]) -> str:
    """Timings alone, a table for each operation and case."""
    blocks: dict[str, list[Measurement]] = {}
    for m in measurements:
        blocks.setdefault(f"{words.OPERATIONS.get(m.operation, m.operation)}, {m.case}", []).append(m)
    tables = tuple(timing_table(of, caption) for caption, of in blocks.items())
    return sheet_html(Sheet(badge="timed", tone="skipped", title="", tables=tables))


def _ratio_bar(ratio: Interval, top: float) -> Bar:
    def percent(value: float) -> float:
        return round(100 * min(max(value, 0.0), top) / top, 2) if not math.isnan(value) else 0.0

    low, high = percent(ratio.low), percent(ratio.high)
    label = f"ratio {words.interval(ratio)}"
    return Bar(label=label, to=percent(ratio.median), low=low, span=round(high - low, 2), mark=percent(1.0))
