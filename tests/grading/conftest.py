"""A small class with every outcome, and its golden files.

``pytest tests/report tests/grading --rewrite-golden`` writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bnbench.grading.model import Grade, Isolation, ItemResult, Outcome, Visibility
from bnbench.grading.roster import Row, Standing, Student

GOLDEN = Path(__file__).parent.parent / "golden" / "grading"

RESULTS = (
    ItemResult(
        number="1.1",
        title="forward, train mode, values",
        function="batchnorm_forward",
        outcome=Outcome.PASSED,
        points=4,
        max_points=4,
        check="BN101",
    ),
    ItemResult(
        number="2.1",
        title="backward: dx against reference",
        function="batchnorm_backward",
        outcome=Outcome.FAILED,
        points=0,
        max_points=4,
        what="dx is 2.3 decades outside; dgamma and dbeta are right",
        hint="an error in dx alone usually means the mean or variance path is missing",
        line=21,
        got="0.5",
        expected="0.25",
        check="BN301",
        reproduce="bnbench check layers.py --check BN301 --case float64/9x5/train",
    ),
    ItemResult(
        number="2.3",
        title="numeric gradient of dx",
        function="batchnorm_backward",
        outcome=Outcome.SKIPPED,
        points=0,
        max_points=2,
        what="not run: it needs 2.1",
    ),
    ItemResult(
        number="3.1",
        title="test mode",
        function="batchnorm_forward",
        outcome=Outcome.CRASHED,
        points=0,
        max_points=2,
        what="died with signal 11 in batchnorm_forward",
    ),
    ItemResult(
        number="4.1",
        title="SECRET tiny variance",
        function="batchnorm_forward",
        outcome=Outcome.FAILED,
        points=0,
        max_points=3,
        visibility=Visibility.HIDDEN,
        what="SECRET value",
        hint="SECRET hint",
        got="SECRET got",
        expected="SECRET expected",
    ),
    ItemResult(
        number="4.2",
        title="LATER large mean",
        function="batchnorm_forward",
        outcome=Outcome.PASSED,
        points=1,
        max_points=1,
        visibility=Visibility.AFTER_DUE_DATE,
        what="LATER value",
    ),
)


def a_grade(*results, **changes):
    given = {
        "assignment": "batchnorm",
        "assignment_digest": "a" * 64,
        "submission": "3f9a1c" + "0" * 58,
        "file": "layers.py",
        "bnbench": "0.1.0",
        "epoch": "autumn",
        "results": results or RESULTS,
        "isolation": Isolation(tier="T2", not_enforced=("stat of outside files",)),
        "remarks": ("line 12: print statement of Python 2, read as a call",),
    }
    return Grade(**{**given, **changes})


@pytest.fixture
def grade():
    """One of each kind of outcome, a hidden item, and one that waits for the due date."""
    return a_grade()


@pytest.fixture
def owed():
    """A grade with one item that the grader could not run."""
    trouble = ItemResult(
        number="1.1", title="forward", function="f", outcome=Outcome.GRADER_ERROR, points=0, max_points=4
    )
    return a_grade(trouble, *RESULTS[1:])


@pytest.fixture
def rows(grade, owed):
    """Everything that can become of a student."""

    def student(name, number):
        return Student(
            username=name,
            first_name=name.title(),
            last_name="Example",
            email=f"{name}@example.edu",
            section="A",
            sid=f"00{number}",
            canvas_id=str(number),
        )

    return (
        Row(student=student("ann", 1), standing=Standing.GRADED, grade=grade, points=4.5, note="1 day late: 10 % off"),
        Row(student=student("bob", 2), standing=Standing.NOT_SUBMITTED),
        Row(student=student("cho", 3), standing=Standing.MISSING_FILE, note="no layers.py; there is notes.txt"),
        Row(student=student("dee", 4), standing=Standing.GRADER_ERROR, grade=owed),
        Row(student=student("eve", 5), standing=Standing.GRADED, grade=a_grade(RESULTS[0]), points=4.0),
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a golden file; with --rewrite-golden, write it."""
    rewrite = request.config.getoption("--rewrite-golden", default=False)

    def compare(name: str, text: str) -> None:
        if rewrite:
            GOLDEN.mkdir(parents=True, exist_ok=True)
            (GOLDEN / name).write_bytes(text.encode())
        assert text == (GOLDEN / name).read_bytes().decode()

    return compare
