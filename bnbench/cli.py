"""The command line: arguments in, exit codes out. It decides nothing itself."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bnbench import cli_assignment, cli_gradescope, cli_regrade
from bnbench.cli_debug import debug
from bnbench.cli_github import github
from bnbench.cli_grade import grade
from bnbench.cli_harness import COMMANDS
from bnbench.cli_isolation import isolation
from bnbench.cli_train import train
from bnbench.console import Names, Plugins, discover, one_of, prepare, progress, refuse, say, select

if TYPE_CHECKING:
    from bnbench.model import Case, Check, Report
    from bnbench.registry import Registry
    from bnbench.session import Request

LATEST = Path("reports/latest")

app = typer.Typer(
    name="bnbench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 as expected, 1 findings, 2 bad input, 3 a plugin or the harness is at fault, 4 no isolation.",
)

Checks = Annotated[
    list[str] | None, typer.Option("--check", metavar="CODE", help="Only this check, such as BN301; repeatable.")
]
Cases = Annotated[
    list[str] | None,
    typer.Option("--case", metavar="ID", help="This case instead of the default grid, such as float64/9x5/train."),
]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer cases and shorter timings.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a summary.")]
NoHints = Annotated[bool, typer.Option("--no-hints", help="Do not look for the probable cause of a failure.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors; the exit code tells.")]
Baseline = Annotated[str, typer.Option(metavar="NAME", help="What the others are compared with.")]
Budget = Annotated[
    float | None,
    typer.Option(min=0.001, metavar="SECONDS", help="Time per implementation, case and operation.", show_default=False),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the report files go.")]


def main() -> None:
    """The console script."""
    app()


@app.callback(invoke_without_command=True)
def bnbench(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False
) -> None:
    """Verify and time normalization layers: gradients judged in units of measured noise, paired timings."""
    if version:
        from bnbench import __version__

        typer.echo(f"bnbench {__version__}")
        raise typer.Exit


@app.command("list")
def list_(plugin: Plugins = None) -> None:
    """List the implementations, which of them are available, and which plugins are broken.

    Example: bnbench list --plugin mine.py
    """
    from rich.console import Console

    from bnbench.report.catalogue import listing

    registry = discover(plugin)
    Console().print(listing(registry.implementations.values(), registry.missing, registry.broken), crop=False)
    raise typer.Exit(3 if registry.broken else 0)


@app.command()
def check(
    names: Names = None,
    plugin: Plugins = None,
    check: Checks = None,
    case: Cases = None,
    *,
    quick: Quick = False,
    no_hints: NoHints = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Verify implementations: outputs, running statistics, gradients, modes, purity, argument checks.

    Without names, everything is verified, or with --plugin only what the plugins declare.

    Example: bnbench check c_fused --check BN301 --case float64/9x5/train
    """
    from bnbench.cases import grid
    from bnbench.session import Request

    registry = discover(plugin)
    request = Request(
        # With --plugin alone only what it declares, which is nothing when it is broken.
        implementations=select(registry, names or registry.from_paths)
        if names or not plugin or registry.from_paths
        else (),
        cases=_cases(case) or grid(quick=quick),
        checks=_checks(check),
        plugins=tuple(map(str, plugin or ())),
        hints=not no_hints,
    )
    _finish(_run(request, registry, quiet=quiet or json), json=json, quiet=quiet)


@app.command("time")
def time_(
    names: Names = None,
    plugin: Plugins = None,
    case: Cases = None,
    operation: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="forward_train, forward_eval or backward; all three if none."),
    ] = None,
    *,
    baseline: Baseline = "numpy_staged",
    budget: Budget = None,
    quick: Quick = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time implementations in turns, after each has been verified on the very case.

    Example: bnbench time numpy_staged c_fused --case float32/64x128/train --baseline numpy_staged
    """
    registry = discover(plugin)
    request = _timing_request(
        registry, names, plugin, baseline=baseline, budget=budget, quick=quick, case=case, operation=operation
    )
    _finish(_run(request, registry, quiet=quiet or json), json=json, quiet=quiet)


@app.command()
def run(
    names: Names = None,
    plugin: Plugins = None,
    *,
    output: Output = LATEST,
    baseline: Baseline = "numpy_staged",
    budget: Budget = None,
    quick: Quick = False,
    no_hints: NoHints = False,
    quiet: Quiet = False,
) -> None:
    """Verify and time everything, and write the report.

    Example: bnbench run --quick --output reports/latest
    """
    from dataclasses import replace

    from bnbench.cases import grid

    registry = discover(plugin)
    request = _timing_request(registry, names, plugin, baseline=baseline, budget=budget, quick=quick)
    prepare(output)
    report = _run(replace(request, cases=grid(quick=quick), hints=not no_hints), registry, quiet=quiet)
    _write(report, output)
    if not quiet:
        say(f"Report: {output / 'index.html'}")
    _finish(report, json=False, quiet=quiet)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(metavar="[RESULTS]", help="A results.json.")] = LATEST / "results.json",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where; beside RESULTS by default.")
    ] = None,
    *,
    quiet: Quiet = False,
) -> None:
    """Render a results.json again: summary, tables, Markdown and HTML.

    Example: bnbench report reports/latest/results.json --output /tmp/again
    """
    from bnbench.report import parse_json

    try:
        text = results.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"{results}: can't be read ({error}); write one with: bnbench run")
    try:
        parsed = parse_json(text)
    except ValueError as error:
        refuse(f"{results}: not a bnbench report: {error}")
    target = output or results.parent
    prepare(target)
    _write(parsed, target)
    if not quiet:
        say(f"Report: {target / 'index.html'}")
    _finish(parsed, json=False, quiet=quiet)


@app.command()
def explain(
    code: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A check or a quantity: BN301, dvar.")] = None,
) -> None:
    """Explain a check (claim, maths, usual cause, mutant) or a quantity of the graph (formula, why, usual slip).

    Example: bnbench explain BN301

    Example: bnbench explain dvar
    """
    from rich.console import Console

    from bnbench.checks import ALL_CHECKS
    from bnbench.diagnose.steps import STEPS, Step
    from bnbench.mutants import ALL_MUTANTS
    from bnbench.report.catalogue import explanation, step_page

    if code is None:
        for known in ALL_CHECKS:
            typer.echo(f"{known.code}  {known.claim}")
        for step in STEPS.values():
            typer.echo(f"{step.quantity:<12}  {step.formula}")
        return
    checks: dict[str, Check | Step] = {check.code: check for check in ALL_CHECKS}
    name = code.upper() if code.upper() in checks else code
    found = one_of({**checks, **STEPS}, name, "check" if code.upper().startswith("BN") else "quantity")
    if isinstance(found, Step):
        Console().print(step_page(found))
        return
    bugs = {mutant.name: mutant.bug for mutant in ALL_MUTANTS}
    Console().print(explanation(found, bugs[found.mutant]))


app.command()(debug)
app.command()(train)
app.command()(grade)
app.add_typer(cli_regrade.app, name="regrade", help="Compare, apply and discard sets of grades of one class.")
app.add_typer(cli_assignment.app, name="assignment", help="What is asked for and what it is worth.")
app.add_typer(cli_gradescope.app, name="gradescope", help="An autograder for Gradescope.")
app.command()(github)
app.command()(isolation)
for command in COMMANDS:
    app.command()(command)


def _checks(codes: Iterable[str] | None) -> tuple[Check, ...]:
    from bnbench.checks import ALL_CHECKS

    by_code = {check.code: check for check in ALL_CHECKS}
    return tuple(one_of(by_code, code.upper(), "check") for code in codes or ()) or ALL_CHECKS


def _cases(texts: Iterable[str] | None) -> tuple[Case, ...]:
    from bnbench.cases import CaseError, parse_case

    try:
        return tuple(parse_case(text) for text in texts or ())
    except CaseError as error:
        refuse(str(error))


def _timing_request(
    registry: Registry,
    names: Iterable[str] | None,
    plugin: Iterable[Path] | None,
    *,
    baseline: str,
    budget: float | None,
    quick: bool,
    case: Iterable[str] | None = None,
    operation: Iterable[str] | None = None,
) -> Request:
    from bnbench.session import Request
    from bnbench.timing import BUDGET, OPERATIONS, QUICK_BUDGET, Operation, timing_cases

    operations: dict[str, Operation] = {known: known for known in OPERATIONS}
    implementations = select(registry, names or ())
    select(registry, [baseline])
    return Request(
        implementations=implementations,
        timing_cases=_cases(case) or timing_cases(quick=quick),
        operations=tuple(one_of(operations, name, "operation") for name in operation or ()) or OPERATIONS,
        baseline=baseline,
        budget=budget or (QUICK_BUDGET if quick else BUDGET),
        plugins=tuple(map(str, plugin or ())),
    )


def _run(request: Request, registry: Registry, *, quiet: bool) -> Report:
    from bnbench.policy import environment, settle_process
    from bnbench.session import run

    allocator = settle_process()
    with progress(quiet=quiet) as shown:
        report = run(request, registry, environment(allocator), shown)
    if not (report.findings or report.broken) and all(info.available for info in report.implementations):
        norms = ", ".join(sorted({i.capabilities.norm for i in request.implementations}))
        refuse(f"nothing to do: no such case for {norms} norm and these checks; see bnbench list")
    return report


def _finish(report: Report, *, json: bool, quiet: bool) -> NoReturn:
    from bnbench.session import exit_code

    if json:
        from bnbench.report import dump_json

        typer.echo(dump_json(report), nl=False)
    elif not quiet:
        from rich.console import Console

        from bnbench.report import summary

        Console().print(summary(report), crop=False)
    raise typer.Exit(exit_code(report))


def _write(report: Report, directory: Path) -> None:
    """Every report file, each replaced in one step, so that none is ever half written."""
    from bnbench.report import FILES

    for name, render in FILES.items():
        scratch = directory / f".{name}.new"
        scratch.write_text(render(report), encoding="utf-8")
        os.replace(scratch, directory / name)  # noqa: PTH105 - Path.replace is the same call, less known
