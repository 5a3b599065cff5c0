"""``bnbench selftest``: what the timings of this machine are worth."""

from __future__ import annotations

from typing import Annotated

import typer

from bnbench import completion
from bnbench.cli_batch_norms import batch_norms
from bnbench.cli_options import Budget, Json, Plugins, Quick
from bnbench.console import discover, emit, progress, show

DEFAULT = ("numpy_simplified", "c_fused")
"""One whose calls cost more than what they calculate, and one with calls of a microsecond."""
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        help="Implementations of batch norm; numpy_simplified and c_fused if none.",
        autocompletion=completion.implementations,
    ),
]


def selftest(
    names: Names = None, plugin: Plugins = None, *, budget: Budget = None, quick: Quick = False, json: Json = False
) -> None:
    """Time implementations against themselves: how often timing is wrong, and how small a difference it finds.

    Also against themselves with 5 % more work. Exit code 3 when there are more false alarms than the intervals
    promise: the harness is at fault.

    Example: bnbench selftest --quick
    """
    from bnbench.policy import environment, settle_process
    from bnbench.report.selftest import at_fault, selftest_document, selftest_page
    from bnbench.selftest import QUICK_REPEATS, REPEATS, run_selftest, selftest_rows
    from bnbench.timing import BUDGET, QUICK_BUDGET

    registry = discover(plugin)
    asked = batch_norms(registry, names, DEFAULT)
    allocator = settle_process()
    with progress() as shown:
        found = run_selftest(
            asked,
            selftest_rows(quick=quick),
            repeats=QUICK_REPEATS if quick else REPEATS,
            budget=budget or (QUICK_BUDGET if quick else BUDGET),
            progress=lambda done, total, doing: shown("self-test", done, total, doing),
        )
    if json:
        emit("bnbench.selftest/1", selftest_document(found, environment(allocator)))
    else:
        show(selftest_page(found))
    raise typer.Exit(3 if at_fault(found) else 0)
