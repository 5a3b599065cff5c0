"""A report for a terminal of 80 columns: the summary first, then in full only what did not pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bnbench.model import Comparison, Finding, Report, Status
from bnbench.report import words
from bnbench.report.digest import (
    Group,
    Overview,
    RelativeError,
    TimingBlock,
    groups,
    headline,
    overviews,
    skips,
    timings,
    totals,
)
from bnbench.report.selftest import head
from bnbench.report.words import GLYPHS, number, scientific, visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

STYLES = {
    Status.PASSED: "green",
    Status.FAILED: "bold red",
    Status.ERRORED: "bold magenta",
    Status.SKIPPED: "dim",
    Status.VACUOUS: "bold yellow",
}
OTHERS = 3
"""How many further cases of one check are named before the rest is counted: one bug is one message."""
IN_FULL = 3
"""How many checks of one implementation are shown with their evidence: further ones mostly see the same bug."""
QUANTITIES = 3
"""How many quantities of one finding are shown."""
TIMING_WIDTHS = (21, 8, 20, 6, 7, 7)


def summary(report: Report) -> RenderableType:
    """What ``console.print(..., crop=False)`` shows of a report. No text of it is read as markup."""
    from rich.console import Group as Lines

    return Lines(*_parts(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text(headline(report), style="bold")
    yield _counts(totals(report.findings))
    yield Text("")
    yield from _implementations(report)
    yield from _section("did not pass", _unresolved(report))
    yield from _section("skipped", _skipped(report))
    if report.selftest:
        yield from _section("what these timings are worth", iter([_prose(head(report.selftest))]))
    for operation, blocks in timings(report).items():
        title = visible(words.OPERATIONS.get(operation, operation))
        yield from _section(f"{title}; ratio to the baseline, above 1 is faster", _timings(blocks))
    yield from _section("not timed", _untimed(report))


def _section(title: str, lines: Iterator[RenderableType]) -> Iterator[RenderableType]:
    """The lines under a rule; nothing when there are no lines."""
    from rich.rule import Rule
    from rich.text import Text

    first = next(lines, None)
    if first is not None:
        yield from (Rule(Text(title), align="left", style="dim"), first, *lines)


def _implementations(report: Report) -> Iterator[RenderableType]:
    if rows := overviews(report):
        yield _overview_table(rows)
    for info in report.implementations:
        if not info.available:
            yield _prose(f"{visible(info.name)} is unavailable: {info.reason}")
        if info.conclusion:
            yield _prose(f"{visible(info.name)}: {info.conclusion}", style="bold")
    for broken in report.broken:
        yield _prose(f"broken plugin {visible(broken.source)}: {broken.error}", style=STYLES[Status.ERRORED])


def _unresolved(report: Report) -> Iterator[RenderableType]:
    """The first checks of each implementation in full, the essential ones leading; a line for each of the rest."""
    told: Counter[str] = Counter()
    for group in groups(report):
        if group.unresolved:
            told[group.implementation] += 1
            yield from _group_lines(group) if told[group.implementation] <= IN_FULL else [_heading(group, claim=True)]


def _skipped(report: Report) -> Iterator[RenderableType]:
    for (name, reason), codes in skips(report).items():
        yield _prose(f"{visible(name)} {', '.join(map(visible, codes))}: {reason or 'no reason given'}")


def _timings(blocks: Iterable[TimingBlock]) -> Iterator[RenderableType]:
    from rich.text import Text

    for block in blocks:
        yield from (Text(visible(block.case), style="bold"), _timing_table(block), Text(""))


def _untimed(report: Report) -> Iterator[RenderableType]:
    for row in report.untimed:
        yield _prose(f"{visible(row.implementation)} {visible(row.case)} {visible(row.operation)}: {row.reason}")


def _counts(counts: dict[Status, int]) -> Text:
    from rich.text import Text

    parts = [Text(f"{GLYPHS[status]} {count} {status}", style=STYLES[status]) for status, count in counts.items()]
    return Text("   ").join(parts)


def _overview_table(rows: Iterable[Overview]) -> Table:
    from rich.text import Text

    table = _table("implementation", *GLYPHS.values(), "error / limit", "relative error")
    for row in rows:
        counts = [Text(str(row.counts.get(s, "·")), style=STYLES[s] if s in row.counts else "dim") for s in Status]
        table.add_row(Text(visible(row.name)), *counts, _worst(row.worst), _worst_relative(row.worst_relative))
    return table


def _worst(comparison: Comparison | None) -> Text:
    from rich.text import Text

    if comparison is None:
        return Text("not measured", style="dim")
    return Text(f"{number(words.margin(comparison))} {visible(comparison.quantity)}")


def _worst_relative(error: RelativeError | None) -> Text:
    from rich.text import Text

    if error is None:
        return Text("not measured", style="dim")
    return Text(f"{scientific(error.value)} {visible(error.quantity)}, {visible(error.dtype)}")


def _heading(group: Group, *, claim: bool = False) -> Text:
    from rich.text import Text

    heading = Text()
    heading.append(f"{GLYPHS[group.status]} {visible(group.implementation)} {visible(group.check)} ", "bold")
    heading.append(f"{group.status} on {group.count} of {len(group.findings)} cases", STYLES[group.status])
    if claim:
        heading.append(f": {visible(group.claim)}", "italic")
    return heading


def _group_lines(group: Group) -> Iterator[RenderableType]:
    from rich.text import Text

    yield _heading(group)
    worst, *others = group.unresolved
    yield _prose(group.claim, indent=2, style="italic")
    yield from _finding_lines(worst)
    if others:
        named = ", ".join(visible(finding.case) for finding in others[:OTHERS])
        rest = f" and {len(others) - OTHERS} more" if len(others) > OTHERS else ""
        yield _prose(f"also on {named}{rest}", indent=2, style="dim")
    yield Text("")


def _finding_lines(finding: Finding) -> Iterator[RenderableType]:
    from rich.text import Text

    yield _prose(visible(finding.case), indent=2)
    if reason := words.reason(finding):
        yield _prose(reason, indent=4)
    telling = words.telling(finding)
    for comparison in telling[:QUANTITIES]:
        yield _prose(words.evidence(comparison), indent=4, style=STYLES[finding.status])
        if comparison.relative is not None and not comparison.trivial:
            yield _prose(f"relative error {words.relative(comparison.relative)}", indent=4)
        if comparison.note:
            yield _prose(comparison.note, indent=4)
    if len(telling) > QUANTITIES:
        yield _prose(f"and {len(telling) - QUANTITIES} more quantities", indent=4, style="dim")
    if finding.hint:
        yield _prose(f"hint: {finding.hint}", indent=4)
    if finding.reproduce:
        # On one line, however long: wrapped, it could not be copied.
        yield Text(f"    $ {visible(finding.reproduce)}", style="bold", no_wrap=True, overflow="ignore")


def _timing_table(block: TimingBlock) -> Table:
    from rich.text import Text

    # The widths are fixed, so that the tables of several cases line up.
    table = _table("implementation", "time", "ratio [95 %]", "GB/s", "error", "hard")
    for column, width in zip(table.columns, TIMING_WIDTHS, strict=True):
        column.width = width
    for m in block.measurements:
        baseline = m.implementation == m.baseline
        table.add_row(
            Text(visible(m.implementation)),
            Text(words.duration(m.seconds.median)),
            Text("baseline" if baseline else words.interval(m.ratio), style="dim" if baseline else ""),
            Text(words.three_digits(m.gigabytes_per_second)),
            Text(scientific(m.relative_error)),
            Text(words.optional(m.hard_error)),
        )
    return table


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first, overflow="fold")
    for other in others:
        table.add_column(other, justify="right", overflow="fold")
    return table


def _prose(text: str, *, indent: int = 0, style: str = "") -> RenderableType:
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(visible(text, keep="\n\t"), style=style), (0, 0, 0, indent), expand=False)
