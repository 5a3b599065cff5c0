"""A gradebook that Canvas exported, with one column filled and every other byte as it was."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bnbench.grading.exports.cells import points_cell
from bnbench.grading.roster import Row

IDENTIFIERS = ("ID", "SIS User ID", "SIS Login ID")
MARK = b"\xef\xbb\xbf"


class CanvasError(ValueError):
    """A text that is no gradebook of Canvas, or has not exactly one such column."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """The gradebook to import, and who is not in it."""

    gradebook: bytes
    filled: tuple[str, ...]
    """Usernames whose points were written."""
    left: tuple[str, ...]
    """Usernames with a grade for whom the gradebook has no line: their grades are not in it."""


def fill_canvas(gradebook: bytes, column: str, rows: Sequence[Row]) -> Filled:
    """Write the points of everybody who has a grade into one column of an exported gradebook.

    ``column`` is the assignment's name, with or without Canvas's number behind it (``Batch norm (4711)``). Cells of
    students without a grade stay as they are. Raises CanvasError unless exactly one column fits (Canvas would
    create an assignment for another) or where its Points Possible are not the points there are.
    """
    try:
        text = gradebook.removeprefix(MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CanvasError(f"not in UTF-8: {error}") from error
    records = list(_records(text))
    header = _values(records[0]) if records else []
    if not header or header[0] != "Student" or not set(IDENTIFIERS) & set(header):
        raise CanvasError("the first line is not that of a gradebook exported by Canvas, with commas")
    place = _place(header, column)
    by_key = {key: row for row in rows if row.points is not None for key in _keys(row)}
    at = {name: header.index(name) for name in IDENTIFIERS if name in header}
    filled: list[str] = []
    written = [records[0]]
    for record in records[1:]:
        values = _values(record)
        if values and values[0].strip() == "Points Possible":
            _compare(values[place], rows)
        keys = ((name, values[index]) for name, index in at.items() if index < len(values) and values[index])
        row = next((by_key[key] for key in keys if key in by_key), None)
        if row is not None and len(values) == len(header):
            record = _with_cell(record, place, points_cell(row.points))  # noqa: PLW2901 - the same line, filled
            filled.append(row.student.username)
        written.append(record)
    mark = MARK if gradebook.startswith(MARK) else b""
    left = tuple(row.student.username for row in rows if row.points is not None and row.student.username not in filled)
    return Filled(gradebook=mark + "".join(written).encode(), filled=tuple(filled), left=left)


def _keys(row: Row) -> Iterator[tuple[str, str]]:
    student = row.student
    given = (student.canvas_id, student.sid, student.username)
    return ((name, key) for name, key in zip(IDENTIFIERS, given, strict=True) if key)


def _place(header: Sequence[str], column: str) -> int:
    fitting = [i for i, name in enumerate(header) if column in {name, re.sub(r" \(\d+\)$", "", name)}]
    if len(fitting) != 1 or header[fitting[0]] in {"Student", "Section", *IDENTIFIERS}:
        found = f"{len(fitting)} columns" if len(fitting) != 1 else "a column of Canvas's own"
        raise CanvasError(f"{column!r} is {found} of the gradebook; expected one assignment")
    return fitting[0]


def _compare(possible: str, rows: Sequence[Row]) -> None:
    most = {row.grade.max_points for row in rows if row.grade}
    try:
        same = all(float(possible) == points for points in most)
    except ValueError:
        return  # an ungraded column says "(read only)" or nothing
    if not same:
        raise CanvasError(f"the column is of {possible.strip()} points, the assignment of {max(most)}")


def _records(text: str) -> Iterator[str]:
    """The lines of the CSV as they stand, a quoted line break within one."""
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(lines, strict=True)
    start = 0
    try:
        for _ in reader:
            yield "".join(lines[start : reader.line_num])
            start = reader.line_num
    except csv.Error as error:
        raise CanvasError(f"line {reader.line_num}: {error}") from error


def _values(record: str) -> list[str]:
    return next(csv.reader(io.StringIO(record, newline="")), [])


def _with_cell(record: str, place: int, cell: str) -> str:
    body = record.rstrip("\r\n")
    cells = _cells(body)
    if [_values(one)[0] if one else "" for one in cells] != _values(record):
        raise CanvasError(f"a line that can't be written as it was read: {record[:80]!r}")
    cells[place] = cell
    return ",".join(cells) + record[len(body) :]


def _cells(body: str) -> list[str]:
    """The cells as they are written, quotes and all: a comma within quotes has an odd number of them before it."""
    cells: list[str] = []
    for piece in body.split(","):
        if cells and cells[-1].count('"') % 2:
            cells[-1] += f",{piece}"
        else:
            cells.append(piece)
    return cells
