"""bnbench in a notebook: time and grade from a cell, and see tables with bars in them.

What :func:`bnbench.verify` returns, a grade and a class show themselves. A report shows itself once this
module is imported, or after ``%load_ext bnbench.notebook``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnbench.model import Measurement, Report

if TYPE_CHECKING:
    from bnbench.grading.model import Grade


def check(*names: str, plugins: Iterable[str | Path] = (), cases: Iterable[str] = ()) -> Report:
    """Verify implementations, as ``bnbench check`` does: everything if there are no names.

    Raises UnknownImplementationError, PluginPathError, and CaseError for what is not the id of a case.
    """
    from bnbench.cases import grid, parse_case

    return _report(names, plugins, cases=tuple(map(parse_case, cases)) or grid(quick=True))


def time(
    *names: str,
    cases: Iterable[str] = (),
    baseline: str = "numpy_staged",
    budget: float = 0.05,
    plugins: Iterable[str | Path] = (),
) -> Report:
    """Time implementations in turns, each after it was verified on the very case, as ``bnbench time`` does.

    ``budget`` is in seconds, for each implementation, case and operation. From here on this process uses one
    thread and keeps freed memory. Raises what :func:`check` raises.
    """
    from bnbench.cases import parse_case
    from bnbench.policy import settle_process
    from bnbench.timing import timing_cases

    timed = tuple(map(parse_case, cases)) or timing_cases(quick=True)
    allocator = settle_process()
    return _report(names, plugins, allocator=allocator, timing_cases=timed, baseline=baseline, budget=budget)


def grade(submission: str | Path, assignment: str) -> Grade:
    """Grade one submission on public data, in the strongest sandbox there is.

    ``assignment`` is the name of one that comes with bnbench. Raises ValueError for another name, and OSError
    for a file that can't be read.
    """
    from bnbench.grading.assignment import SHIPPED, read_assignment, shipped_text
    from bnbench.grading.grader import grade_one
    from bnbench.grading.secret import PUBLIC

    if assignment not in SHIPPED:
        raise ValueError(f"no assignment is called {assignment!r}; there are {', '.join(SHIPPED)}")
    file = Path(submission)
    return grade_one(
        file.read_bytes(),
        file.name,
        assignment=read_assignment(shipped_text(assignment)),
        epoch="1",
        secret=PUBLIC,
        diagnose=True,
    )


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext bnbench.notebook``: reports and measurements show themselves."""
    from bnbench.report.notebook import measurements_html, report_html

    html = shell.display_formatter.formatters["text/html"]
    html.for_type(Report, report_html)
    html.for_type(Measurement, lambda measurement: measurements_html([measurement]))
    text = shell.display_formatter.formatters["text/plain"]
    text.for_type(Report, lambda report, printer, _cycle: printer.text(report_text(report)))


def report_text(report: Report) -> str:
    """The report as text of 80 columns."""
    from bnbench.report import summary
    from bnbench.report.notebook import text_of

    return text_of(summary(report))


def _report(
    names: Iterable[str], plugins: Iterable[str | Path], *, allocator: str = "untouched", **asked: Any
) -> Report:
    from bnbench.policy import environment
    from bnbench.registry import discover
    from bnbench.session import Request, run

    paths = tuple(map(Path, plugins))
    registry = discover(paths)
    request = Request(
        implementations=registry.select(names or registry.from_paths), plugins=tuple(map(str, paths)), **asked
    )
    return run(request, registry, environment(allocator), lambda *_: None)


if (ipython := sys.modules.get("IPython")) is not None and (running := ipython.get_ipython()) is not None:
    load_ipython_extension(running)
