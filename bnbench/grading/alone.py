"""One submission by itself: the student's own file, a checkout of GitHub, what Gradescope puts into a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bnbench import __version__
from bnbench.grading.intake import Handed, IntakeError, collect
from bnbench.grading.model import Assignment, Grade, Isolation, ItemResult, Outcome


def one_submission(path: Path, assignment: Assignment) -> Handed:
    """What lies in ``path``, taken as one submission wherever in it the file is.

    Several files that differ are a problem, and so is none. Raises IntakeError for a path in which there is nothing
    that could be one, OSError.
    """
    handed = collect(path, assignment.files)
    usable = [one for one in handed if not one.problem]
    if not usable:
        return handed[0]
    if len({one.digest for one in usable}) > 1:
        places = ", ".join(one.source_name for one in usable)
        raise IntakeError(f"several files that differ, of which one is expected: {places}")
    return usable[0]


def grade_without_file(problem: str, assignment: Assignment, *, epoch: str) -> Grade:
    """The grade of a submission in which the file is missing: every item is, and nothing was run."""
    return Grade(
        assignment=assignment.name,
        assignment_digest=assignment.digest,
        submission=hashlib.sha256(b"").hexdigest(),
        file="",
        bnbench=__version__,
        epoch=epoch,
        results=tuple(
            ItemResult(
                number=item.number,
                title=item.title,
                function=item.function,
                outcome=Outcome.MISSING,
                points=0,
                max_points=item.points,
                visibility=item.visibility,
                what=problem,
            )
            for item in assignment.items
        ),
        isolation=Isolation(tier="none, nothing was run"),
    )
