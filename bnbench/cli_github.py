"""``bnbench github``: grade a checkout in a workflow of GitHub; action.yml runs it."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnbench.cli_assignment import assignment_named
from bnbench.cli_grading import EPOCH, OWED, Diagnose, Epoch, end, grade_alone, refusing, text
from bnbench.cli_isolation import Tier, confined, sentence
from bnbench.console import refuse, say

if TYPE_CHECKING:
    from bnbench.grading.exports.classroom50 import Release

SECRET_VARIABLE = "BNBENCH_SECRET"  # noqa: S105 - a name
"""Of the environment: not an option, since a command line can be read by every process."""


def github(
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="The student's file, or the checkout.")] = Path(),
    assignment: Annotated[
        str, typer.Option("--assignment", "-a", metavar="NAME|FILE", help="See bnbench assignment list.")
    ] = "",
    classroom50: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write Classroom 50's result.json there.")
    ] = None,
    epoch: Epoch = None,
    *,
    require_isolation: Tier = None,
    diagnose: Diagnose = True,
) -> None:
    """Grade the submission in a checkout: annotations in the log, a step summary, and points as outputs of the step.

    Data are drawn from BNBENCH_SECRET, if the environment has it.

    Exit codes: 0 graded, whatever the points; 2 bad input, or no file; 3 no grade: run again; 4 too little isolation.

    Example: bnbench github . --assignment cs231n-batchnorm
    """
    from bnbench.grading import student
    from bnbench.grading.alone import one_submission
    from bnbench.grading.exports.classroom50 import render_classroom50
    from bnbench.grading.exports.github import annotation_commands
    from bnbench.grading.files import write_whole
    from bnbench.grading.grader import grade_one
    from bnbench.grading.secret import FEWEST, PUBLIC

    secret = os.environ.pop(SECRET_VARIABLE, "").strip().encode() or PUBLIC
    if not assignment:
        refuse("which assignment? Name it with --assignment; to see which there are: bnbench assignment list")
    if len(secret) < FEWEST:
        refuse(f"{SECRET_VARIABLE}: {len(secret)} bytes, expected at least {FEWEST} random ones")
    with refusing():
        chosen = assignment_named(assignment).assignment
        isolation = confined(require_isolation)
        handed = one_submission(path, chosen)
        if handed.problem:
            refuse(f"{path}: {text(handed.problem)}")
        work = partial(
            grade_one,
            assignment=chosen,
            epoch=epoch or EPOCH,
            secret=secret,
            tier=isolation.tier.value,
            diagnose=diagnose,
        )
        graded = grade_alone(work, handed.data, handed.source_name)
        say(sentence(isolation))
        _append("GITHUB_STEP_SUMMARY", student.markdown(graded))
        typer.echo(annotation_commands(graded, file=_in_repository(path, handed.source_name)), nl=False)
        if graded.points is None:
            end("the grader failed on some items: there is no grade; run the job again", OWED)
        _append("GITHUB_OUTPUT", f"points={graded.points}\nmax-points={graded.max_points}\n")
        if classroom50 is not None:
            write_whole(classroom50, render_classroom50(graded, _release(path)))


def _append(variable: str, content: str) -> None:
    """Append to the file that GitHub names; outside of its workflows there is none."""
    if name := os.environ.get(variable):
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(content)


def _in_repository(path: Path, source_name: str) -> str:
    """The submission's path as annotations have it: from the root of the repository. One in an archive has none."""
    if "!" in source_name:
        return ""
    file = (path / source_name if path.is_dir() else path).resolve()
    workspace = Path(os.environ.get("GITHUB_WORKSPACE", "")).resolve()
    return file.relative_to(workspace).as_posix() if file.is_relative_to(workspace) else ""


def _release(path: Path) -> Release:
    """The submission as Classroom 50 describes it; its time is that of the commit, the same on every regrade."""
    from bnbench.grading.exports.classroom50 import Release

    named = {
        "classroom": "CLASSROOM",
        "assignment": "ASSIGNMENT",
        "submission": "SUBMISSION_TAG",
        "commit": "COMMIT_URL",
        "release": "RELEASE_URL",
        "review": "REVIEW_URL",
    }
    now = datetime.now(UTC).replace(microsecond=0)
    return Release(
        **{field: os.environ.get(variable, "") for field, variable in named.items()},
        datetime=_zulu(_committed(path) or now),
        graded_at=_zulu(now),
    )


def _committed(path: Path) -> datetime | None:
    """When what is checked out was committed; None without git or a repository."""
    folder = path if path.is_dir() else path.parent
    # The checkout may be of another user: a runner's container. Nothing of the repository is run.
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), "show", "--no-patch", "--format=%cI", "HEAD"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - git, of the runner
        return datetime.fromisoformat(shown.stdout.strip())
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def _zulu(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
