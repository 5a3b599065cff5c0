"""Points set by hand: overrides.csv, kept beside the journal and applied to every regrade."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bnbench.grading.model import Grade, ItemResult, Outcome

HEADER = ("id", "item", "points", "note")


class OverridesError(ValueError):
    """A text that is no overrides.csv, or a line of it that can't be understood."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """One decision of a person, which no machine changes."""

    student: str
    item: str
    """The number of an item of the assignment."""
    points: int
    note: str = ""
    """Why: the student sees it."""


def read_overrides(text: str) -> tuple[Override, ...]:
    """The lines of an overrides.csv, ``id,item,points,note``. Raises OverridesError naming the line."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    if tuple(rows.fieldnames or ()) != HEADER:
        raise OverridesError(f"line 1: got {rows.fieldnames}, expected the header {','.join(HEADER)}")
    found: dict[tuple[str, str], Override] = {}
    for row in rows:
        student, item, points, note = ((row[key] or "").strip() for key in HEADER)
        if not student or not item:
            raise OverridesError(f"line {rows.line_num}: expected a student's id and the number of an item")
        if not points.isdecimal():
            raise OverridesError(f"line {rows.line_num}: points: got {points!r}, expected a whole number, 0 or more")
        if (student, item) in found:
            raise OverridesError(f"line {rows.line_num}: {student} has item {item} twice, expected once")
        found[student, item] = Override(student=student, item=item, points=int(points), note=note)
    return tuple(found.values())


def overridden(grade: Grade, overrides: Sequence[Override]) -> Grade:
    """The grade with the points of these overrides, all of one student. Items that are not there are left alone."""
    by_item = {override.item: override for override in overrides}
    results = tuple(
        _overridden(result, by_item[result.number]) if result.number in by_item else result for result in grade.results
    )
    return replace(grade, results=results)


def _overridden(result: ItemResult, override: Override) -> ItemResult:
    if override.points >= result.max_points:
        outcome = Outcome.PASSED
    else:
        outcome = Outcome.PARTIAL if override.points else Outcome.FAILED
    note = f": {override.note}" if override.note else ""
    by_machine = f" (before: {result.outcome}, {result.points}/{result.max_points})"
    what = f"set by hand to {override.points}{note}{by_machine}"
    return replace(result, outcome=outcome, points=override.points, what=what)


def misfits(overrides: Iterable[Override], grades: dict[str, Grade]) -> tuple[str, ...]:
    """What overrides there are without effect or beyond reason, one sentence each; ``grades`` by student."""
    found = []
    for override in overrides:
        name = f"override of {override.student}, item {override.item}"
        if override.student not in grades:
            found.append(f"{name}: no submission of this student was graded")
            continue
        results = {result.number: result for result in grades[override.student].results}
        if override.item not in results:
            found.append(f"{name}: there is no such item; there are {', '.join(results)}")
        elif override.points > results[override.item].max_points:
            found.append(f"{name}: {override.points} points where there are {results[override.item].max_points}")
    return tuple(found)
