"""The options that commands share.

``--quiet``, ``--verbose`` and ``--no-color`` are added to every command by :mod:`bnbench.cli_app`. A command that
declares ``json: Json`` prints with :func:`bnbench.console.emit`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bnbench import completion

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...", help="Implementations; all of them if none.", autocompletion=completion.implementations
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="PATH", help="A Python file or folder with more implementations; repeatable."),
]
Checks = Annotated[
    list[str] | None,
    typer.Option(
        "--check",
        metavar="CODE",
        help="Only this check, such as BN301; repeatable.",
        autocompletion=completion.checks,
    ),
]
Cases = Annotated[
    list[str] | None,
    typer.Option(
        "--case",
        metavar="ID",
        help="This case instead of the default grid, such as float64/9x5/train.",
        autocompletion=completion.cases,
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer cases and shorter timings.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors; the exit code tells.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also print versions, and how long every step took.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR and CLICOLOR=0 are honoured too.")]

Operations = Annotated[
    list[str] | None,
    typer.Option(
        "--operation",
        metavar="NAME",
        help="forward_train, forward_eval or backward; all three if none.",
        autocompletion=completion.operations,
    ),
]
Baseline = Annotated[
    str,
    typer.Option(metavar="NAME", help="What the others are compared with.", autocompletion=completion.implementations),
]
Budget = Annotated[
    float | None,
    typer.Option(min=0.001, metavar="SECONDS", help="Time per implementation, case and operation.", show_default=False),
]
Table = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Also write the table there, as a file.")
]
