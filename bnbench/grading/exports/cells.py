"""CSV that spreadsheets open: text stays text, a number is a number, and no grade is an empty cell."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from bnbench.report.words import visible

_FORMULA = re.compile(r"(^|[;\t\n|])(\s*)(?=[=+\-@＝＋－＠])")
"""Where a spreadsheet would begin to calculate: in a cell, or after what another country's separates cells by."""


def text_cell(text: str) -> str:
    """Text that a spreadsheet shows and does not calculate: an apostrophe before what would be a formula.

    >>> text_cell("=1+2")
    "'=1+2"
    """
    return _FORMULA.sub(r"\1\2'", visible(text, keep="\n\t"))


def points_cell(points: float | None) -> str:
    """``14``, ``13.25``; empty for no grade.

    >>> points_cell(14.0), points_cell(13.25), points_cell(None)
    ('14', '13.25', '')
    """
    if points is None:
        return ""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A CSV text of cells that are made; lines end with CR LF, every cell is quoted."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    writer.writerows(rows)
    return written.getvalue()
