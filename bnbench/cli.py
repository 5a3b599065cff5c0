"""The command line: arguments in, exit codes out. It decides nothing itself."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID

    from bnbench.model import Case, Check, Implementation, Report
    from bnbench.registry import Registry
    from bnbench.session import Progress, Request

LATEST = Path("reports/latest")
T = TypeVar("T")

app = typer.Typer(
    name="bnbench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 as expected, 1 findings, 2 bad input, 3 a plugin or the harness is at fault.",
)

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Implementations; all of them if none.")]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="PATH", help="A Python file or folder with more implementations; repeatable."),
]
Checks = Annotated[
    list[str] | None, typer.Option("--check", metavar="CODE", help="Only this check, such as BN301; repeatable.")
]
Cases = Annotated[
    list[str] | None,
    typer.Option("--case", metavar="ID", help="This case instead of the default grid, such as float64/9x5/train."),
]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer cases and shorter timings.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a summary.")]
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

    registry = _discover(plugin)
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
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Verify implementations: outputs, running statistics, gradients, modes, purity, argument checks.

    Without names, everything is verified, or with --plugin only what the plugins declare.

    Example: bnbench check c_fused --check BN301 --case float64/9x5/train
    """
    from bnbench.cases import grid
    from bnbench.session import Request

    registry = _discover(plugin)
    request = Request(
        implementations=_select(registry, names or list(registry.from_paths)),
        cases=_cases(case) or grid(quick=quick),
        checks=_checks(check),
        plugins=tuple(map(str, plugin or ())),
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
    registry = _discover(plugin)
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
    quiet: Quiet = False,
) -> None:
    """Verify and time everything, and write the report.

    Example: bnbench run --quick --output reports/latest
    """
    from dataclasses import replace

    from bnbench.cases import grid

    registry = _discover(plugin)
    request = _timing_request(registry, names, plugin, baseline=baseline, budget=budget, quick=quick)
    _prepare(output)
    report = _run(replace(request, cases=grid(quick=quick)), registry, quiet=quiet)
    _write(report, output)
    if not quiet:
        _say(f"Report: {output / 'index.html'}")
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
        _refuse(f"{results}: can't be read ({error}); write one with: bnbench run")
    try:
        parsed = parse_json(text)
    except ValueError as error:
        _refuse(f"{results}: not a bnbench report: {error}")
    target = output or results.parent
    _prepare(target)
    _write(parsed, target)
    if not quiet:
        _say(f"Report: {target / 'index.html'}")
    _finish(parsed, json=False, quiet=quiet)


@app.command()
def explain(code: Annotated[str | None, typer.Argument(metavar="[CODE]", help="Such as BN301.")] = None) -> None:
    """Explain a check: its claim, the maths, the usual cause, and the mutant that it catches.

    Example: bnbench explain BN301
    """
    from rich.console import Console

    from bnbench.checks import ALL_CHECKS
    from bnbench.mutants import ALL_MUTANTS
    from bnbench.report.catalogue import explanation

    bugs = {mutant.name: mutant.bug for mutant in ALL_MUTANTS}
    if code is None:
        for known in ALL_CHECKS:
            typer.echo(f"{known.code}  {known.claim}")
        return
    (found,) = _checks([code])
    Console().print(explanation(found, bugs[found.mutant]))


def _discover(plugin: Iterable[Path] | None) -> Registry:
    from bnbench.registry import PluginPathError, discover

    try:
        return discover(plugin or ())
    except PluginPathError as error:
        _refuse(str(error))


def _select(registry: Registry, names: Iterable[str]) -> tuple[Implementation, ...]:
    from bnbench.registry import UnknownImplementationError

    try:
        return registry.select(names)
    except UnknownImplementationError as error:
        _refuse(str(error))


def _checks(codes: Iterable[str] | None) -> tuple[Check, ...]:
    from bnbench.checks import ALL_CHECKS

    by_code = {check.code: check for check in ALL_CHECKS}
    return tuple(_one_of(by_code, code.upper(), "check") for code in codes or ()) or ALL_CHECKS


def _cases(texts: Iterable[str] | None) -> tuple[Case, ...]:
    from bnbench.cases import CaseError, parse_case

    try:
        return tuple(parse_case(text) for text in texts or ())
    except CaseError as error:
        _refuse(str(error))


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
    implementations = _select(registry, names or ())
    _select(registry, [baseline])
    return Request(
        implementations=implementations,
        timing_cases=_cases(case) or timing_cases(quick=quick),
        operations=tuple(_one_of(operations, name, "operation") for name in operation or ()) or OPERATIONS,
        baseline=baseline,
        budget=budget or (QUICK_BUDGET if quick else BUDGET),
        plugins=tuple(map(str, plugin or ())),
    )


def _one_of(known: Mapping[str, T], name: str, what: str) -> T:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        _refuse(f"no {what} is called {name!r}; {hint}")
    return known[name]


def _run(request: Request, registry: Registry, *, quiet: bool) -> Report:
    from bnbench.policy import environment, settle_process
    from bnbench.session import run

    allocator = settle_process()
    with _progress(quiet=quiet) as progress:
        return run(request, registry, environment(allocator), progress)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    """A bar on a terminal, a line per phase and minute elsewhere; on stderr, out of the results' way."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.fields[phase]:>6}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    console = Console(stderr=True, quiet=quiet)
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True) as display:

        def progress(phase: str, done: int, total: int, doing: str) -> None:
            if phase not in bars:
                bars[phase] = display.add_task("", total=total, phase=phase)
                if not console.is_terminal:
                    console.print(f"{phase}: {total} steps")
            display.update(bars[phase], completed=done, total=total, description=doing)

        yield progress


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


def _prepare(directory: Path) -> None:
    """Make the output directory before hours of work depend on it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        _refuse(f"{directory}: can't write there ({error.strerror}); choose another folder with --output")


def _write(report: Report, directory: Path) -> None:
    """Every report file, each replaced in one step, so that none is ever half written."""
    from bnbench.report import FILES

    for name, render in FILES.items():
        scratch = directory / f".{name}.new"
        scratch.write_text(render(report), encoding="utf-8")
        os.replace(scratch, directory / name)  # noqa: PTH105 - Path.replace is the same call, less known


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _refuse(message: str) -> NoReturn:
    typer.secho(f"Error: {message}", err=True, fg=typer.colors.RED)
    raise typer.Exit(2)
