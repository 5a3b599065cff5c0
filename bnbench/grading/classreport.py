"""The class as one page for its instructor: who got what, common mistakes, hard items, who is alike."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from bnbench.grading.model import Assignment, ItemResult, Outcome
from bnbench.grading.results import ClassResult
from bnbench.grading.roster import Row, Standing
from bnbench.report.page import environment

BARS = 10
"""Of the histogram of points."""
COMMON = 25
"""How many kinds of mistake are shown, the most frequent first."""
GOOD = (Outcome.PASSED,)
HALF = (Outcome.PARTIAL,)
NOT_JUDGED = (Outcome.SKIPPED, Outcome.GRADER_ERROR)

WORDS: Mapping[Outcome, str] = {
    Outcome.PASSED: "ok",
    Outcome.FAILED: "wrong",
    Outcome.PARTIAL: "partly",
    Outcome.ERROR: "raised",
    Outcome.CRASHED: "crashed",
    Outcome.TIMEOUT_CPU: "too slow",
    Outcome.TIMEOUT_WALL: "hung",
    Outcome.MEMORY: "memory",
    Outcome.PROTOCOL: "no answer",
    Outcome.COMPILE_ERROR: "no build",
    Outcome.UNIMPLEMENTED: "starter",
    Outcome.MISSING: "missing",
    Outcome.NOT_SUBMITTED: "absent",
    Outcome.SKIPPED: "skipped",
    Outcome.GRADER_ERROR: "our error",
}
"""One or two words for a cell: the page says nothing by colour alone."""
STANDINGS: Mapping[Standing, str] = {
    Standing.GRADED: "graded",
    Standing.NOT_SUBMITTED: "not submitted",
    Standing.MISSING_FILE: "no usable file",
    Standing.GRADER_ERROR: "grader error",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """One kind of mistake, and how many students made it."""

    function: str
    words: str
    students: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Difficulty:
    """How a class did on one item."""

    number: str
    title: str
    passed: int
    judged: int
    """Students whose item was measured: not skipped, no grader error."""
    share: float
    """Of the points of those judged, 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """Students with points from ``low`` up to ``high``: below it, but for the last bar."""

    low: float
    high: float
    students: int


def render_class(result: ClassResult) -> str:
    """The page: HTML that needs nothing else. The same bytes for the same class."""
    bars = histogram(result)
    return (
        environment("bnbench.grading")
        .get_template("class.html.j2")
        .render(
            result=result,
            assignment=result.assignment,
            students=[(row, _cells(row, result.assignment), _besides(row, result.assignment)) for row in result.rows],
            name_of=name_of,
            mistakes=mistakes(result),
            hardest=hardest(result),
            bars=bars,
            tallest=max((bar.students for bar in bars), default=0),
            statistics=statistics(result),
            keys=[(WORDS[outcome], _tone(outcome)) for outcome in Outcome],
            STANDINGS=STANDINGS,
            Standing=Standing,
        )
    )


def mistakes(result: ClassResult) -> tuple[Mistake, ...]:
    """The kinds of mistake by the number of students who made them: by hint, else by what was measured or its check.

    Numbers that only place a mistake (the line) are left out, so that the same mistake counts as one.
    """
    made: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in result.rows:
        for item in _results(row, result.assignment).values():
            if item.outcome not in {*GOOD, *NOT_JUDGED}:
                made[item.function, _kind(item)].add(row.student.username)
    found = [Mistake(function=function, words=kind, students=len(who)) for (function, kind), who in made.items()]
    return tuple(sorted(found, key=lambda mistake: (-mistake.students, mistake.function, mistake.words))[:COMMON])


def hardest(result: ClassResult) -> tuple[Difficulty, ...]:
    """Every item of the assignment, the one with the smallest share of its points first."""
    found = []
    for item in result.assignment.items:
        by_student = (_results(row, result.assignment) for row in result.rows)
        results = [results[item.number] for results in by_student if item.number in results]
        judged = [r for r in results if r.outcome not in NOT_JUDGED]
        worth = sum(r.max_points for r in judged)
        passed = sum(r.outcome in GOOD for r in judged)
        share = sum(r.points for r in judged) / worth if worth else passed / len(judged) if judged else math.nan
        found.append(Difficulty(number=item.number, title=item.title, passed=passed, judged=len(judged), share=share))
    return tuple(sorted(found, key=lambda d: d.share if d.judged else math.inf))


def histogram(result: ClassResult) -> tuple[Bar, ...]:
    """Points of the graded in bars of equal width, from 0 to the most there is or that somebody has."""
    points = [row.points for row in result.rows if row.points is not None]
    top = max([float(result.assignment.points), *points])
    if not points or not top:
        return ()
    counts = Counter(min(max(int(p / top * BARS), 0), BARS - 1) for p in points)
    return tuple(Bar(low=top * i / BARS, high=top * (i + 1) / BARS, students=counts[i]) for i in range(BARS))


def statistics(result: ClassResult) -> tuple[tuple[str, str], ...]:
    """Mean, median and extremes of the graded; () if nobody is."""
    points = sorted(row.points for row in result.rows if row.points is not None)
    if not points:
        return ()
    middle = (points[(len(points) - 1) // 2] + points[len(points) // 2]) / 2
    named = {"mean": math.fsum(points) / len(points), "median": middle, "lowest": points[0], "highest": points[-1]}
    return tuple((name, f"{value:.1f}") for name, value in named.items())


def name_of(row: Row) -> str:
    """First and last name, where the roster has them."""
    return f"{row.student.first_name} {row.student.last_name}".strip()


def _kind(item: ItemResult) -> str:
    words_ = item.hint or item.what or WORDS[item.outcome]
    without_place = re.sub(r"\b(?:cell \d+, )?lines? \d+(?:-\d+)?:?\s*", "", words_, flags=re.IGNORECASE)
    # In everybody's own names it is the same mistake; what follows the first sentence is the lesson.
    said = re.split(r"(?<=\.)\s", re.sub(r"`[^`]*`", "…", without_place).strip())[0][:200]
    return f"{said} ({item.check})" if item.check and not item.hint else said


def _results(row: Row, assignment: Assignment) -> Mapping[str, ItemResult]:
    """The row's results by number, in the order of the assignment's items."""
    found = {r.number: r for r in (row.grade.results if row.grade else ())}
    return {item.number: found[item.number] for item in assignment.items if item.number in found}


def _cells(row: Row, assignment: Assignment) -> tuple[tuple[str, str, str], ...]:
    """Of every item the word, the tone and the points; nothing where there is no grade."""
    if row.grade is None:
        return ()
    results = _results(row, assignment)
    cells = (results.get(item.number) for item in assignment.items)
    return tuple(
        ("–", "n", "") if r is None else (WORDS[r.outcome], _tone(r.outcome), f"{r.points}/{r.max_points}")
        for r in cells
    )


def _besides(row: Row, assignment: Assignment) -> str:
    """What changes the points and is no item: the cost of repairs."""
    items = {item.number for item in assignment.items}
    results = row.grade.results if row.grade else ()
    return "; ".join(f"{r.title}: {r.points}" for r in results if r.number not in items and r.points)


def _tone(outcome: Outcome) -> str:
    if outcome in GOOD:
        return "g"
    if outcome in HALF:
        return "h"
    return "n" if outcome in NOT_JUDGED else "b"
