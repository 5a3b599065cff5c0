"""What a graded class leaves in its folder: a page for its instructor, tables for gradebooks, feedback for everybody.

class.html          who got what, common mistakes, hard items, who is alike
grades.csv          everybody, with every status and item
moodle.csv          grade and feedback, to import; canvas.csv where a gradebook of Canvas was given
junit.xml           a suite for each student
summary.md          the class as Markdown, worst first
feedback/ann.md     what ann may see, and feedback/ann.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from bnbench.grading import student
from bnbench.grading.batch import Render, publish
from bnbench.grading.classreport import render_class
from bnbench.grading.exports.canvas import fill_canvas
from bnbench.grading.exports.github import step_summary
from bnbench.grading.exports.grades import render_grades
from bnbench.grading.exports.gradescope import render_gradescope
from bnbench.grading.exports.junit import render_junit
from bnbench.grading.exports.moodle import render_moodle
from bnbench.grading.results import ClassResult
from bnbench.grading.roster import Row
from bnbench.report.markdown import prose

FEEDBACK = "feedback"
GRADESCOPE = "gradescope"
LONGEST_NAME = 100
"""Characters of a file's name before its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reports:
    """Which reports are written, besides those that always are."""

    canvas: bytes = b""
    """A gradebook that Canvas exported; canvas.csv is that with ``canvas_column`` filled."""
    canvas_column: str = ""
    gradescope: bool = False
    """A results.json of Gradescope for each graded student, in gradescope/."""
    after_due: bool = False
    """Whether students may see what waits for the due date."""


def publish_reports(out: Path, reports: Reports) -> ClassResult:
    """Write every report of the set that counts. Raises SetError where none does, JournalError, OSError."""
    result = publish(out, renderers(reports))
    _write_folder(out / FEEDBACK, dict(_feedback(result, after_due=reports.after_due)))
    if reports.gradescope:
        _write_folder(out / GRADESCOPE, dict(_gradescope(result)))
    return result


def renderers(reports: Reports) -> Mapping[str, Render]:
    """The reports that are one file of the whole class, by name."""
    found: dict[str, Render] = {
        "class.html": render_class,
        "grades.csv": lambda result: render_grades(result.rows),
        "moodle.csv": lambda result: render_moodle(result.rows, after_due=reports.after_due),
        "junit.xml": lambda result: render_junit(result.rows, after_due=reports.after_due),
        "summary.md": lambda result: step_summary(result.rows, after_due=reports.after_due),
    }
    if reports.canvas:
        found["canvas.csv"] = partial(_canvas, reports)
    return found


def _canvas(reports: Reports, result: ClassResult) -> bytes:
    return fill_canvas(reports.canvas, reports.canvas_column, result.rows).gradebook


def file_name(username: str) -> str:
    """A file's name for a user name, which may hold anything: distinct for distinct ones, and of no other folder.

    >>> file_name("ann@example.edu"), file_name("../ann")
    ('ann@example.edu', '%2E%2E%2Fann')
    """
    safe = quote(username.encode("utf-8", "surrogatepass"), safe="@+ ")
    if not username.replace(".", "") or username.startswith((".", " ")) or "/" in username:
        safe = safe.replace(".", "%2E")
    if len(safe) <= LONGEST_NAME:
        return safe or "%"
    return f"{safe[:LONGEST_NAME]}%{hashlib.sha256(safe.encode()).hexdigest()[:16]}"


def _named(result: ClassResult) -> Iterator[tuple[str, Row]]:
    """Rows by the name of their files. Where several are of one user name, those after the first are counted.

    Some file systems do not tell upper from lower case.
    """
    taken: dict[str, int] = {}
    for row in result.rows:
        name = file_name(row.student.username)
        count = taken[name.casefold()] = taken.get(name.casefold(), 0) + 1
        yield name if count == 1 else f"{name}%{count}", row


def _feedback(result: ClassResult, *, after_due: bool) -> Iterator[tuple[str, str]]:
    for name, row in _named(result):
        note = prose(student.text(row.note))
        if row.grade is None:
            yield f"{name}.md", f"### {prose(row.standing.value.replace('_', ' '))}\n\n{note}\n"
            continue
        noted = f"\n{note}\n" if note else ""
        yield f"{name}.md", student.markdown(row.grade, after_due=after_due) + noted
        yield f"{name}.html", student.html(row.grade, after_due=after_due)


def _gradescope(result: ClassResult) -> Iterator[tuple[str, str]]:
    for name, row in _named(result):
        if row.grade is not None and row.points is not None:
            yield f"{name}.json", render_gradescope(row.grade, points=row.points, note=row.note)


def _write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """These files and no others: who left the class leaves no feedback behind.

    Each is renamed into its place, but not forced to the disk: they can be written again at any time.
    """
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        beside = folder / f".{name}.tmp"
        beside.write_bytes(content.encode())
        beside.replace(folder / name)
    for old in folder.iterdir():
        if old.name not in files and old.is_file():
            old.unlink()
