"""The mutation score for a terminal of 80 columns, and its whole matrix as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bnbench.mutants.score import MutationScore, ScoreRow

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

WIDTH = 80
"""Columns at most."""
NAMED = 2
"""How many codes are named before the rest is counted."""


def mutation_headline(score: MutationScore) -> str:
    """``58 of 58 mutants killed, 0 of 31 correct variants flagged``."""
    return (
        f"{score.killed} of {score.total} mutants killed, "
        f"{len(score.flagged)} of {len(score.equivalents)} correct variants flagged"
    )


def mutation_table(score: MutationScore) -> RenderableType:
    """Every mutant with the checks that object to it, then the correct variants, then the score."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    if score.mutants:
        parts += [_table("mutant", "killed by", score.mutants, nobody=Text("it survives", "bold red")), Text()]
    if score.equivalents:
        parts += [_table("correct variant", "flagged by", score.equivalents, nobody=Text("nothing", "green")), Text()]
    return Group(*parts, Text(mutation_headline(score), style="bold green" if score.perfect else "bold red"))


def mutation_csv(score: MutationScore) -> str:
    """One row per mutant and correct variant, one column per check: 1 where it objects, else 0."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "norm", "correct", "bug", *score.codes])
    for row in score.rows:
        writer.writerow(
            [row.name, row.norm, int(row.correct), row.bug, *(int(code in row.codes) for code in score.codes)]
        )
    return text.getvalue()


def _table(first: str, last: str, rows: Iterable[ScoreRow], *, nobody: Text) -> RenderableType:
    from rich.console import Group
    from rich.constrain import Constrain
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(first, "norm", last, box=None, pad_edge=False, header_style="dim", expand=True)
    table.columns[1].width, table.columns[2].width = 8, 15
    for row in rows:
        named, others = row.codes[:NAMED], len(row.codes) - NAMED
        codes = Text(" ".join([*named, *([f"+{others}"] if others > 0 else [])]), "bold red" if row.correct else "")
        what = Group(Text(row.name), Padding(Text(row.bug, "dim"), (0, 0, 0, 2)))
        table.add_row(what, row.norm, codes if row.codes else nobody)
    return Constrain(table, WIDTH)  # two tables that line up
