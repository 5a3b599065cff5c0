"""A CSV for Moodle's grade import."""

from __future__ import annotations

from collections.abc import Sequence

from bnbench.grading import student
from bnbench.grading.exports.cells import points_cell, table, text_cell
from bnbench.grading.roster import Row

HEADER = ("useremail", "useridnumber", "grade", "feedback")
"""Mapped by hand on import: by ``useremail`` (upper and lower case matter) or by ``useridnumber``."""


def render_moodle(rows: Sequence[Row], *, after_due: bool = False) -> str:
    """The graded students, grade and feedback always together.

    Whoever has no grade is left out: an import of feedback alone would wipe the grade that Moodle has.
    """
    return table(
        HEADER,
        (
            [
                text_cell(row.student.email),
                text_cell(row.student.sid),
                points_cell(row.points),
                text_cell(_feedback(row, after_due=after_due)),
            ]
            for row in rows
            if row.points is not None
        ),
    )


def _feedback(row: Row, *, after_due: bool) -> str:
    lines = [row.note] if row.note else []
    if row.grade:
        seen = student.view(row.grade, after_due=after_due)
        lines += [f"{item.mark.word} {item.number} {item.title} {item.score}" for item in seen.items]
        lines += seen.hidden
    return "\n".join(lines)
