"""``bnbench grade``: a folder of submissions in, a gradebook and feedback out; or one file, as its student sees it."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, NoReturn

import typer

from bnbench.cli_assignment import assignment_named
from bnbench.cli_grading import (
    EPOCH,
    GRADES,
    OWED,
    AfterDue,
    AssignmentName,
    Canvas,
    CanvasColumn,
    Diagnose,
    Epoch,
    Gradescope,
    SecretFile,
    counting,
    grade_alone,
    grades_json,
    read_reports,
    refusing,
    tell,
    text,
)
from bnbench.cli_isolation import Tier, confined, sentence
from bnbench.cli_options import Json
from bnbench.console import emit, prepare, refuse, say, show

if TYPE_CHECKING:
    from bnbench.grading.intake import Handed
    from bnbench.grading.model import Assignment
    from bnbench.grading.reports import Reports
    from bnbench.grading.results import ClassResult
    from bnbench.grading.roster import Student
    from bnbench.sandbox.tiers import Isolation


class Plan(NamedTuple):
    """What to grade, and by what."""

    assignment: Assignment
    epoch: str
    handed: tuple[Handed, ...]
    roster: tuple[Student, ...]
    isolation: Isolation


def grade(
    submissions: Annotated[
        Path, typer.Argument(metavar="SUBS", help="A folder or an archive of submissions, or one submission.")
    ],
    assignment: AssignmentName = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where grades go; without it one is shown.")
    ] = None,
    roster: Annotated[Path | None, typer.Option(metavar="CSV", help="Who is in the class.")] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, metavar="N", help="Processes.", show_default="one a core")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="USER|failed", help="Only this student, or those whose grade is owed; repeatable."),
    ] = None,
    regrade: Annotated[
        str | None, typer.Option(metavar="REASON", help="Grade again, in a set to compare and then apply.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Grade on the workers of a Dask cluster.")
    ] = None,
    secret_file: SecretFile = None,
    epoch: Epoch = None,
    canvas: Canvas = None,
    canvas_column: CanvasColumn = None,
    *,
    require_isolation: Tier = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the last run ended.")] = False,
    diagnose: Diagnose = True,
    gradescope: Gradescope = False,
    after_due: AfterDue = False,
    json: Json = False,
) -> None:
    """Grade a class into a folder, or show one submission as its student sees it.

    Exit codes: 0 graded, whatever the points; 2 bad input; 3 grades are owed: use --resume; 4 too little isolation.

    Example: bnbench grade layers.py --assignment cs231n-batchnorm

    Example: bnbench grade submissions/ --assignment cs231n-batchnorm --roster roster.csv --out grades/

    Example: bnbench grade submissions/ --out grades/ --resume
    """
    given = (roster, jobs, only, regrade, scheduler, canvas, canvas_column, resume or None, gradescope or None)
    with refusing():
        if out is None:
            if any(option is not None for option in given):
                refuse("only a class is resumed, regraded or exported; say where its grades go with --out DIR")
            chosen = _assigned(assignment).assignment
            alone = (_alone(submissions, chosen),)
            plan = Plan(chosen, epoch or EPOCH, alone, (), confined(require_isolation))
            _show_one(plan, secret_file, diagnose=diagnose, after_due=after_due, json=json)
        chosen, epoch_of_class = _assigned(assignment, out)
        class_ = _collect(submissions, chosen)
        reports = read_reports(chosen, canvas, canvas_column, gradescope=gradescope, after_due=after_due)
        students = _roster(roster)
        prepare(out)
        plan = Plan(chosen, epoch or epoch_of_class, class_, students, confined(require_isolation))
        result = _grade_class(
            plan,
            out,
            secret_file,
            reports,
            # A cluster's machines are others: there at least what is required.
            tier=require_isolation if scheduler else plan.isolation.tier.value,
            diagnose=diagnose,
            jobs=jobs or _cores(),
            scheduler=scheduler,
            resume=resume,
            regrade=regrade,
            only=_chosen_students(out, only),
        )
    _finish(result, out, json=json)


class _Assigned(NamedTuple):
    assignment: Assignment
    epoch: str


def _newest(out: Path) -> str | None:
    """The newest set in the folder of a class."""
    from bnbench.grading.sets import set_names

    names = set_names(out)
    return names[-1] if names else None


def _assigned(name: str | None, out: Path | None = None) -> _Assigned:
    """The assignment that is named, else that of the class as it is graded already; with the class's epoch."""
    from bnbench.grading.sets import read_set

    newest = _newest(out) if out else None
    record = read_set(out, newest) if out and newest else None
    if name is not None:
        return _Assigned(assignment_named(name).assignment, record.epoch if record else EPOCH)
    if record is None:
        refuse("which assignment? Name it with --assignment; to see which there are: bnbench assignment list")
    return _Assigned(record.assignment, record.epoch)


def _collect(submissions: Path, assignment: Assignment) -> tuple[Handed, ...]:
    from bnbench.grading.intake import collect

    return collect(submissions, assignment.files)


def _alone(submission: Path, assignment: Assignment) -> Handed:
    from bnbench.grading.alone import one_submission
    from bnbench.grading.intake import IntakeError

    try:
        handed = one_submission(submission, assignment)
    except IntakeError as error:
        refuse(f"{text(error)}; a class is graded with --out DIR")
    if handed.problem:
        refuse(f"{text(submission)}: {text(handed.problem)}")
    return handed


def _roster(file: Path | None) -> tuple[Student, ...]:
    from bnbench.grading.roster import RosterError, read_roster

    try:
        return read_roster(file.read_bytes()) if file else ()
    except RosterError as error:
        refuse(f"{file}: {text(error)}")


def _chosen_students(out: Path, only: Collection[str] | None) -> tuple[str, ...]:
    """User names; ``failed`` stands for all whose grade the grader owes."""
    from bnbench.grading.batch import result_of
    from bnbench.grading.roster import Standing

    names = set(only or ())
    if "failed" not in names:
        return tuple(sorted(names))
    newest = _newest(out)
    if newest is None:
        refuse("--only failed: nobody was graded yet")
    rows = result_of(out, newest).rows
    owed = {row.student.username for row in rows if row.standing is Standing.GRADER_ERROR}
    if not owed and names == {"failed"}:
        refuse("--only failed: no grade is owed")
    return tuple(sorted((names - {"failed"}) | owed))


def _grade_class(
    plan: Plan,
    out: Path,
    secret_file: Path | None,
    reports: Reports,
    *,
    tier: str | None,
    diagnose: bool,
    jobs: int,
    scheduler: str | None,
    resume: bool,
    regrade: str | None,
    only: tuple[str, ...],
) -> ClassResult:
    from bnbench.grading.batch import grade_class
    from bnbench.grading.grader import grade_one
    from bnbench.grading.reports import publish_reports
    from bnbench.grading.secret import course_secret
    from bnbench.grading.sets import applied_set, set_names

    secret = course_secret(out, secret_file)
    _say_isolation(plan.isolation)
    with counting() as counted:
        result = grade_class(
            plan.handed,
            plan.assignment,
            partial(grade_one, secret=secret, tier=tier, diagnose=diagnose),
            out,
            epoch=plan.epoch,
            roster=plan.roster,
            jobs=jobs,
            scheduler=scheduler,
            resume=resume,
            regrade=regrade,
            only=only,
            renderers={},
            progress=counted,
        )
    return publish_reports(out, reports) if applied_set(out) == set_names(out)[-1] else result


def _show_one(plan: Plan, secret_file: Path | None, *, diagnose: bool, after_due: bool, json: bool) -> NoReturn:
    from bnbench.grading import student
    from bnbench.grading.grader import grade_one
    from bnbench.grading.secret import PUBLIC, read_secret

    secret = read_secret(secret_file) if secret_file else PUBLIC
    handed = plan.handed[0]
    work = partial(
        grade_one,
        assignment=plan.assignment,
        epoch=plan.epoch,
        secret=secret,
        tier=plan.isolation.tier.value,
        diagnose=diagnose,
    )
    graded = grade_alone(work, handed.data, handed.source_name)
    if json:
        emit(graded.schema, graded)
    else:
        if plan.isolation.warning:
            say(plan.isolation.warning)
        show(student.terminal(graded, after_due=after_due))
    raise typer.Exit(OWED if graded.points is None else 0)


def _finish(result: ClassResult, out: Path, *, json: bool) -> NoReturn:
    from bnbench.grading.roster import Standing

    if json:
        emit(GRADES, grades_json(result))
    else:
        tell(result, out)
    raise typer.Exit(OWED if result.count(Standing.GRADER_ERROR) else 0)


def _say_isolation(isolation: Isolation) -> None:
    say(sentence(isolation))
    if isolation.warning:
        say(isolation.warning)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
