"""result.json for Classroom 50, schema ``classroom50/result/v1``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bnbench.grading import student
from bnbench.grading.model import Grade, ItemResult, Outcome
from bnbench.report.words import visible

SCHEMA = "classroom50/result/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """The submission as the runner's environment describes it."""

    classroom: str
    assignment: str
    submission: str
    """The tag."""
    commit: str
    """A URL, as are the next two."""
    release: str
    review: str
    datetime: str
    """The instant of submission, UTC, ``2026-01-02T03:04:05Z``: the same on every regrade."""
    graded_at: str


def render_classroom50(grade: Grade, release: Release) -> str:
    """The result of one submission. Students can read it: hidden items are one test, named by how many they are.

    Its points are in it, since the score has to be the sum. Points are before lateness: the contract knows integers
    only. Raises ValueError for a grade that the grader still owes: the runner has to fail instead.
    """
    if grade.points is None:
        raise ValueError("there is no grade yet: exit with an error instead")
    shown, hidden = student.split(grade)
    tests = [_test(result) for result in shown]
    if hidden:
        reached, most = sum(result.points for result in hidden), sum(result.max_points for result in hidden)
        tests.append(
            {
                "test-name": f"{len(hidden)} hidden",
                "passed": all(result.outcome is Outcome.PASSED for result in hidden),
                "score": reached,
                "max-score": most,
            }
        )
    result = {
        "schema": SCHEMA,
        "classroom": visible(release.classroom),
        "assignment": visible(release.assignment),
        "submission": visible(release.submission),
        "commit": visible(release.commit),
        "release": visible(release.release),
        "review": visible(release.review),
        "datetime": visible(release.datetime),
        "graded_at": visible(release.graded_at),
        "score": grade.points,
        "max-score": grade.max_points,
        "tests": tests,
    }
    return json.dumps(result, indent=2, allow_nan=False) + "\n"


def _test(result: ItemResult) -> dict[str, Any]:
    return {
        "test-name": student.text(f"{result.number} {result.title}"),
        "passed": result.outcome is Outcome.PASSED,
        "score": result.points,
        "max-score": result.max_points,
        "outcome": result.outcome.value,
        "output": student.plain(result),
    }
