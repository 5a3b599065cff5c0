"""``bnbench report`` and ``bnbench history``: results that are already there, rendered and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bnbench.cli_options import Json
from bnbench.console import emit, prepare, refuse, say, show, suggestion, write_file

if TYPE_CHECKING:
    from bnbench.model import Report
    from bnbench.recorded import History

LATEST = Path("reports/latest")
ASV = Path("reports/asv/results")

Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where; beside the results by default.")
]
Failing = Annotated[
    bool, typer.Option("--fail-on-regression", help="Exit code 1 when something became slower or wrong.")
]


def report(
    results: Annotated[Path, typer.Argument(metavar="[RESULTS]", help="A results.json.")] = LATEST / "results.json",
    newer: Annotated[
        Path | None, typer.Argument(metavar="[NEWER]", help="Another, to compare it with.", show_default=False)
    ] = None,
    output: Output = None,
    *,
    png: Annotated[bool, typer.Option("--png", help="Also draw every chart as PNG, light and dark.")] = False,
    fail_on_regression: Failing = False,
    json: Json = False,
) -> None:
    """Render a results.json again: summary, tables, Markdown and HTML. With NEWER, show what changed between two.

    Example: bnbench report reports/latest/results.json --output /tmp/again

    Example: bnbench report before.json after.json --fail-on-regression
    """
    parsed = _read(results)
    if newer is not None:
        _compare(parsed, _read(newer), output or newer.parent, fail_on_regression=fail_on_regression, json=json)
    if fail_on_regression:
        refuse("--fail-on-regression compares two results: name the newer one too")
    target = output or results.parent
    prepare(target)
    write_report(parsed, target, png=png)
    say(f"Report: {target / 'index.html'}")
    finish(parsed, json=json)


def _compare(before: Report, after: Report, target: Path, *, fail_on_regression: bool, json: bool) -> NoReturn:
    from bnbench.comparison import compare_reports
    from bnbench.report.comparison import (
        comparison_html,
        comparison_markdown,
        comparison_summary,
    )

    found = compare_reports(before, after)
    prepare(target)
    write_file(target / "comparison.md", comparison_markdown(found))
    write_file(target / "comparison.html", comparison_html(found))
    if json:
        emit("bnbench.comparison/1", found)
    else:
        show(*comparison_summary(found))
    say(f"Page: {target / 'comparison.html'}")
    raise typer.Exit(1 if fail_on_regression and found.regressed else 0)


def history(
    folder: Annotated[Path, typer.Argument(metavar="[RESULTS_DIR]", help="Where asv keeps its results.")] = ASV,
    since: Annotated[
        str | None, typer.Option("--from", metavar="COMMIT", help="Instead of the last but one that was measured.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="COMMIT", help="Instead of the last.")] = None,
    machine: Annotated[str | None, typer.Option(metavar="NAME", help="Where several were measured.")] = None,
    output: Output = None,
    *,
    fail_on_regression: Failing = False,
    json: Json = False,
) -> None:
    """Show what changed between two commits and over all of them, from asv's results, and draw it as a page.

    Example: bnbench history reports/asv/results --from HEAD~1 --to HEAD

    Example: bnbench history --fail-on-regression
    """
    from bnbench.changes import ChangeVerdict, Trend, changes_between
    from bnbench.history import HistoryError, read_histories, steps_of
    from bnbench.report.history import trend_answer, trend_summary
    from bnbench.report.history_page import history_html

    try:
        found = _of_machine(read_histories(folder), machine)
    except HistoryError as error:
        refuse(str(error))
    last = _place(found, until) if until else len(found.commits) - 1
    first = _place(found, since) if since else last - 1
    if first < 0:
        refuse(f"{folder}: only one commit is measured before that; measure another with: asv run --record-samples")
    latest = changes_between(found, first, last)
    overall = changes_between(found, 0, len(found.commits) - 1)
    trend = Trend(history=found, latest=latest, overall=overall, steps=steps_of(found))
    target = output or folder.parent
    prepare(target)
    write_file(target / "history.html", history_html(trend))
    if json:
        emit("bnbench.history/1", trend_answer(trend))
    else:
        show(*trend_summary(trend))
    say(f"Page: {target / 'history.html'}")
    worse = latest.of(ChangeVerdict.REGRESSION) + latest.of(ChangeVerdict.LOST)
    raise typer.Exit(1 if fail_on_regression and worse else 0)


def _of_machine(histories: tuple[History, ...], name: str | None) -> History:
    machines = {history.machine: history for history in reversed(histories)}
    if name is not None and name not in machines:
        refuse(f"no machine is called {name!r}; {suggestion(machines, name)}")
    if name is None and len(machines) > 1:
        refuse(f"several machines were measured, which do not compare; choose with --machine: {', '.join(machines)}")
    return machines[name] if name else histories[0]


def _place(found: History, commit: str) -> int:
    """The place of a commit that is given by the beginning of its hash, or as git knows it."""
    names = [known.name for known in found.commits]
    matching = [i for i, name in enumerate(names) if name.startswith(commit)]
    if not matching and (resolved := _resolved(commit)) in names:
        return names.index(resolved)
    if len(matching) != 1:
        known = ", ".join(name[:8] for name in names)
        refuse(f"commit {commit!r}: {'more than one is' if matching else 'none is'} measured so; measured: {known}")
    return matching[0]


def _resolved(commit: str) -> str:
    """The hash of what git calls so, such as HEAD~1; "" if it does not know."""
    import subprocess

    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - git
    except OSError:
        return ""


def _read(results: Path) -> Report:
    from bnbench.report import parse_json

    try:
        text = results.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"{results}: can't be read ({error}); write one with: bnbench run")
    try:
        return parse_json(text)
    except ValueError as error:
        refuse(f"{results}: not a bnbench report: {error}")


def finish(report: Report, *, json: bool) -> NoReturn:
    """Print a report and end with its exit code."""
    from bnbench.session import exit_code

    if json:
        from bnbench.report import dump_json

        typer.echo(dump_json(report), nl=False)
    else:
        from bnbench.report import summary

        show(summary(report))
    raise typer.Exit(exit_code(report))


def write_report(report: Report, directory: Path, *, png: bool = False) -> None:
    """Write every report file, each replaced in one step, so that none is ever half written."""
    from bnbench.report import FILES
    from bnbench.report.charts import charts
    from bnbench.report.charts.chart import png as drawn
    from bnbench.report.markdown import CHARTS

    for name, render in FILES.items():
        write_file(directory / name, render(report))
    prepare(directory / CHARTS)
    for chart in charts(report):
        write_file(directory / CHARTS / f"{chart.name}.svg", chart.svg_file)
        if png:
            write_file(directory / CHARTS / f"{chart.name}.png", drawn(chart))
            write_file(directory / CHARTS / f"{chart.name}_dark.png", drawn(chart, dark=True))
