"""Two reports compared, in words: the same sections for a terminal, as Markdown, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnbench.changes import FLOOR, SIGMAS, ChangeVerdict
from bnbench.comparison import LESS_ACCURATE, Difference, RunComparison, Timed, Turn, Turned
from bnbench.report import words
from bnbench.report.history import GLYPHS
from bnbench.report.markdown import console, prose, table
from bnbench.report.page import environment
from bnbench.report.words import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

TURNS = {Turn.FAILING: "✗", Turn.LOST: "–", Turn.FIXED: "✓"}
OTHERS = 3
"""How many further cases are named before the rest is counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of the comparison: remarks, then rows under a head."""

    title: str
    remarks: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lead: int = 0
    """How many cells of a row a narrow terminal shows on the first line; the others stand below."""
    commands: tuple[str, ...] = ()
    """What shows the rows again."""


def comparison_headline(comparison: RunComparison) -> str:
    """The verdict in one sentence."""
    failing, fixed = (sum(len(one.cases) for one in comparison.turning(turn)) for turn in (Turn.FAILING, Turn.FIXED))
    slower, faster = (len(comparison.of(verdict)) for verdict in (ChangeVerdict.REGRESSION, ChangeVerdict.IMPROVEMENT))
    less = sum(row.less_accurate for row in comparison.timed)
    told = (
        (failing, "newly failing"),
        (slower, "slower"),
        (less, "less accurate"),
        (fixed, "fixed"),
        (faster, "faster"),
    )
    said = ", ".join(f"{count} {word}" for count, word in told if count) or "Nothing became worse or better"
    return f"{said}; times not judged: another machine" if comparison.machine and comparison.timed else said


def comparison_sections(comparison: RunComparison) -> tuple[Section, ...]:
    """Every section that has something to say: the machines first."""
    return tuple(
        section
        for section in (
            _differences("Another machine: times are shown, not judged", comparison.machine),
            _findings(comparison),
            _times(comparison),
            _accuracy(comparison),
            _differences("Other software", comparison.software),
        )
        if section.rows or section.remarks
    )


def comparison_summary(comparison: RunComparison) -> Iterator[RenderableType]:
    """What a console prints one by one."""
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.text import Text

    yield Text(comparison_headline(comparison), style="bold")
    for section in comparison_sections(comparison):
        yield Rule(Text(section.title), align="left", style="dim")
        for remark in section.remarks:
            yield Text(remark, style="dim")
        for row in section.rows:
            yield Text(visible("  ".join(row[: section.lead])))
            if row[section.lead :]:
                below = Text(visible("  ".join(row[section.lead :])), style="dim")
                yield Padding(below, (0, 0, 0, 4), expand=False)
        for command in section.commands:
            yield Text(f"  $ {visible(command)}", no_wrap=True, overflow="ignore")


def comparison_markdown(comparison: RunComparison) -> str:
    """The whole comparison as one GitHub Markdown document."""
    parts = [f"# {prose(comparison_headline(comparison))}", prose(_made(comparison))]
    for section in comparison_sections(comparison):
        parts += [f"## {prose(section.title)}", *map(prose, section.remarks)]
        if section.rows:
            parts.append(table(section.head, (map(prose, row) for row in section.rows), left=len(section.head)))
        parts += map(console, section.commands)
    return "\n\n".join(parts) + "\n"


def comparison_html(comparison: RunComparison) -> str:
    """The whole comparison as one page that needs nothing else and runs nothing."""
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            headline=comparison_headline(comparison),
            made=_made(comparison),
            tone="bad" if comparison.regressed else "odd" if comparison.machine else "good",
            sections=comparison_sections(comparison),
        )
    )


def _made(comparison: RunComparison) -> str:
    return f"From the run of {comparison.before.created} to that of {comparison.after.created}."


def _differences(title: str, found: Iterable[Difference]) -> Section:
    return Section(
        title=title,
        head=("", "before", "after"),
        rows=tuple((one.name, one.before, one.after) for one in found),
        lead=3,
    )


def _findings(comparison: RunComparison) -> Section:
    if not comparison.turned:
        return Section(title="Findings", remarks=(f"None of {comparison.findings:,} changed status.",))
    return Section(
        title="Findings that changed status",
        remarks=(f"{comparison.findings:,} findings are in both runs.",),
        head=("", "was", "is", "implementation", "check", "cases"),
        rows=tuple(map(_turned, comparison.turned)),
        lead=3,
        commands=tuple(one.reproduce for one in comparison.turning(Turn.FAILING) if one.reproduce),
    )


def _turned(one: Turned) -> tuple[str, ...]:
    more = f" and {len(one.cases) - OTHERS} more" if len(one.cases) > OTHERS else ""
    return (
        f"{TURNS[one.turn]} {one.turn}",
        f"{one.before or 'not run'}",
        f"{one.after}",
        one.implementation,
        f"{one.check} {one.claim}",
        ", ".join(one.cases[:OTHERS]) + more,
    )


def _times(comparison: RunComparison) -> Section:
    if not comparison.timed:
        return Section(title="Times")
    shown = [row for row in comparison.timed if row.verdict not in {ChangeVerdict.STEADY, ChangeVerdict.UNRESOLVED}]
    rest = len(comparison.timed) - len(shown)
    judged = (
        "The runs are other processes at other times. A ratio counts when the widest interval that its rows allow "
        f"leaves out 1, when it is beyond {comparison.factor:.2f}, the larger of {FLOOR:.2f} and {SIGMAS:g} times "
        "the spread of all ratios, and when the ratio to the baseline of the same rounds changed as well."
    )
    remarks = [judged]
    if abs(comparison.shared - 1) > 0.01:
        least = f"{comparison.shared:.2f}"
        remarks.append(f"Every implementation's time changed by {least} at the least, and is judged after.")
    if rest:
        remarks.append(f"{rest} of {len(comparison.timed)} rows are steady, or no change of them is resolved.")
    return Section(
        title="Times, after / before",
        remarks=tuple(remarks),
        head=("", "ratio", "before", "after", "implementation", "case", "operation"),
        rows=tuple(map(_timed, shown)),
        lead=4,
    )


def _timed(row: Timed) -> tuple[str, ...]:
    ways = {ChangeVerdict.REGRESSION: "slower", ChangeVerdict.IMPROVEMENT: "faster"}
    verdict = (
        "not judged" if row.verdict is None else f"{GLYPHS[row.verdict]} {ways.get(row.verdict, row.verdict.value)}"
    )
    times = (words.duration(row.before), words.duration(row.after))
    return (verdict, words.interval(row.ratio), *times, row.implementation, row.case, row.operation)


def _accuracy(comparison: RunComparison) -> Section:
    rows = [row for row in comparison.timed if row.less_accurate]
    return Section(
        title=f"Less accurate: an error more than {LESS_ACCURATE:g} times as large",
        head=("before", "after", "implementation", "case", "operation"),
        rows=tuple(
            (*map(words.scientific, (row.error_before, row.error_after)), row.implementation, row.case, row.operation)
            for row in rows
        ),
        lead=2,
    )
