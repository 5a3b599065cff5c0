"""What a self-test of the timing says: false alarms, the smallest difference that is found, and both in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnbench.model import Environment, Interval, SelfTest, SelfTestRow
from bnbench.report.words import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

FALSE_ALARMS = 0.05
"""The share of rows that may be false alarms: what a 95 % interval promises."""
FAR = 0.03
"""A false alarm beyond this is no chance: intervals are that wide only where they are that uncertain."""
POWER = 0.95
"""The share of rows in which a difference is found that counts as resolvable."""
CHANCE = 0.01
"""With false alarms at the promised rate, how often more of them than are accepted would be seen."""
LIMITS = {"small": "x up to 64 KiB", "medium": "up to 2 MiB", "large": "beyond"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The rows of one size, or all of them."""

    rows: int
    false_alarms: int
    largest_false: float
    """The largest false difference, as a share; 0 without one."""
    resolvable: float
    """The smallest difference, as a share, that would have been found in ``POWER`` of the rows."""
    planted: int
    found: int


def summarize(rows: Sequence[SelfTestRow]) -> Summary:
    """What the rows come to. Raises ValueError without any.

    Work that is slower by a share d moves all logarithms of a row's ratios, and so both ends of its interval,
    by ln(1 + d): it is found when d exceeds what the interval reaches beyond 1, to the further side.
    """
    if not rows:
        raise ValueError("a self-test without rows says nothing")
    false = [row.ratio for row in rows if excludes_one(row.ratio)]
    reach = sorted(_off(row.ratio.low, row.ratio.high) for row in rows)
    slowed = [row.slowed for row in rows if row.slowed is not None]
    return Summary(
        rows=len(rows),
        false_alarms=len(false),
        largest_false=max((_off(ratio.median, ratio.median) for ratio in false), default=0.0),
        resolvable=reach[math.ceil(POWER * len(reach)) - 1],
        planted=len(slowed),
        found=sum(ratio.high < 1 for ratio in slowed),
    )


def _off(low: float, high: float) -> float:
    """How far from 1 the further of the two ratios is, as a share; infinite where that is not a number."""
    share = max(1 / low if low > 0 else math.inf, high) - 1
    return share if share >= 0 else math.inf


def by_size(selftest: SelfTest) -> dict[str, Summary]:
    """A summary for each size that was timed, the smallest first."""
    of: dict[str, list[SelfTestRow]] = {}
    for row in selftest.rows:
        of.setdefault(row.size, []).append(row)
    return {size: summarize(of[size]) for size in LIMITS if size in of}


def excludes_one(ratio: Interval) -> bool:
    """Whether a report would call it faster or slower."""
    return not ratio.low <= 1 <= ratio.high


def at_fault(selftest: SelfTest) -> str:
    """Why the harness is not to be trusted here; "" when it is.

    More false alarms than a rate of ``FALSE_ALARMS`` would bring about in one self-test of a hundred, or one
    beyond ``FAR``.
    """
    summary = summarize(selftest.rows)
    if summary.false_alarms and not summary.largest_false <= FAR:
        return f"a false alarm is off by {percent(summary.largest_false)}, beyond {percent(FAR)}"
    if not at_least(summary.false_alarms, summary.rows) >= CHANCE:
        return f"{summary.false_alarms} false alarms in {summary.rows} rows are more than {percent(FALSE_ALARMS)}"
    return ""


def at_least(count: int, rows: int) -> float:
    """The probability of so many false alarms or more, at the promised rate."""
    fewer = (math.comb(rows, k) * FALSE_ALARMS**k * (1 - FALSE_ALARMS) ** (rows - k) for k in range(count))
    return 1 - math.fsum(fewer)


def percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %") if share < 10 else "over 1000 %"


def head(selftest: SelfTest) -> str:
    """Two or three sentences for the head of a report with timings."""
    return " ".join(_head(selftest))


def _head(selftest: SelfTest) -> Iterator[str]:
    if selftest.rows:
        summary = summarize(selftest.rows)
        names = ", ".join(dict.fromkeys(row.implementation for row in selftest.rows))
        wrongly = f", by up to {percent(summary.largest_false)}" if summary.false_alarms else ""
        rows = f"{summary.rows} row{'s' if summary.rows > 1 else ''}"
        yield f"Timed against itself, {names} was called faster or slower in {summary.false_alarms} of {rows}{wrongly}."
        sizes = (f"{percent(of.resolvable)} on {size} arrays" for size, of in by_size(selftest).items())
        yield f"Differences could be resolved from {', '.join(sizes)}."
    yield f"A timed call includes {selftest.boundary * 1e9:.0f} ns of bnbench."
    if selftest.load:
        yield f"Load: {', '.join(f'{value:.1f}' for value in selftest.load)}."


def selftest_page(selftest: SelfTest) -> RenderableType:
    """The whole self-test for ``console.print``: a table by size, then what it means for reading a report."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = ("size", "rows", "false alarms", "largest", "resolved from", f"{percent(selftest.planted)} slower, found")
    table = Table(*head, box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for size, of in (*by_size(selftest).items(), ("all", summarize(selftest.rows))):
        table.add_row(
            size,
            str(of.rows),
            f"{of.false_alarms} ({percent(of.false_alarms / of.rows)})",
            percent(of.largest_false) if of.false_alarms else "–",
            percent(of.resolvable) if size != "all" else "",
            f"{of.found} of {of.planted} ({percent(of.found / of.planted)})" if of.planted else "not planted",
        )
    facts = (
        "Sizes: " + ", ".join(f"{size}: {limit}" for size, limit in LIMITS.items()) + ".",
        f"boundary: {selftest.boundary * 1e9:.0f} ns of bnbench in a timed call, at (4, 5) float32.",
        "Load before and after: " + (", ".join(f"{value:.1f}" for value in selftest.load) or "unknown") + ".",
        "",
        *meaning(selftest),
    )
    return Group(Text(verdict(selftest), style="bold"), table, Text(""), *(Text(visible(line)) for line in facts))


def verdict(selftest: SelfTest) -> str:
    """One line: whether timings on this machine, as it is now, can be trusted."""
    fault = at_fault(selftest)
    return f"The timing is at fault: {fault}" if fault else "The timing can be trusted as far as this table says"


def meaning(selftest: SelfTest) -> tuple[str, ...]:
    """What it means for reading a report, in plain words."""
    sizes = by_size(selftest)
    smallest = next(iter(sizes))
    least = percent(sizes[smallest].resolvable)
    false = percent(summarize(selftest.rows).false_alarms / len(selftest.rows))
    lines = [
        f"An interval without 1 says faster or slower: here it said so of {false} of the rows of equal functions.",
        f"On {smallest} arrays, a difference of {least} is found in 95 rows of 100.",
        "Of a smaller one a row may say that no difference was resolved: not that there is none.",
        "This is within one process. In the next, code and memory lie elsewhere: a few percent may come of that.",
    ]
    if any(of.planted and not of.found / of.planted >= POWER for of in sizes.values()):
        lines.append("A planted slowdown was missed too often: end other programs, or give each row more --budget.")
    return tuple(lines)


def selftest_document(selftest: SelfTest, environment: Environment) -> Mapping[str, Any]:
    """What ``bnbench selftest --json`` prints: every row, what they come to by size, and :func:`at_fault`."""
    return {
        "environment": environment,
        "selftest": selftest,
        "all": summarize(selftest.rows),
        "by_size": by_size(selftest),
        "at_fault": at_fault(selftest),
    }
