"""A handed-in Python file as text: decoded, repaired line by line, and what could not be repaired left out.

Every repair keeps the number of lines, so that line numbers stay the student's own. Pure: bytes in, records out.
"""

from __future__ import annotations

import ast
import codecs
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from bnbench.adapters.notebook import Cell, joined
from bnbench.adapters.repairs import Repair, removed_names, structural_repairs
from bnbench.adapters.starter import is_unimplemented
from bnbench.sandbox.child.load import Problem, defined_by

_DEFINITION = re.compile(r"^(?:async +def|def|class) +(\w+)")
_CONFLICT_START = re.compile(r"^<{7}( |$)")
_CONFLICT_END = re.compile(r"^>{7}( |$)")
_CONFLICT_MIDDLE = re.compile(r"^(={7}$|\|{7}( |$))")


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionSource:
    """A function at the top level of a file; of several with one name the last, which is the one that counts."""

    name: str
    line: int
    end_line: int
    parameters: tuple[str, ...]
    unimplemented: bool
    """Whether the body computes nothing and returns None: it is still the starter's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file after its repairs; ``text`` parses, and has as many lines as the original."""

    name: str
    text: str
    repairs: tuple[Repair, ...] = ()
    problems: tuple[Problem, ...] = ()
    functions: tuple[FunctionSource, ...] = ()
    cells: tuple[Cell, ...] = ()
    """Of a notebook: where each code cell begins in ``text``."""

    def place(self, line: int) -> str:
        """``line 12``, or ``cell 3, line 5`` in a notebook; cells of code are counted."""
        within = list(takewhile(lambda cell: cell.line <= line, self.cells))
        return f"cell {within[-1].number}, line {line - within[-1].line + 1}" if within else f"line {line}"

    def words(self, item: Repair | Problem) -> str:
        """A repair or a problem in words: ``line 12: print statement of Python 2, read as a call``."""
        return f"{self.name}: {item.text}" if item.line is None else f"{self.place(item.line)}: {item.text}"


def read_source(data: bytes, name: str) -> Source:
    """Read a ``.py`` file or, by its name, a notebook ``.ipynb``.

    Raises ValueError for a notebook that is no JSON of a notebook; nothing else: what does not parse is a problem.
    """
    text, repairs = _decoded(data)
    cells: tuple[Cell, ...] = ()
    if name.endswith(".ipynb"):
        text, cells, found = joined(text)
        repairs += found
    lines = text.split("\n")
    problems: list[Problem] = []

    conflicts = _without_markers(lines)
    structural: list[Repair] = []
    for start, end in _broken(lines, structural):
        problems.append(_lost(lines, start, end))
    for start, end in conflicts:
        lost = _lost_in_conflict(lines, start, end, problems)
        if lost is None:
            repairs.append(Repair(line=start, text="merge-conflict marker between statements, left out"))
        else:
            problems.append(lost)
    repairs += (repair for repair in structural if repair.line is None or lines[repair.line - 1])

    text = "\n".join(lines)
    text, found = removed_names(text)
    repairs += found
    return Source(
        name=name,
        text=text,
        repairs=tuple(sorted(repairs, key=lambda repair: repair.line or 0)),
        problems=tuple(sorted(problems, key=lambda problem: problem.line)),
        functions=_functions(text),
        cells=cells,
    )


def _decoded(data: bytes) -> tuple[str, list[Repair]]:
    """The text with line feeds alone, and what had to be done for it."""
    repairs = []

    def note(text: str) -> None:
        repairs.append(Repair(line=None, text=text))

    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", errors="replace")
        note("encoded as UTF-16, read as such")
    else:
        if data.startswith(codecs.BOM_UTF8):
            data = data.removeprefix(codecs.BOM_UTF8)
            note("begins with a byte order mark, left out")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
            note("not encoded as UTF-8, read as Latin-1")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        note("line ends of another system (CR), read as line ends")
    if "\0" in text:
        text = text.replace("\0", " ")
        note("holds NUL characters, read as spaces")
    return text, repairs


def _error(text: str) -> SyntaxError | None:
    """Why a text does not parse, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes
        try:
            ast.parse(text)
        except SyntaxError as error:
            return error
        except (ValueError, RecursionError, MemoryError) as error:  # deep nesting, lone surrogates
            return SyntaxError(str(error) or type(error).__name__)
    return None


def _without_markers(lines: list[str]) -> list[tuple[int, int]]:
    """Blank the lines of merge-conflict markers in place; the ranges of lines (from 1) that conflict."""
    ranges: list[tuple[int, int]] = []
    start = 0
    for number, line in enumerate(lines, start=1):
        if _CONFLICT_START.match(line):
            if start:
                ranges.append((start, start))
            start = number
        elif _CONFLICT_END.match(line):
            ranges.append((start or number, number))
            start = 0
        elif not (start and _CONFLICT_MIDDLE.match(line)):
            continue
        lines[number - 1] = ""
    return [*ranges, (start, start)] if start else ranges


def _broken(lines: list[str], repairs: list[Repair]) -> Iterator[tuple[int, int]]:
    """Repair in place what can be; the ranges of lines (from 1) of the statements that can't."""
    pending: list[tuple[int, int, Sequence[Callable[[Sequence[str]], list[int]]]]] = []
    pending.append((1, len(lines), (_statements, _definitions)))
    while pending:
        start, end, splitters = pending.pop(0)
        part = lines[start - 1 : end]
        if _error("\n".join(part)) is None:
            continue
        repaired = next(
            (r for r in structural_repairs("\n".join(part), first_line=start) if _error(r.text) is None), None
        )
        if repaired is not None:
            lines[start - 1 : end] = repaired.text.split("\n")
            repairs += repaired.repairs
        elif splitters:
            starts = [start + offset for offset in splitters[0](part)]
            ends = [*(first - 1 for first in starts[1:]), end]
            pending += [(*span, splitters[1:]) for span in zip(starts, ends, strict=True)]
        else:
            yield start, end


def _statements(lines: Sequence[str]) -> list[int]:
    """Where the top-level statements of a text that does not parse begin, as parso recovers them."""
    import parso

    starts = [0]
    for child in parso.parse("\n".join(lines)).children:  # type: ignore[no-untyped-call]
        line, column = child.start_pos
        # What begins with an indentation was torn off the statement before it.
        if child.type not in {"endmarker", "error_leaf"} and column == 0 and line - 1 > starts[-1]:
            starts.append(line - 1)
    return starts


def _definitions(lines: Sequence[str]) -> list[int]:
    """Where a definition begins at the left margin: an open string or bracket may have swallowed it."""
    return [0, *(number for number, line in enumerate(lines) if number and _DEFINITION.match(line))]


def _lost(lines: list[str], start: int, end: int) -> Problem:
    """Blank what does not parse, in place."""
    part = lines[start - 1 : end]
    error = _error("\n" * (start - 1) + "\n".join(part))  # its message may hold line numbers
    # Wherever they stand: the indentation of a definition may be what does not parse.
    names = tuple(found[1] for found in map(_DEFINITION.match, map(str.lstrip, part)) if found)
    lines[start - 1 : end] = [""] * len(part)
    line = min((error.lineno if error else None) or start, end)
    return Problem(line=line, text=f"does not parse: {error.msg if error else 'unknown'}", lost=names)


def _lost_in_conflict(lines: list[str], start: int, end: int, problems: Sequence[Problem]) -> Problem | None:
    """Blank, in place, every statement that has lines of a conflict: which of two versions counts can't be known."""
    text = f"merge conflict in lines {start} to {end}" if end > start else "merge-conflict marker"
    names: list[str] = []
    touched = False
    for statement in ast.parse("\n".join(lines)).body:
        decorators = getattr(statement, "decorator_list", [])
        first = min(node.lineno for node in (statement, *decorators))
        last = statement.end_lineno or first
        if first <= end and last >= start:
            lines[first - 1 : last] = [""] * (last - first + 1)
            names += defined_by(statement)
            touched = True
    if touched or any(start <= problem.line <= end for problem in problems):
        return Problem(line=start, text=text, lost=tuple(dict.fromkeys(names)))
    return None


def _functions(text: str) -> tuple[FunctionSource, ...]:
    if _error(text) is not None:
        return ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    found: dict[str, FunctionSource] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            found[node.name] = FunctionSource(
                name=node.name,
                line=node.lineno,
                end_line=node.end_lineno or node.lineno,
                parameters=tuple(parameter.arg for parameter in parameters),
                unimplemented=is_unimplemented(node),
            )
    return tuple(sorted(found.values(), key=lambda function: function.line))
