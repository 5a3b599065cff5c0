"""An autograder for Gradescope: the archive that is uploaded once, and what it does with each submission there."""

from __future__ import annotations

import io
import json
import shlex
import stat
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bnbench import __version__
from bnbench.grading.alone import grade_without_file, one_submission
from bnbench.grading.assignment import read_assignment
from bnbench.grading.exports.gradescope import render_gradescope
from bnbench.grading.files import write_whole
from bnbench.grading.intake import IntakeError
from bnbench.grading.late import IN_TIME, Lateness, final_points, lateness
from bnbench.grading.model import Assignment, Grade
from bnbench.grading.secret import SECRET

ASSIGNMENT = "assignment.toml"
METADATA = "submission_metadata.json"
RESULTS = "results.json"
WHEELS = "wheels"
CREATED = (1980, 1, 1, 0, 0, 0)
"""What the files in the archive are dated: the same autograder is the same bytes."""

GradeFile = Callable[[bytes, str, Assignment], Grade]
"""Grades these bytes, handed in under this name."""


class AutograderError(ValueError):
    """Wheels without bnbench among them, or a folder that is not laid out as Gradescope's."""


class Graded(NamedTuple):
    """What came of one submission on Gradescope."""

    grade: Grade
    points: float | None
    """After lateness; None while the grader owes an item."""
    note: str


def build_autograder(assignment: str, secret: bytes, options: Sequence[str], wheels: Sequence[Path] = ()) -> bytes:
    """The autograder.zip of an assignment, given as its TOML.

    ``options`` are those of ``bnbench gradescope run``. With ``wheels``, of bnbench and of all that it needs, it is
    set up without a network; else by pip. Raises AutograderError, AssignmentError, OSError.
    """
    if wheels and not any(wheel.name.startswith("bnbench-") for wheel in wheels):
        raise AutograderError("no wheel of bnbench among the wheels; make them with: pip wheel --wheel-dir DIR bnbench")
    read = read_assignment(assignment)
    requirement = "bnbench" if wheels else f"bnbench=={__version__}"
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        setup = _rendered("setup.sh.j2", requirement=requirement, compiler=read.kind == "uw")
        _add(archive, "setup.sh", setup.encode(), 0o755)
        run = _rendered("run_autograder.j2", options=shlex.join(options))
        _add(archive, "run_autograder", run.encode(), 0o755)
        _add(archive, ASSIGNMENT, assignment.encode(), 0o600)
        _add(archive, SECRET, secret + b"\n", 0o600)
        for wheel in sorted(wheels):
            _add(archive, f"{WHEELS}/{wheel.name}", wheel.read_bytes(), 0o644)
    return written.getvalue()


def run_autograder(root: Path, grade: GradeFile, *, epoch: str) -> Graded:
    """Grade what lies in Gradescope's tree below ``root``, and write results/results.json if there is a grade.

    A submission without the file has every item missing, and says so: the student can hand in again. Raises
    AutograderError, AssignmentError, OSError, and what ``grade`` raises; then there is no results.json either.
    """
    assignment = read_assignment((root / "source" / ASSIGNMENT).read_text(encoding="utf-8"))
    found = _graded(root / "submission", assignment, grade, epoch)
    if found.points is None:
        return Graded(found, None, "")
    late, note = _lateness(root / METADATA, assignment)
    points = final_points(found.points, late)
    write_whole(root / "results" / RESULTS, render_gradescope(found, points=points, note=note))
    return Graded(found, points, note)


def _graded(submission: Path, assignment: Assignment, grade: GradeFile, epoch: str) -> Grade:
    if not submission.is_dir():
        raise AutograderError(f"{submission}: no such folder, expected the submission in it")
    try:
        handed = one_submission(submission, assignment)
        problem = handed.problem
    except IntakeError as error:
        problem = str(error)
    if problem:
        return grade_without_file(problem, assignment, epoch=epoch)
    return grade(handed.data, handed.source_name, assignment)


def _lateness(file: Path, assignment: Assignment) -> tuple[Lateness, str]:
    """By the times that Gradescope gives: nothing is late without them, or where the assignment has no late policy."""
    try:
        read: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        read = {}
    metadata: Mapping[str, Any] = read if isinstance(read, dict) else {}
    theirs = metadata.get("assignment")
    due = theirs.get("due_date") if isinstance(theirs, dict) else None
    try:
        late = lateness(metadata.get("created_at"), due or assignment.due, assignment.late)
    except (TypeError, ValueError) as error:
        return IN_TIME, f"lateness unknown: {error}"
    return late, late.sentence if late.percent else ""


def _rendered(name: str, **values: object) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bnbench.grading"),
        autoescape=False,  # noqa: S701 - a shell script, whose values are ours or quoted for a shell
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(**values)


def _add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    info = zipfile.ZipInfo(name, CREATED)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, or the mode below means nothing
    info.external_attr = (stat.S_IFREG | mode) << 16
    archive.writestr(info, content)
