"""``bnbench doctor``: what works on this machine, and what to do about what does not."""

from __future__ import annotations

from typing import Annotated

import typer

from bnbench import completion
from bnbench.cli_options import Json, Plugins
from bnbench.console import discover, emit, one_of, progress, show

Needs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NEED]...",
        help="What you want to use: implementations, asv, browser, compiler, sandbox, terminal.",
        autocompletion=completion.needs,
    ),
]


def doctor(needs: Needs = None, plugin: Plugins = None, *, json: Json = False) -> None:
    """Examine this machine: versions, threads, memory, clock, isolation, and what is unavailable and why.

    Exit code 1 when something that you named can't be used, or a plugin is broken.

    Example: bnbench doctor

    Example: bnbench doctor c_fused compiler sandbox
    """
    from rich.console import Console

    from bnbench.doctor import NEEDS, examine, screen_of
    from bnbench.report.doctor import doctor_summary

    registry = discover(plugin)
    known = {name: name for name in (*registry.implementations, *NEEDS)}
    asked = tuple(one_of(known, need, "implementation or need") for need in needs or ())
    with progress() as shown:
        found = examine(registry, asked, screen_of(Console()), shown)
    if json:
        emit("bnbench.doctor/1", found)
    else:
        show(doctor_summary(found))
    raise typer.Exit(0 if found.well else 1)
