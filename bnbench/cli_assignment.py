"""``bnbench assignment``: what is asked for and what it is worth; made, shown, and tried on answers worth nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from bnbench import completion
from bnbench.cli_app import App
from bnbench.cli_options import Json
from bnbench.console import emit, named_table, progress, refuse, say, show, suggestion

if TYPE_CHECKING:
    from bnbench.grading.model import Assignment

app = App(no_args_is_help=True)

NameOrFile = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE",
        help="One that comes with bnbench, or a TOML file.",
        autocompletion=completion.assignments,
    ),
]


class NamedAssignment(NamedTuple):
    """An assignment and the TOML that states it."""

    assignment: Assignment
    text: str


def assignment_named(name: str) -> NamedAssignment:
    """The shipped assignment of this name, or that of the file; refused with everything that is wrong with it."""
    from bnbench.grading.assignment import SHIPPED, AssignmentError, read_assignment, shipped_text

    if name in SHIPPED:
        text = shipped_text(name)
        return NamedAssignment(read_assignment(text), text)
    file = Path(name)
    if not file.is_file():
        hint = suggestion(SHIPPED, name)
        refuse(f"{name!r} is neither a file nor an assignment that comes with bnbench; {hint}")
    try:
        text = file.read_text(encoding="utf-8")
        return NamedAssignment(read_assignment(text), text)
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"{file}: can't be read ({error}); expected an assignment as TOML")
    except AssignmentError as error:
        problems = "\n  ".join(str(error).splitlines())
        refuse(f"{file} is no assignment:\n  {problems}\nCompare it with: bnbench assignment new cs231n-batchnorm")


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List the assignments that come with bnbench.

    Example: bnbench assignment list
    """
    from bnbench.answers import Assignments, Named
    from bnbench.grading.assignment import SHIPPED

    shipped = [assignment_named(name).assignment for name in SHIPPED]
    named = tuple(
        Named(name=each.name, about=f"{each.points} points: {each.title} ({', '.join(each.files)})") for each in shipped
    )
    if json:
        emit("bnbench.assignments/1", Assignments(assignments=named))
    else:
        show(named_table("assignment", named))


@app.command("show")
def show_(name: NameOrFile, *, json: Json = False) -> None:
    """Show an assignment: its items, points and checks, and what lateness costs.

    Example: bnbench assignment show cs231n-batchnorm
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    assignment = assignment_named(name).assignment
    if json:
        emit("bnbench.assignment/1", assignment)
        return
    table = Table("item", "what", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("function", overflow="fold")
    table.add_column("checks")
    table.add_column("students see")
    table.add_column("points", justify="right")
    for item in assignment.items:
        needs = f" (needs {', '.join(item.needs)})" if item.needs else ""
        cells = (
            item.number,
            item.title + needs,
            item.function,
            " ".join(item.checks),
            item.visibility.value.replace("_", " "),
        )
        table.add_row(*map(Text, cells), str(item.points))
    table.add_row("", "", "", "", "", str(assignment.points), style="bold")
    show(Text(f"{assignment.title} ({assignment.name}): {' or '.join(assignment.files)}", style="bold"))
    show(table)
    late = assignment.late
    slip = f", {late.slip_days} slip days" if late.slip_days else ""
    end = f", nothing after {late.latest_days} days" if late.latest_days is not None else ""
    due = assignment.due or "no due date"
    show(f"due: {due}; late: {late.percent_per_day:g} % a day{slip}{end}; hints: {assignment.hints}")


@app.command()
def lint(name: NameOrFile, *, json: Json = False) -> None:
    """Try every item on submissions that deserve nothing: zeros, the input, NaN, layers that lack a part.

    Exit code 1 when an item gives points to one of them, or refuses a right one.

    Example: bnbench assignment lint mine.toml
    """
    from bnbench.grading.lint import lint as complaints_of
    from bnbench.report.words import visible as text

    assignment = assignment_named(name).assignment
    with progress() as shown:
        complaints = complaints_of(assignment, lambda done, total, doing: shown("lint", done, total, text(doing)))
    if json:
        emit("bnbench.lint/1", {"assignment": assignment.name, "complaints": complaints})
    else:
        for complaint in complaints:
            show(f"item {complaint.item}: {complaint.sentence}" if complaint.item else complaint.sentence)
        if not complaints:
            show(f"{assignment.name}: {len(assignment.items)} items, none gives points for nothing")
    raise typer.Exit(1 if complaints else 0)


@app.command()
def new(
    like: Annotated[
        str,
        typer.Argument(
            metavar="[NAME|FILE]", help="The assignment to begin from.", autocompletion=completion.assignments
        ),
    ] = "cs231n-batchnorm",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; printed if none.")
    ] = None,
) -> None:
    """Write an assignment to change: a copy of another one, with its comments.

    Example: bnbench assignment new cs231n-batchnorm --output mine.toml
    """
    text = assignment_named(like).text
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        refuse(f"{output}: is there already, and is not overwritten; choose another name, or move it away")
    except OSError as error:
        refuse(f"{output}: can't write there ({error.strerror}); choose another file")
    say(f"Written: {output}; when it is changed: bnbench assignment lint {output}")
