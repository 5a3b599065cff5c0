"""What the commands of grading have in common: options, refusals, progress, and how a class is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bnbench import completion
from bnbench.console import INTERRUPTED, LOUDNESS, Loudness, fail, line, refuse, show

if TYPE_CHECKING:
    from bnbench.grading.batch import Progress
    from bnbench.grading.local import Work
    from bnbench.grading.model import Assignment, Grade
    from bnbench.grading.reports import Reports
    from bnbench.grading.results import ClassResult

EPOCH = "1"
OWED = 3
"""Exit code while the grader owes a grade."""
GRADES = "bnbench.grades/1"
"""The schema of a class as JSON."""
SHOWN = 10
"""How many students of one kind of trouble are named."""

AssignmentName = Annotated[
    str | None,
    typer.Option(
        "--assignment",
        "-a",
        metavar="NAME|FILE",
        help="See bnbench assignment list; once for a class.",
        autocompletion=completion.assignments,
    ),
]
Canvas = Annotated[
    Path | None, typer.Option(metavar="EXPORT.csv", help="A gradebook exported by Canvas: canvas.csv is it, filled.")
]
CanvasColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="The assignment's name in Canvas; by default its title here.")
]
Gradescope = Annotated[bool, typer.Option("--gradescope", help="Also a results.json of Gradescope for everybody.")]
AfterDue = Annotated[bool, typer.Option("--after-due", help="Feedback shows what waits for the due date.")]
Diagnose = Annotated[
    bool, typer.Option("--diagnose/--no-diagnose", help="Look for the cause of what is wrong, which takes longer.")
]
SecretFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="From which all data are drawn; a class without one gets its own, in OUT."),
]
Epoch = Annotated[str | None, typer.Option(metavar="TEXT", help="Another one draws other data.", show_default=EPOCH)]


@contextmanager
def refusing() -> Iterator[None]:
    """Say of input that can't be used what is wrong with it: exit code 2, or 3 where grades are owed for now."""
    from bnbench.grading.cluster import SchedulerError
    from bnbench.sandbox.tiers import IsolationError

    try:
        yield
    except SchedulerError as error:
        end(f"{error}; what was graded is kept: run again with --resume", OWED)
    except IsolationError as error:
        end(str(error), 4)
    except KeyboardInterrupt:
        end("interrupted; what was graded is kept: run again with --resume", INTERRUPTED)
    except _refusals() as error:
        refuse(text(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        refuse(f"{text(where)}{error.strerror or error}")


def _refusals() -> tuple[type[ValueError], ...]:
    """With what the parts of grading refuse their input; any other ValueError is a mistake of ours."""
    from bnbench.grading.assignment import AssignmentError
    from bnbench.grading.autograder import AutograderError
    from bnbench.grading.exports.canvas import CanvasError
    from bnbench.grading.intake import IntakeError
    from bnbench.grading.journal import JournalError
    from bnbench.grading.late import ExtensionsError
    from bnbench.grading.overrides import OverridesError
    from bnbench.grading.roster import RosterError
    from bnbench.grading.secret import SecretError
    from bnbench.grading.sets import SetError

    course = (AssignmentError, AutograderError, SecretError, ExtensionsError, OverridesError)
    return (*course, IntakeError, RosterError, CanvasError, JournalError, SetError)


def grade_alone(work: Work, data: bytes, name: str) -> Grade:
    """Grade one submission in this process; whatever the grader raises is its trouble, and ends with 3."""
    from bnbench.grading.local import Job, attempt

    done = attempt(work, Job(digest="", data=data, name=name))
    if done.grade is None:
        end(done.trouble, OWED)
    return done.grade


def end(message: str, code: int) -> NoReturn:
    """End with this code."""
    fail(text(message), code)


def read_reports(
    assignment: Assignment,
    canvas: Path | None,
    column: str | None,
    *,
    gradescope: bool = False,
    after_due: bool = False,
) -> Reports:
    """Which reports are asked for. A gradebook that can't be filled is refused now, and not after grading."""
    from bnbench.grading.exports.canvas import CanvasError, fill_canvas
    from bnbench.grading.reports import Reports

    column = column or assignment.title
    gradebook = canvas.read_bytes() if canvas else b""
    if canvas:
        try:
            fill_canvas(gradebook, column, ())
        except CanvasError as error:
            refuse(f"{canvas}: {error}; name the assignment as Canvas does with --canvas-column")
    return Reports(canvas=gradebook, canvas_column=column, gradescope=gradescope, after_due=after_due)


def grades_json(result: ClassResult) -> dict[str, Any]:
    """The class as JSON has it; no grade is null, never a zero."""
    from bnbench.grading.journal import plain

    return {
        "assignment": plain(result.assignment.name),
        "assignment_digest": result.assignment.digest,
        "bnbench": result.bnbench,
        "epoch": plain(result.epoch),
        "summary": result.summary,
        "remarks": plain(result.remarks),
        "students": [plain(row) for row in result.rows],
    }


def tell(result: ClassResult, out: Path) -> None:
    from bnbench.grading.roster import Standing
    from bnbench.grading.sets import applied_set, set_names

    show(result.summary)
    for standing in (Standing.GRADER_ERROR, Standing.MISSING_FILE):
        rows = [row for row in result.rows if row.standing is standing]
        for row in rows[:SHOWN]:
            show(f"  {text(row.student.username)}: {text(row.note)}")
        if len(rows) > SHOWN:
            show(f"  and {len(rows) - SHOWN} more: see grades.csv")
    for remark in result.remarks:
        show(f"  {text(remark)}")
    newest, counts = set_names(out)[-1], applied_set(out)
    if newest == counts:
        line(f"Reports: {out / 'class.html'}, grades.csv, feedback/ and more")
    else:
        line(f"Set {newest} does not count yet. Compare: bnbench regrade diff {out} {counts} {newest}")
        line(f"Then: bnbench regrade apply {out} {newest}, or discard instead of apply")


@contextmanager
def counting() -> Iterator[Progress]:
    """How many are graded, how fast, and the time left: a bar on a terminal, elsewhere a line for every tenth."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Display

    console = Console(stderr=True, quiet=LOUDNESS.get() is Loudness.QUIET)
    rate, name = TextColumn("{task.fields[rate]}"), TextColumn("{task.description}", markup=False)
    columns = (TextColumn("grade"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn(), name)
    with Display(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        bar = display.add_task("", total=None, rate="")
        told = 0

        def progress(_phase: str, done: int, total: int, name: str) -> None:
            nonlocal told
            display.update(bar, completed=done, total=total, description=text(name))
            speed = display.tasks[bar].speed
            display.update(bar, rate=f"{speed:.1f}/s" if speed else "")
            tenth = 10 * done // total if total else 0
            if not console.is_terminal and (done == 0 or tenth > told):
                told = tenth
                rate = f", {speed:.1f}/s, {(total - done) / speed:.0f} s left" if speed else ""
                console.print(f"graded {done}/{total}{rate}", highlight=False, markup=False)

        yield progress


def text(said: object) -> str:
    """What may come from a submission or a roster, so that it shows and does nothing."""
    from bnbench.report.words import visible

    return visible(str(said), keep="\n")
