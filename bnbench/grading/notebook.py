"""A grade and a class in a notebook: tables with bars in them, and as text where there is no HTML."""

from __future__ import annotations

from collections.abc import Iterator

from bnbench.grading.classreport import STANDINGS, hardest, histogram, mistakes, name_of, statistics
from bnbench.grading.model import Grade
from bnbench.grading.results import ClassResult
from bnbench.grading.roster import Standing
from bnbench.grading.student import Mark, Tone, terminal, view
from bnbench.report.notebook import Bar, Cell, Sheet, Table, columns, sheet_html, text_of

TONES: dict[Tone, str] = {"good": "passed", "bad": "failed", "odd": "vacuous", "dim": "skipped"}
SHOWN = 50
"""How many students a table shows; the gradebook has all."""


def grade_html(grade: Grade) -> str:
    """One grade as its student sees it: hidden items are counted and not named."""
    seen = view(grade)
    rows = tuple(
        (
            _mark(item.mark),
            Cell(text=f"{item.number} {item.title}"),
            Cell(text=item.score),
            Cell(text="\n".join(f"{label}: {said}" if label else said for label, said in item.details)),
        )
        for item in seen.items
    )
    owed = grade.points is None
    return sheet_html(
        Sheet(
            badge=seen.score,
            tone="vacuous" if owed else "passed" if grade.points == grade.max_points else "skipped",
            title=seen.headline,
            tables=(Table(columns=columns("", "item", "points", "", numbers=("points",)), rows=rows),),
            remarks=tuple(filter(None, (*seen.hidden, *seen.remarks, seen.isolation))),
        )
    )


def class_html(result: ClassResult) -> str:
    """A class: points as a histogram, the hardest items, common mistakes, and who got what."""
    return sheet_html(
        Sheet(
            badge=f"{result.count(Standing.GRADED)}/{len(result.rows)}",
            tone="vacuous" if result.count(Standing.GRADER_ERROR) else "skipped",
            title=f"{result.assignment.title}: {result.summary}",
            lines=(", ".join(f"{name} {value}" for name, value in statistics(result)),),
            tables=tuple(table for table in _tables(result) if table.rows),
            remarks=result.remarks,
        )
    )


def grade_text(grade: Grade) -> str:
    """One grade as text of 80 columns."""
    return text_of(terminal(grade))


def class_text(result: ClassResult) -> str:
    """A class as text: how many are graded, then a line for each."""
    rows = (
        f"{row.student.username:<16} {STANDINGS[row.standing]:<14} {'' if row.points is None else f'{row.points:g}'}"
        for row in result.rows[:SHOWN]
    )
    more = [f"and {len(result.rows) - SHOWN} more"] if len(result.rows) > SHOWN else []
    return "\n".join([result.summary, *map(str.rstrip, rows), *more])


def _tables(result: ClassResult) -> Iterator[Table]:
    bars = histogram(result)
    tallest = max((bar.students for bar in bars), default=0) or 1
    yield Table(
        columns=columns("points", "students", "", numbers=("students",)),
        rows=tuple(
            (
                Cell(text=f"{bar.low:g} to {bar.high:g}"),
                Cell(text=str(bar.students)),
                Cell(bar=Bar(label=f"{bar.students} students", to=round(100 * bar.students / tallest, 2))),
            )
            for bar in bars
        ),
        caption="points",
    )
    yield Table(
        columns=columns("item", "right", "share of the points", numbers=("right",)),
        rows=tuple(
            (
                Cell(text=f"{item.number} {item.title}"),
                Cell(text=f"{item.passed} of {item.judged}"),
                Cell(bar=Bar(label=f"{item.share:.0%} of the points", to=round(100 * item.share, 2))),
            )
            for item in hardest(result)
            if item.judged
        ),
        caption="items, the hardest first",
    )
    yield Table(
        columns=columns("students", "function", "mistake", numbers=("students",)),
        rows=tuple(
            (Cell(text=str(made.students)), Cell(text=made.function), Cell(text=made.words))
            for made in mistakes(result)
        ),
        caption="mistakes, the most common first",
    )
    most = result.assignment.points
    more = f", the first {SHOWN} of {len(result.rows)}" if len(result.rows) > SHOWN else ""
    yield Table(
        columns=columns("student", "name", "standing", "points", "note", numbers=("points",)),
        rows=tuple(
            (
                Cell(text=row.student.username),
                Cell(text=name_of(row)),
                Cell(text=STANDINGS[row.standing], tone="vacuous" if row.standing is Standing.GRADER_ERROR else ""),
                Cell(text="" if row.points is None else f"{row.points:g} / {most}"),
                Cell(text=row.note),
            )
            for row in result.rows[:SHOWN]
        ),
        caption=f"students{more}",
    )


def _mark(mark: Mark) -> Cell:
    return Cell(text=mark.word, tone=TONES[mark.tone])
