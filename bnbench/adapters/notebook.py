"""The code cells of a notebook as one text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bnbench.adapters.repairs import Repair

_TIMED = ("%%time", "%%timeit", "%%capture", "%%prun")
"""Cell commands under which the cell is Python still."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A code cell, counted from 1, and the line of the joined text where it begins."""

    number: int
    line: int


def joined(text: str) -> tuple[str, tuple[Cell, ...], list[Repair]]:
    """The cells' source, one after another; commands of the notebook (``%``, ``!``, ``?``) are blanked.

    Formats 3 and 4 of nbformat. Raises ValueError for what is not a notebook.
    """
    try:
        notebook: Any = json.loads(text)
        sheets = notebook.get("worksheets", [notebook])
        sources = [
            cell["source"] if "source" in cell else cell["input"]
            for sheet in sheets
            for cell in sheet["cells"]
            if cell["cell_type"] == "code"
        ]
        contents = [source if isinstance(source, str) else "".join(source) for source in sources]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a notebook: {type(error).__name__}: {error}") from error
    lines: list[str] = []
    cells: list[Cell] = []
    repairs: list[Repair] = []
    for number, content in enumerate(contents, start=1):
        cells.append(Cell(number=number, line=len(lines) + 1))
        source = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        foreign = source[0].startswith("%%") and not source[0].startswith(_TIMED)
        for line in source:
            command = line.lstrip().startswith(("%", "!", "?")) or line.rstrip().endswith("?")
            if foreign or command:
                words = line.strip()
                lines.append("")
                if words and not (foreign and line is not source[0]):
                    repairs.append(Repair(line=len(lines), text=f"command of the notebook, left out: {words[:60]}"))
            else:
                lines.append(line)
    return "\n".join(lines), tuple(cells), repairs
