"""``bnbench gradescope``: an autograder to upload, and what runs in it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnbench import completion
from bnbench.cli_app import App
from bnbench.cli_assignment import assignment_named
from bnbench.cli_grading import EPOCH, OWED, Diagnose, Epoch, SecretFile, grade_alone, refusing, text
from bnbench.cli_isolation import Tier, confined, sentence
from bnbench.cli_options import Json
from bnbench.console import emit, say, show

if TYPE_CHECKING:
    from bnbench.grading.model import Assignment, Grade

app = App(no_args_is_help=True)


@app.command()
def build(
    assignment: Annotated[
        str,
        typer.Option(
            "--assignment",
            "-a",
            metavar="NAME|FILE",
            help="See bnbench assignment list.",
            autocompletion=completion.assignments,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="ZIP", help="What to upload.")] = Path(
        "autograder.zip"
    ),
    wheels: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Wheels of bnbench and all it needs: then no network is needed."),
    ] = None,
    secret_file: SecretFile = None,
    epoch: Epoch = None,
    *,
    require_isolation: Tier = None,
    diagnose: Diagnose = True,
    json: Json = False,
) -> None:
    """Make the autograder.zip of an assignment. It holds the secret: keep it to yourself.

    Example: bnbench gradescope build --assignment cs231n-batchnorm --output autograder.zip

    Example: bnbench gradescope build --assignment mine.toml --wheels wheels/
    """
    from bnbench.grading.autograder import AutograderError, build_autograder
    from bnbench.grading.files import write_whole
    from bnbench.grading.secret import new_secret, read_secret

    options = ["--epoch", epoch or EPOCH, "--diagnose" if diagnose else "--no-diagnose"]
    options += ["--require-isolation", require_isolation] if require_isolation else []
    with refusing():
        chosen = assignment_named(assignment)
        found = tuple(wheels.glob("*.whl")) if wheels else ()
        if wheels and not found:
            raise AutograderError(f"{wheels}: no wheels in it; make them with: pip wheel --wheel-dir {wheels} bnbench")
        secret = read_secret(secret_file) if secret_file else new_secret()
        write_whole(output, build_autograder(chosen.text, secret, options, found))
        output.chmod(0o600)
    size = output.stat().st_size
    if json:
        emit("bnbench.autograder/1", {"file": str(output), "bytes": size})
    say(f"Written: {output}, {size >> 10} KiB; upload it under Configure Autograder")


@app.command()
def run(
    root: Annotated[Path, typer.Option(metavar="DIR", help="Gradescope's tree.")] = Path("/autograder"),
    epoch: Epoch = None,
    *,
    require_isolation: Tier = None,
    diagnose: Diagnose = True,
    json: Json = False,
) -> None:
    """Grade the submission in Gradescope's tree; run_autograder does this. No results.json where there is no grade.

    Example: bnbench gradescope run --root /autograder
    """
    from bnbench.grading.autograder import run_autograder
    from bnbench.grading.grader import grade_one
    from bnbench.grading.secret import SECRET, read_secret

    with refusing():
        isolation = confined(require_isolation)
        secret = read_secret(root / "source" / SECRET)

        of_course = partial(
            grade_one, epoch=epoch or EPOCH, secret=secret, tier=isolation.tier.value, diagnose=diagnose
        )

        def grade(data: bytes, name: str, assignment: Assignment) -> Grade:
            return grade_alone(partial(of_course, assignment=assignment), data, name)

        graded = run_autograder(root, grade, epoch=epoch or EPOCH)
    # Gradescope shows what is printed to the staff alone.
    if json:
        emit(graded.grade.schema, graded.grade)
    else:
        show(sentence(isolation))
        for result in graded.grade.results:
            show(text(f"{result.number} {result.outcome} {result.points}/{result.max_points} {result.what}"))
    if graded.points is None:
        say("the grader failed on some items: no results.json is written")
        raise typer.Exit(OWED)
    if not json:
        show(f"{graded.points:g} of {graded.grade.max_points} points {text(graded.note)}".rstrip())
