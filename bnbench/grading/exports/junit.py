"""JUnit XML of a class, in the subset that Jenkins, GitLab and GitHub actions agree on."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bnbench.grading import student
from bnbench.grading.exports.cells import points_cell
from bnbench.grading.model import ItemResult, Outcome
from bnbench.grading.roster import Row, Standing

if TYPE_CHECKING:
    from junitparser import TestCase, TestSuite

MESSAGE = 500
"""Characters of a message; the text of an element has all of them."""
FAILURES = {Outcome.FAILED, Outcome.PARTIAL, Outcome.UNIMPLEMENTED, Outcome.MISSING, Outcome.COMPILE_ERROR}
SKIPPED = {Outcome.SKIPPED, Outcome.NOT_SUBMITTED}


def render_junit(rows: Sequence[Row], *, after_due: bool = False) -> str:
    """A suite for each student, a case for each item that may be seen; hidden ones are counted in a property.

    A wrong result is a failure; a crash, a timeout and trouble of the grader are errors; what was not run is skipped.
    Points stand in ``system-out`` and in the properties of a suite. XML has no room for most control characters, even
    escaped: they are written as text.
    """
    from junitparser import JUnitXml

    document = JUnitXml("bnbench")
    for row in rows:
        document.add_testsuite(_suite(row, after_due=after_due))
    document.update_statistics()  # type: ignore[no-untyped-call]
    written = io.BytesIO()
    document.write(written)
    return written.getvalue().decode()


def _suite(row: Row, *, after_due: bool) -> TestSuite:
    from junitparser import Error, Skipped, TestCase, TestSuite

    name = student.text(row.student.username)
    suite = TestSuite(name)
    suite.add_property("standing", row.standing.value)
    suite.add_property("points", points_cell(row.points))
    if row.note:
        suite.add_property("note", student.text(row.note))
    if row.grade is None:
        case = TestCase("submission", classname=name)
        said = student.text(row.note or row.standing.value)[:MESSAGE]
        case.result = [Skipped(said)] if row.standing is Standing.NOT_SUBMITTED else [Error(said, row.standing.value)]
        suite.add_testcase(case)
        return suite
    shown, hidden = student.split(row.grade, after_due=after_due)
    suite.add_property("submission", student.text(row.grade.submission))
    suite.add_property("isolation", student.text(row.grade.isolation.tier))
    suite.add_property("hidden", str(len(hidden)))
    for result in shown:
        suite.add_testcase(_case(result, name))
    return suite


def _case(result: ItemResult, suite: str) -> TestCase:
    from junitparser import Error, Failure, Skipped, TestCase

    case = TestCase(student.text(f"{result.number} {result.title}"), classname=suite)
    if result.outcome is not Outcome.PASSED:
        kind = Failure if result.outcome in FAILURES else Skipped if result.outcome in SKIPPED else Error
        told = student.plain(result)
        found = kind(told.partition("\n")[0][:MESSAGE], result.outcome.value)
        found.text = told
        case.result = [found]
    case.system_out = f"points {student.score(result)}"
    return case
