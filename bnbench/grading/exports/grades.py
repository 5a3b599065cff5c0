"""grades.csv: a line for everybody, with every status. For the instructor: hidden items are in it."""

from __future__ import annotations

from collections.abc import Sequence

from bnbench.grading.exports.cells import points_cell, table, text_cell
from bnbench.grading.model import Outcome
from bnbench.grading.roster import Row

STUDENT = ("username", "first_name", "last_name", "email", "section", "github_id")
GRADE = ("status", "points", "points_before_lateness", "max_points")
AFTER = ("submission", "isolation", "note")


def render_grades(rows: Sequence[Row]) -> str:
    """The class as CSV, in the given order.

    After the totals two columns for each item, its points and its outcome. Trouble is an empty cell beside its
    status, never a zero: in ``points`` for a student, in an item's column for an item that the grader could not run.
    """
    numbers = list(dict.fromkeys(result.number for row in rows if row.grade for result in row.grade.results))
    items = [column for number in numbers for column in (number, f"{number} outcome")]
    return table(
        [*STUDENT, *GRADE, *map(text_cell, items), *AFTER],
        ([*_student(row), *_grade(row), *_items(row, numbers), *_after(row)] for row in rows),
    )


def _student(row: Row) -> list[str]:
    return [text_cell(getattr(row.student, column)) for column in STUDENT]


def _grade(row: Row) -> list[str]:
    raw, most = (row.grade.points, row.grade.max_points) if row.grade else (None, None)
    return [row.standing.value, points_cell(row.points), points_cell(raw), points_cell(most)]


def _items(row: Row, numbers: Sequence[str]) -> list[str]:
    results = {result.number: result for result in row.grade.results} if row.grade else {}
    cells = []
    for number in numbers:
        result = results.get(number)
        owed = result is None or result.outcome is Outcome.GRADER_ERROR
        cells += [
            points_cell(None if owed or result is None else result.points),
            result.outcome.value if result else "",
        ]
    return cells


def _after(row: Row) -> list[str]:
    if row.grade is None:
        return ["", "", text_cell(row.note)]
    return [text_cell(row.grade.submission), text_cell(row.grade.isolation.tier), text_cell(row.note)]
