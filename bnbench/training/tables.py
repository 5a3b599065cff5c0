"""The report of an experiment on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnbench.report.words import number, visible
from bnbench.training.model import Table as Sheet
from bnbench.training.model import TrainingReport, Value

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

MOST_ROWS = 30
"""Of a table; the page has all of them."""


def summary(report: TrainingReport) -> Group:
    """Question, claims and tables."""
    from rich.console import Group
    from rich.text import Text

    signs = {True: ("✓ ", "green"), False: ("✗ ", "red"), None: ("", "")}
    claims = [Text.assemble(signs[claim.holds], visible(claim.sentence)) for claim in report.conclusion.claims]
    return Group(Text(report.title, style="bold"), *claims, *map(_table, report.conclusion.tables))


def _table(sheet: Sheet) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    left_out = len(sheet.rows) - MOST_ROWS
    more = f" {left_out} more rows are in the page." if left_out > 0 else ""
    table = Table(title=Text(sheet.title), caption=Text(sheet.note + more), box=box.SIMPLE, title_justify="left")
    for column in sheet.columns:
        table.add_column(Text(column), overflow="fold")
    for row in sheet.rows[:MOST_ROWS]:
        table.add_row(*(Text(_cell(cell)) for cell in row))
    return table


def _cell(value: Value) -> str:
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) else number(value)
