"""What changed over the commits, for a terminal and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnbench.changes import FLOOR, SIGMAS, Changes, ChangeVerdict, LevelStep, RowChange, Trend
from bnbench.recorded import Commit
from bnbench.report import words
from bnbench.report.words import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

GLYPHS = {
    ChangeVerdict.LOST: "!",
    ChangeVerdict.REGRESSION: "✗",
    ChangeVerdict.UNRESOLVED: "?",
    ChangeVerdict.INCOMPARABLE: "–",
    ChangeVerdict.IMPROVEMENT: "✓",
    ChangeVerdict.GAINED: "+",
    ChangeVerdict.STEADY: "=",
}
MEANINGS = {
    ChangeVerdict.LOST: "was measured before, and now failed, was skipped or is not a number",
    ChangeVerdict.REGRESSION: "slower, larger or less accurate: beyond the factor, and resolved",
    ChangeVerdict.UNRESOLVED: "the interval is too wide to exclude a change beyond the factor",
    ChangeVerdict.INCOMPARABLE: "the benchmark itself was changed in between",
    ChangeVerdict.IMPROVEMENT: "faster, smaller or more accurate: beyond the factor, and resolved",
    ChangeVerdict.GAINED: "is measured for the first time",
    ChangeVerdict.STEADY: "the whole interval is within the factor",
}
STYLES = {ChangeVerdict.LOST: "bold magenta", ChangeVerdict.REGRESSION: "bold red", ChangeVerdict.IMPROVEMENT: "green"}
TOLD = (
    ChangeVerdict.LOST,
    ChangeVerdict.REGRESSION,
    ChangeVerdict.IMPROVEMENT,
    ChangeVerdict.GAINED,
    ChangeVerdict.INCOMPARABLE,
)
"""Shown row by row; of the unresolved those that look changed."""
ABBREVIATED = 8
"""Digits of a commit's hash."""
MORE = {"seconds": "slower", "bytes": "larger", "relative error": "less accurate"}
LESS = {"seconds": "faster", "bytes": "smaller", "relative error": "more accurate"}


def trend_summary(trend: Trend) -> Iterator[RenderableType]:
    """The latest change, that over all commits, and the steps between, as what a console prints one by one."""
    from rich.text import Text

    yield Text(headline(trend.latest), style="bold")
    yield Text(_where(trend))
    yield from _changes(trend.latest)
    if len(trend.history.commits) > 2:
        yield _rule(f"over all {len(trend.history.commits)} commits: {span(trend.overall)}")
        yield Text(headline(trend.overall))
        yield from _changes(trend.overall)
    if trend.steps:
        yield _rule("where a level changed and stayed")
        for step in trend.steps:
            yield from _lines(step.change, since=f"since {short(step.commit)}")


def headline(changes: Changes) -> str:
    """The verdict in one sentence.

    ``2 regressions from 58f6dec1 to 1da6811e``
    """
    worth = (ChangeVerdict.LOST, ChangeVerdict.REGRESSION, ChangeVerdict.IMPROVEMENT)
    said = ", ".join(counted(verdict, count) for verdict, count in counts(changes).items() if verdict in worth)
    what = said or ("No change resolved" if changes.changes else "Nothing to compare")
    return f"{what} {span(changes)}"


def span(changes: Changes) -> str:
    """``from 58f6dec1 to 1da6811e``."""
    return f"from {short(changes.before)} to {short(changes.after)}"


def short(commit: Commit) -> str:
    """The hash, abbreviated."""
    return visible(commit.name[:ABBREVIATED])


def counts(changes: Changes) -> dict[ChangeVerdict, int]:
    """How many rows have each verdict, zeros left out, worst first."""
    return {verdict: count for verdict in ChangeVerdict if (count := len(changes.of(verdict)))}


def counted(verdict: ChangeVerdict, count: int) -> str:
    """``4 regressions``, ``30 steady``."""
    noun = verdict in {ChangeVerdict.REGRESSION, ChangeVerdict.IMPROVEMENT} and count != 1
    return f"{count} {verdict}{'s' if noun else ''}"


def remarks(changes: Changes) -> Iterator[str]:
    """What is to be known before the rows: what all implementations share, and how much a process varies."""
    if abs(changes.shared - 1) > 0.01:
        way = "slower" if changes.shared > 1 else "faster"
        yield (
            f"Every implementation is {way}, by {changes.shared:.2f} at the least: the machine, or code that they "
            "share. Times are judged after division by it."
        )
    if not math.isnan(changes.spread):
        yield (
            f"Times vary by {changes.spread:.1%} (one sigma) from process to process; a limit is the larger of "
            f"{FLOOR:.2f} and {SIGMAS:g} standard errors."
        )
    elif any(change.row.unit == "seconds" for change in changes.changes):
        yield "No samples are stored, only quantiles: limits are wide. Run asv with --record-samples."


def amount(value: float, unit: str) -> str:
    """A value with its unit: ``12.3 µs``, ``67.1 MB``, ``8.1e-08``."""
    if math.isnan(value):
        return "none"
    if unit == "seconds":
        return words.duration(value)
    if unit == "bytes":
        return f"{words.three_digits(value / 1e6)} MB"
    return words.scientific(value)


def word(change: RowChange) -> str:
    """What became of the row, in a word."""
    ways = {ChangeVerdict.REGRESSION: MORE, ChangeVerdict.IMPROVEMENT: LESS}.get(change.verdict, {})
    return ways.get(change.row.unit, change.verdict.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrendAnswer:
    """``bnbench history``: what the page shows, without the recorded values."""

    machine: str
    environment: str
    commits: tuple[Commit, ...]
    """The oldest first."""
    latest: Changes
    overall: Changes
    steps: tuple[LevelStep, ...]


def trend_answer(trend: Trend) -> TrendAnswer:
    """What ``--json`` prints."""
    return TrendAnswer(
        machine=trend.history.machine,
        environment=trend.history.environment,
        commits=trend.history.commits,
        latest=trend.latest,
        overall=trend.overall,
        steps=trend.steps,
    )


def _where(trend: Trend) -> str:
    return f"{visible(trend.history.machine)}, {len(trend.history.commits)} commits"


def _changes(changes: Changes) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text("   ").join(
        Text(f"{GLYPHS[verdict]} {counted(verdict, count)}", style=STYLES.get(verdict, ""))
        for verdict, count in counts(changes).items()
    )
    for remark in remarks(changes):
        yield Text(remark, style="dim")
    for verdict in TOLD:
        for change in changes.of(verdict):
            yield from _lines(change)
    wide = changes.of(ChangeVerdict.UNRESOLVED)
    apparent = [change for change in wide if not 1 / change.factor <= change.ratio.median <= change.factor]
    for change in apparent:
        yield from _lines(change)
    if len(wide) > len(apparent):
        rest = len(wide) - len(apparent)
        yield Text(f"{rest} unresolved look steady: only the interval reaches beyond the limit", style="dim")


def _lines(change: RowChange, *, since: str = "") -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    unit = change.row.unit
    told = Text(visible(f"{GLYPHS[change.verdict]} {word(change):<13} "), style=STYLES.get(change.verdict, ""))
    beside = since or f"limit {words.three_digits(change.factor)}"
    told.append(f"{words.interval(change.ratio)}, {beside}", style="bold")
    told.append(f"   {amount(change.before, unit)} to {amount(change.after, unit)}", style="default")
    yield told
    about = " ".join(filter(None, (change.row.benchmark, change.row.implementation, change.row.case)))
    yield Padding(Text(visible(about), style="dim"), (0, 0, 0, 4), expand=False)


def _rule(title: str) -> RenderableType:
    from rich.rule import Rule
    from rich.text import Text

    return Rule(Text(visible(title)), align="left", style="dim")
