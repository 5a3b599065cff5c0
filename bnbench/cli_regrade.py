"""``bnbench regrade``: sets of grades of one class compared, then applied or discarded, and written anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnbench.cli_app import App
from bnbench.cli_assignment import assignment_named
from bnbench.cli_grading import (
    GRADES,
    AfterDue,
    Canvas,
    CanvasColumn,
    Gradescope,
    grades_json,
    read_reports,
    refusing,
    tell,
    text,
)
from bnbench.cli_options import Json
from bnbench.console import emit, show

if TYPE_CHECKING:
    from bnbench.answers import GradeSets
    from bnbench.grading.results import Change, ClassResult

app = App(no_args_is_help=True)

Out = Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a graded class.")]
SetName = Annotated[str, typer.Argument(metavar="SET", help="Its number: see bnbench regrade list.")]


@app.command("list")
def list_(out: Out, *, json: Json = False) -> None:
    """List the sets of a class, and which of them counts.

    Example: bnbench regrade list grades/
    """
    with refusing():
        sets = _sets(out)
    if json:
        emit("bnbench.sets/1", sets)
        return
    for each in sets.sets:
        state = "counts" if each.counts else "discarded" if each.discarded else ""
        what = f": {text(each.reason)}" if each.reason else ""
        show(f"{each.name:>3} {state:<10}{each.summary}{what}")


@app.command()
def diff(
    out: Out,
    before: Annotated[str, typer.Argument(metavar="A", help="The set that counts, if none.", show_default=False)] = "",
    after: Annotated[str, typer.Argument(metavar="B", help="The newest set, if none.", show_default=False)] = "",
    *,
    json: Json = False,
) -> None:
    """List everything that two sets say differently: standings and points first, then items.

    Example: bnbench regrade diff grades/ 1 2
    """
    from bnbench.grading import results
    from bnbench.grading.batch import result_of
    from bnbench.grading.sets import applied_set, set_names

    with refusing():
        newest = _existing(out, set_names(out))[-1]
        before, after = before or applied_set(out) or newest, after or newest
        changes = results.diff(result_of(out, before), result_of(out, after))
    if json:
        emit("bnbench.regrade/1", {"before": before, "after": after, "changes": changes})
        return
    for change in changes:
        show(_line(change))
    count = results.changed_points(changes)
    show(f"{count} student{'s'[: count != 1]} with another standing or other points, from set {before} to {after}")


@app.command()
def apply(
    out: Out,
    name: SetName,
    canvas: Canvas = None,
    canvas_column: CanvasColumn = None,
    *,
    gradescope: Gradescope = False,
    after_due: AfterDue = False,
    json: Json = False,
) -> None:
    """Let a set count, and write the reports of it.

    Example: bnbench regrade apply grades/ 2
    """
    from bnbench.grading.reports import publish_reports
    from bnbench.grading.sets import apply_set, read_set

    with refusing():
        assignment = read_set(out, name).assignment
        reports = read_reports(assignment, canvas, canvas_column, gradescope=gradescope, after_due=after_due)
        apply_set(out, name)
        result = publish_reports(out, reports)
    _tell(result, out, json=json)


@app.command()
def discard(out: Out, name: SetName, *, json: Json = False) -> None:
    """Mark a set so that it can't be applied; its grades stay on record.

    Example: bnbench regrade discard grades/ 2
    """
    from bnbench.grading.sets import discard_set

    with refusing():
        discard_set(out, name)
        sets = _sets(out)
    if json:
        emit("bnbench.sets/1", sets)
    else:
        show(f"Set {text(name)} is discarded")


@app.command()
def publish(
    out: Out,
    lateness: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Take the due date and the late policy of this assignment."),
    ] = None,
    canvas: Canvas = None,
    canvas_column: CanvasColumn = None,
    *,
    gradescope: Gradescope = False,
    after_due: AfterDue = False,
    json: Json = False,
) -> None:
    """Write the reports again, with today's overrides.csv, extensions.csv and late policy. Nothing is run.

    Example: bnbench regrade publish grades/ --lateness mine.toml
    """
    from bnbench.grading.reports import publish_reports
    from bnbench.grading.sets import applied_set, read_set, set_lateness, set_names

    with refusing():
        name = applied_set(out) or _existing(out, set_names(out))[-1]
        assignment = read_set(out, name).assignment
        reports = read_reports(assignment, canvas, canvas_column, gradescope=gradescope, after_due=after_due)
        if lateness is not None:
            set_lateness(out, name, assignment_named(lateness).assignment)
        result = publish_reports(out, reports)
    _tell(result, out, json=json)


def _tell(result: ClassResult, out: Path, *, json: bool) -> None:
    if json:
        emit(GRADES, grades_json(result))
    else:
        tell(result, out)


def _sets(out: Path) -> GradeSets:
    """Every set of a class. Raises SetError."""
    from bnbench.answers import GradeSet, GradeSets
    from bnbench.grading.batch import result_of
    from bnbench.grading.sets import DISCARDED, applied_set, folder_of, read_set, set_names

    applied = applied_set(out)
    return GradeSets(
        sets=tuple(
            GradeSet(
                name=name,
                counts=name == applied,
                discarded=(folder_of(out, name) / DISCARDED).exists(),
                summary=result_of(out, name).summary,
                reason=read_set(out, name).reason,
            )
            for name in _existing(out, set_names(out))
        )
    )


def _existing(out: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    from bnbench.grading.sets import SetError

    if not names:
        raise SetError(f"{out}: no grades in it; expected the folder that was named with: bnbench grade --out")
    return names


def _line(change: Change) -> str:
    item = f" {change.item}" if change.item else ""
    return text(f"{change.student.username}{item}: {change.before} -> {change.after}")
