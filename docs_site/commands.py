"""A page for every command, from what its ``--help`` is made of."""

from __future__ import annotations

import re
from pathlib import Path

import typer
from typer.cli import get_docs_for_click

from bnbench.cli import app

EXAMPLE = re.compile(r"^Example: (.+)$", re.MULTILINE)
LEAD = """\
# Commands

Every command prints this with `--help`. Exit codes are the same everywhere: 0 as expected, 1 findings, 2 bad input, 3 a
plugin or the harness is at fault, 4 the isolation that was asked for can't be had.
"""


def write_commands(folder: Path) -> None:
    """Write ``index.md`` and a page for each command into a new folder."""
    folder.mkdir()
    group = typer.main.get_group(app)
    context = typer.Context(group, info_name="bnbench")
    names = list(group.commands)
    rows = []
    for name in names:
        command = group.commands[name]
        text = get_docs_for_click(obj=command, ctx=context, name=name, call_prefix="bnbench")
        (folder / f"{name}.md").write_text(EXAMPLE.sub(r"```console\n$ \1\n```", text))
        rows.append(f"| [bnbench {name}]({name}.md) | {command.get_short_help_str(limit=200)} |")
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *names, "```", ""])
    (folder / "index.md").write_text("\n".join([LEAD, "| | |", "| --- | --- |", *rows, "", toctree]))
