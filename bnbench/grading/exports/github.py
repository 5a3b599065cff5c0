"""GitHub Actions: the summary of a step, and annotations in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from bnbench.grading import student
from bnbench.grading.exports.cells import points_cell
from bnbench.grading.model import Grade, ItemResult, Outcome
from bnbench.grading.roster import Row, Standing
from bnbench.report.markdown import code, prose
from bnbench.report.words import visible

SUMMARY = 900 << 10
"""Bytes: beyond 1024 KiB GitHub drops the whole summary."""
ANNOTATIONS = 10
"""Of one kind in one step; GitHub drops the rest without a word."""
ANNOTATION = 1000
"""Characters of one annotation."""

_ORDER = (Standing.GRADER_ERROR, Standing.MISSING_FILE, Standing.NOT_SUBMITTED, Standing.GRADED)
_WARNINGS = {Outcome.PARTIAL, Outcome.UNIMPLEMENTED, Outcome.SKIPPED, Outcome.GRADER_ERROR, Outcome.NOT_SUBMITTED}


def step_summary(rows: Sequence[Row], *, after_due: bool = False, limit: int = SUMMARY) -> str:
    """A class as Markdown of at most ``limit`` bytes, worst first: counts, then each student.

    For those who run the class: the points that count are in it, hidden items included. What no longer fits is
    left out student by student, and counted.
    """
    standings = Counter(row.standing for row in rows)
    counts = ", ".join(f"{count} {standing.value.replace('_', ' ')}" for standing, count in standings.items())
    parts = [f"## {len(rows)} students: {counts}\n" if rows else "## no students\n"]
    room = limit - len(parts[0].encode()) - 100  # for the last line
    ordered = sorted(rows, key=lambda row: (_ORDER.index(row.standing), row.points or 0, row.student.username))
    for place, row in enumerate(ordered):
        block = _block(row, after_due=after_due)
        room -= len(block.encode()) + 1
        if room < 0:
            parts.append(f"and {len(rows) - place} more, who did not fit here\n")
            break
        parts.append(block)
    return "\n".join(parts)


def _block(row: Row, *, after_due: bool) -> str:
    title = f"## {code(row.student.username)} {row.standing.value.replace('_', ' ')}"
    if row.points is not None:
        title += f", {points_cell(row.points)} points"
    note = f"\n\n{prose(row.note)}" if row.note else ""
    told = f"\n\n{student.markdown(row.grade, after_due=after_due)}" if row.grade else "\n"
    return f"{title}{note}{told}"


def annotation_commands(grade: Grade, *, file: str = "", after_due: bool = False) -> str:
    """Workflow commands for what did not pass, errors first, at most ten of a kind; the rest is counted in a notice.

    ``file`` is the path of the submission in the repository, to which lines refer. Whatever a submission wrote
    stays within one command: it can neither end it nor begin another.
    """
    shown, hidden = student.split(grade, after_due=after_due)
    wrong = [result for result in shown if result.outcome is not Outcome.PASSED]
    errors = [result for result in wrong if result.outcome not in _WARNINGS]
    warnings = [result for result in wrong if result.outcome in _WARNINGS]
    lines = [_command("error", result, file) for result in errors[:ANNOTATIONS]]
    lines += [_command("warning", result, file) for result in warnings[:ANNOTATIONS]]
    lines += [f"::notice title=bnbench::{_data(notice)}" for notice in _notices(grade, len(hidden), errors, warnings)]
    return "".join(f"{line}\n" for line in lines)


def _notices(grade: Grade, hidden: int, errors: Sequence[ItemResult], warnings: Sequence[ItemResult]) -> Iterator[str]:
    more = sum(max(len(of_a_kind) - ANNOTATIONS, 0) for of_a_kind in (errors, warnings))
    if more:
        yield f"{more} more did not pass"
    if hidden:
        yield f"{hidden} hidden"
    if grade.points is None:
        yield "no grade yet"


def _command(kind: str, result: ItemResult, file: str) -> str:
    properties = {"title": student.text(f"{result.number} {result.title}")}
    if file:
        properties = {"file": file, **properties}
        if result.line is not None:
            properties["line"] = str(result.line)
    said = student.plain(result)[:ANNOTATION]
    return f"::{kind} {','.join(f'{key}={_property(value)}' for key, value in properties.items())}::{_data(said)}"


def _data(text: str) -> str:
    return visible(text, keep="\n").replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
