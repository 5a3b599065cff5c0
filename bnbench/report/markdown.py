"""A report as GitHub Markdown: the content of the page, for a pull request or a job summary."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator

from bnbench.model import Finding, Measurement, Report, Status
from bnbench.report import words
from bnbench.report.charts import Chart, relative_error_charts, timing_charts, z_charts
from bnbench.report.digest import (
    Group,
    Overview,
    codes,
    groups,
    headline,
    names,
    overviews,
    relative_errors,
    skips,
    timings,
    totals,
)
from bnbench.report.selftest import head
from bnbench.report.words import GLYPHS, number, visible

SPECIAL = re.compile(r"[\\`*\[\]<>&|~$#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
OTHERS = 10
"""How many further cases of one check are listed before the rest is counted."""


CHARTS = "charts"
"""The folder beside the document with an SVG file for each chart."""


def render_markdown(report: Report) -> str:
    """The whole report as one Markdown document; its charts stand beside it, under :data:`CHARTS`."""
    sections: tuple[tuple[str, Callable[[Report], Iterator[str]]], ...] = (
        ("Implementations", _implementations),
        ("Checks", _matrix),
        ("Relative errors", _relative_errors),
        ("Noise", _noise),
        ("What did not pass", _unresolved),
        ("What was skipped", _skipped),
        ("Timings", _timings),
        ("Not timed", _untimed),
        ("The staged graph", _staged_graph),
        ("Environment", _environment),
    )
    parts = [f"# {prose(headline(report))}"]
    if counts := totals(report.findings):
        parts.append(", ".join(f"{GLYPHS[status]} {count} {status}" for status, count in counts.items()))
    for title, section in sections:
        if body := list(section(report)):
            parts += [f"## {title}", *body]
    return "\n\n".join(parts) + "\n"


def prose(text: str) -> str:
    """Text that Markdown shows as it stands, on one line; a mention (@name) notifies nobody."""
    shown = SPECIAL.sub(r"\\\g<0>", visible(text, keep="\n\t")).replace("@", "@&#8203;")
    return "<br>".join(shown.split("\n"))


def code(text: str) -> str:
    """Text as code, in a table too; where backquotes can't express it, character by character."""
    shown = visible(text)
    if shown and shown == shown.strip() and not set(shown) & set("`|\\"):
        return f"`{shown}`"
    return f"<code>{''.join(c if c.isalnum() or c == ' ' else f'&#{ord(c)};' for c in shown)}</code>"


def console(command: str) -> str:
    """A command in a fence that is longer than any run of backquotes in it."""
    return fenced(f"$ {visible(command)}", "console")


def image(alt: str, file: str) -> str:
    """An image whose text stands for it where it can't be seen. ``file`` is a relative path of ours."""
    return f"![{prose(alt)}]({file})"


def figure(chart: Chart) -> str:
    """Its title, and the drawing."""
    return f"**{prose(chart.title)}**\n\n{image(chart.finding, f'{CHARTS}/{chart.name}.svg')}"


def fenced(text: str, language: str) -> str:
    """Lines of text as they stand, in a fence that is longer than any run of backquotes in them."""
    shown = visible(text, keep="\n")
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", shown))])
    return f"{fence}{language}\n{shown}\n{fence}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *, left: int = 1) -> str:
    """A table with its first ``left`` columns aligned left and the others right; cells are Markdown."""
    head = tuple(head)
    rule = (":--" if i < left else "--:" for i in range(len(head)))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _implementations(report: Report) -> Iterator[str]:
    rows = overviews(report)
    if rows:
        head = ("implementation", "capabilities", *(f"{glyph} {status}" for status, glyph in GLYPHS.items()))
        yield table((*head, "error / limit", "relative error"), map(_overview, rows), left=2)
    missing = [f"- {code(i.name)} is unavailable: {prose(i.reason)}" for i in report.implementations if not i.available]
    broken = [f"- broken plugin {code(broken.source)}: {prose(broken.error)}" for broken in report.broken]
    concluded = [f"- {code(i.name)}: {prose(i.conclusion)}" for i in report.implementations if i.conclusion]
    if missing or broken or concluded:
        yield "\n".join(concluded + missing + broken)


def _overview(row: Overview) -> tuple[str, ...]:
    worst, relative = row.worst, row.worst_relative
    return (
        code(row.name),
        prose(words.capabilities(row.info)) if row.info else "",
        *(str(row.counts.get(status, "")) for status in Status),
        f"{number(words.margin(worst))} {code(worst.quantity)}" if worst else "",
        f"{words.scientific(relative.value)} {code(relative.quantity)}, {code(relative.dtype)}" if relative else "",
    )


def _matrix(report: Report) -> Iterator[str]:
    cells = {(group.implementation, group.check): group for group in groups(report)}
    if not cells:
        return
    columns = [name for name in names(report) if any(name == of for of, _ in cells)]
    claims = {check.code: check.claim for check in report.checks}
    yield "The worst status over the cases, and on how many of them."
    yield table(
        ("check", "claim", *map(code, columns)),
        (
            (code(check), prose(claims.get(check, "")), *(_cell(cells.get((name, check))) for name in columns))
            for check in codes(report)
            if any(check == of for _, of in cells)
        ),
        left=2,
    )


def _cell(group: Group | None) -> str:
    return "" if group is None else f"{GLYPHS[group.status]} {group.status} {group.count}/{len(group.findings)}"


def _relative_errors(report: Report) -> Iterator[str]:
    errors = relative_errors(report)
    if not errors.rows:
        return
    yield from map(figure, relative_error_charts(report))
    yield (
        "max |a - b| / max(1e-8, |a| + |b|), the worst over cases: shown because courses speak it, never judged. "
        "The bands are meant for float64: in float32, rounding alone makes it doubtful."
    )
    yield table(
        ("implementation", "dtype", *map(code, errors.quantities)),
        (
            (
                code(name),
                code(dtype),
                *(
                    words.relative(errors.values[name, dtype, quantity])
                    if (name, dtype, quantity) in errors.values
                    else ""
                    for quantity in errors.quantities
                ),
            )
            for name, dtype in errors.rows
        ),
        left=2,
    )


def _noise(report: Report) -> Iterator[str]:
    yield from map(figure, z_charts(report))


def _unresolved(report: Report) -> Iterator[str]:
    for group in groups(report):
        if not group.unresolved:
            continue
        worst, *others = group.unresolved
        of = f"{group.status} on {group.count} of {len(group.findings)} cases"
        yield f"### {GLYPHS[group.status]} {code(group.implementation)} {code(group.check)}: {of}"
        yield f"Claim: {prose(group.claim)}."
        yield from _finding(worst)
        if others:
            rest = f" and {len(others) - OTHERS} more" if len(others) > OTHERS else ""
            yield f"Also on {', '.join(code(finding.case) for finding in others[:OTHERS])}{rest}."


def _finding(finding: Finding) -> Iterator[str]:
    lines = [f"On {code(finding.case)}:" if finding.comparisons else f"On {code(finding.case)}."]
    for comparison in words.telling(finding):
        lines.append(f"- {prose(words.evidence(comparison))}")
        if comparison.relative is not None and not comparison.trivial:
            lines.append(f"  - relative error {words.relative(comparison.relative)}")
        if comparison.note:
            lines.append(f"  - note: {prose(comparison.note)}")
    if reason := words.reason(finding):
        yield f"Reason: {prose(reason)}"
    yield "\n".join(lines)
    if finding.hint:
        yield f"Hint: {prose(finding.hint)}"
    if finding.reproduce:
        yield console(finding.reproduce)


def _skipped(report: Report) -> Iterator[str]:
    if found := skips(report):
        yield "\n".join(
            f"- {code(name)} {', '.join(map(code, of))}: {prose(reason) or 'no reason given'}"
            for (name, reason), of in found.items()
        )


def _timings(report: Report) -> Iterator[str]:
    if report.selftest:
        yield prose(head(report.selftest))
    if report.measurements:
        yield (
            "Median times. The ratio is the baseline's time over the implementation's own, measured in turns: above 1 "
            "is faster than the baseline; in brackets its 95 % interval. GB/s counts each input and output once. "
            "The error is relative to the largest value of the reference: on this data, and on hard data of mean 1e4 "
            "and sd 0.1."
        )
    yield from map(figure, timing_charts(report))
    for operation, blocks in timings(report).items():
        yield f"### Operation: {prose(words.OPERATIONS.get(operation, operation))}"
        yield table(
            ("case", "implementation", "time", "ratio", "GB/s", "page faults per call", "error", "on hard data"),
            (_timing_row(measurement) for block in blocks for measurement in block.measurements),
            left=2,
        )


def _timing_row(m: Measurement) -> tuple[str, ...]:
    return (
        code(m.case),
        code(m.implementation),
        words.duration(m.seconds.median),
        "baseline" if m.implementation == m.baseline else words.interval(m.ratio),
        words.three_digits(m.gigabytes_per_second),
        number(m.faults_per_call),
        words.scientific(m.relative_error),
        words.optional(m.hard_error),
    )


def _untimed(report: Report) -> Iterator[str]:
    if report.untimed:
        yield table(
            ("implementation", "case", "operation", "reason"),
            ((code(u.implementation), code(u.case), prose(u.operation), prose(u.reason)) for u in report.untimed),
            left=4,
        )


def _staged_graph(report: Report) -> Iterator[str]:
    if report.staged_errors:
        worst = max(report.staged_errors.values(), key=lambda error: (math.isnan(error), error))
        alt = "Every quantity of numpy_staged, compared with the definition; the largest relative error is"
        yield image(f"{alt} {words.scientific(worst)}.", "staged_graph.svg")


def _environment(report: Report) -> Iterator[str]:
    yield table(("", ""), ((prose(key), prose(value)) for key, value in words.environment(report.environment)), left=2)
