"""results.json for Gradescope; docs/gradescope.schema.json is the schema of the documented fields."""

from __future__ import annotations

import json
from typing import Any

from bnbench.grading import student
from bnbench.grading.model import Grade, ItemResult, Outcome
from bnbench.report.words import visible


def render_gradescope(grade: Grade, *, points: float | None = None, note: str = "") -> str:
    """The results of one submission. ``points`` are those that count, of the items if None.

    Items carry their visibility: Gradescope shows hidden ones to the staff, and then no total to the student. All
    text is plain: nothing of it is read as HTML, Markdown or terminal colours. Raises ValueError for a grade that
    the grader still owes: without results.json Gradescope reports a failed autograder, and not a zero.
    """
    if grade.points is None:
        raise ValueError("there is no grade yet: write no results.json")
    seen = student.view(grade)
    lines = [seen.headline, *seen.hidden, *seen.remarks, seen.isolation, student.text(note)]
    results = {
        "score": grade.points if points is None else points,
        "output": "\n".join(line for line in lines if line),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test(result) for result in grade.results],
        "extra_data": {
            "schema": grade.schema,
            "submission": visible(grade.submission),
            "assignment_digest": visible(grade.assignment_digest),
            "bnbench": visible(grade.bnbench),
            "epoch": visible(grade.epoch),
            "isolation": visible(grade.isolation.tier),
        },
    }
    return json.dumps(results, indent=1, allow_nan=False) + "\n"


def _test(result: ItemResult) -> dict[str, Any]:
    test: dict[str, Any] = {
        "name": student.text(result.title),
        "number": student.text(result.number),
        "score": result.points,
        "max_score": result.max_points,
        "output": student.plain(result),
        "visibility": result.visibility.value,
        "tags": [result.outcome.value],
    }
    # Gradescope knows two colours; what was not run is neither, and takes that of its points.
    if result.outcome is not Outcome.SKIPPED:
        test["status"] = "passed" if result.outcome is Outcome.PASSED else "failed"
    return test
