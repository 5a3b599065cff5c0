"""The command line: arguments in, exit codes out. It decides nothing itself."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnbench import cli_assignment, cli_gradescope, cli_regrade
from bnbench.cli_app import App
from bnbench.cli_debug import debug
from bnbench.cli_doctor import doctor
from bnbench.cli_explain import explain
from bnbench.cli_github import github
from bnbench.cli_grade import grade
from bnbench.cli_harness import COMMANDS
from bnbench.cli_isolation import isolation
from bnbench.cli_options import Baseline, Budget, Cases, Checks, Json, Names, Operations, Plugins, Quick
from bnbench.cli_report import LATEST, finish, history, report, write_report
from bnbench.cli_train import train
from bnbench.cli_vcurve import vcurve
from bnbench.console import (
    discover,
    emit,
    one_of,
    prepare,
    progress,
    refuse,
    say,
    select,
    settle_colours,
    show,
)

if TYPE_CHECKING:
    from bnbench.model import Case, Check, Report
    from bnbench.registry import Registry
    from bnbench.session import Request

app = App(
    name="bnbench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 as expected, 1 findings, 2 bad input, 3 a plugin or the harness is at fault, 4 no isolation.",
)

NoHints = Annotated[bool, typer.Option("--no-hints", help="Do not look for the probable cause of a failure.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the report files go.")]


def main() -> None:
    """The console script."""
    settle_colours(os.environ)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # marks such as ✓ where they can't be written
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
def list_(plugin: Plugins = None, *, json: Json = False) -> None:
    """List the implementations, which of them are available, and which plugins are broken.

    Example: bnbench list --plugin mine.py
    """
    from bnbench.report.catalogue import listing

    registry = discover(plugin)
    if json:
        from bnbench.answers import listed

        emit("bnbench.list/1", listed(registry))
    else:
        show(listing(registry.implementations.values(), registry.missing, registry.broken))
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
    finish(_run(request, registry), json=json)


@app.command("time")
def time_(
    names: Names = None,
    plugin: Plugins = None,
    case: Cases = None,
    operation: Operations = None,
    *,
    baseline: Baseline = "numpy_staged",
    budget: Budget = None,
    quick: Quick = False,
    json: Json = False,
) -> None:
    """Time implementations in turns, after each has been verified on the very case.

    Example: bnbench time numpy_staged c_fused --case float32/64x128/train --baseline numpy_staged
    """
    registry = discover(plugin)
    request = _timing_request(
        registry, names, plugin, baseline=baseline, budget=budget, quick=quick, case=case, operation=operation
    )
    finish(_run(request, registry), json=json)


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
    json: Json = False,
) -> None:
    """Verify and time everything, and write the report.

    Example: bnbench run --quick --output reports/latest
    """
    from dataclasses import replace

    from bnbench.cases import grid

    registry = discover(plugin)
    request = _timing_request(registry, names, plugin, baseline=baseline, budget=budget, quick=quick)
    prepare(output)
    report = _run(replace(request, cases=grid(quick=quick), hints=not no_hints), registry)
    write_report(report, output)
    say(f"Report: {output / 'index.html'}")
    finish(report, json=json)


app.command()(report)
app.command()(history)
app.command()(explain)
app.command()(debug)
app.command()(doctor)
app.command()(train)
app.command()(vcurve)
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


def _run(request: Request, registry: Registry) -> Report:
    from bnbench.policy import environment, settle_process
    from bnbench.session import run

    allocator = settle_process()
    with progress() as shown:
        report = run(request, registry, environment(allocator), shown)
    if not (report.findings or report.broken) and all(info.available for info in report.implementations):
        norms = ", ".join(sorted({i.capabilities.norm for i in request.implementations}))
        refuse(f"nothing to do: no such case for {norms} norm and these checks; see bnbench list")
    return report
