"""Repairs of a Python text that keep its lines: syntax of Python 2, mixed tabs, names that NumPy removed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Repair:
    """What was changed in a text, on which line; None where it is the whole file."""

    line: int | None
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired:
    """A text after repairs; whether it parses now is for the caller to see."""

    text: str
    repairs: tuple[Repair, ...]


PYTHON_2: Mapping[str, str] = {
    "except": "'except E, e' of Python 2, read as 'except E as e'",
    "raise": "'raise E, message' of Python 2, read as 'raise E(message)'",
    "exec": "exec statement of Python 2, read as a call",
    "repr": "backticks of Python 2, read as repr()",
    "ne": "'<>' of Python 2, read as '!='",
    "numliterals": "number of Python 2, read as one of Python 3",
    "has_key": "has_key of Python 2, read as 'in'",
    "xrange": "xrange of Python 2, read as range",
    "unicode": "string of Python 2, read as one of Python 3",
    "print": "print statement of Python 2, read as a call",
}
"""Fixers of fissix (lib2to3), each with what it reads as what. They keep the lines; print, after which print is no
statement any more, is the last."""

REMOVED_FROM_NUMPY: Mapping[str, str] = {
    # Aliases of Python's types: deprecated in NumPy 1.20, removed in 1.24.
    "bool": "bool",
    "int": "int",
    "float": "float",
    "complex": "complex",
    "object": "object",
    "str": "str",
    "long": "int",
    "unicode": "str",
    # Removed in NumPy 2.0 (its migration guide has the replacements).
    "float_": "{np}.float64",
    "complex_": "{np}.complex128",
    "product": "{np}.prod",
    "cumproduct": "{np}.cumprod",
    "alltrue": "{np}.all",
    "sometrue": "{np}.any",
    "round_": "{np}.round",
    "row_stack": "{np}.vstack",
    "in1d": "{np}.isin",
    "mat": "{np}.asmatrix",
    "Inf": "{np}.inf",
    "Infinity": "{np}.inf",
    "infty": "{np}.inf",
    "PINF": "{np}.inf",
    "NINF": "(-{np}.inf)",
    "NaN": "{np}.nan",
    "NAN": "{np}.nan",
    "PZERO": "0.0",
    "NZERO": "(-0.0)",
}


def structural_repairs(text: str, *, first_line: int) -> Iterator[Repaired]:
    """Texts that may parse where this one does not, the least changed first; ``first_line`` is the text's in its file.

    Tabs become 8 columns, as in Python 2, or 4, as in editors; the syntax of Python 2 that of Python 3.
    """
    for columns in (0, 8, 4):
        expanded = _with_tabs_of(text, columns, first_line) if columns else Repaired(text=text, repairs=())
        if columns:
            if expanded.text == text:
                return
            yield expanded
        translated = _from_python_2(expanded.text, first_line)
        if translated is not None:
            yield Repaired(text=translated.text, repairs=expanded.repairs + translated.repairs)


def _with_tabs_of(text: str, columns: int, first_line: int) -> Repaired:
    lines = text.split("\n")
    bodies = [line.lstrip(" \t") for line in lines]
    margins = [line[: len(line) - len(body)] for line, body in zip(lines, bodies, strict=True)]
    tabbed = [number for number, margin in enumerate(margins) if "\t" in margin]
    if not tabbed:
        return Repaired(text=text, repairs=())
    expanded = [margin.expandtabs(columns) + body for margin, body in zip(margins, bodies, strict=True)]
    words = f"tabs and spaces mixed in the indentation, a tab read as {columns} columns"
    return Repaired(text="\n".join(expanded), repairs=(Repair(line=first_line + tabbed[0], text=words),))


def _from_python_2(text: str, first_line: int) -> Repaired | None:
    """The text in Python 3, or None where it is no Python 2 either, or would change its lines."""
    repairs = []
    lines = text.split("\n")
    for name, words in PYTHON_2.items():
        translated = _fixed(name, "\n".join(lines))
        after = [] if translated is None else translated.split("\n")
        if len(after) != len(lines):
            return None
        changed = (number for number, pair in enumerate(zip(lines, after, strict=True)) if pair[0] != pair[1])
        repairs += [Repair(line=first_line + number, text=words) for number in changed]
        lines = after
    return Repaired(text="\n".join(lines), repairs=tuple(repairs))


def _fixed(name: str, text: str) -> str | None:
    """The text after one fixer; print is taken for a statement first, then for the function. None if neither fits."""
    from fissix.pgen2.parse import ParseError  # type: ignore[import-untyped]
    from fissix.pgen2.tokenize import TokenError  # type: ignore[import-untyped]

    for print_function in (False, True):
        try:
            tree = _fixer(name, print_function).refactor_string(text + "\n", "")
        except (ParseError, TokenError, IndentationError, RecursionError, AttributeError, ValueError):
            continue
        return None if tree is None else str(tree).removesuffix("\n")
    return None


@cache
def _fixer(name: str, print_function: bool) -> Any:
    from fissix.refactor import RefactoringTool  # type: ignore[import-untyped]

    return RefactoringTool([f"fissix.fixes.fix_{name}"], {"print_function": print_function})


def removed_names(text: str) -> tuple[str, list[Repair]]:
    """Rewrite what is no longer in NumPy, and ``xrange``, where the text uses it; one that does not parse stays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return text, []
    modules = _numpy_names(tree)
    found: list[tuple[int, int, int, str, str]] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute | ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        if node.lineno != node.end_lineno:
            continue
        if isinstance(node, ast.Name):
            if node.id == "xrange":
                found.append((node.lineno, node.col_offset, node.end_col_offset or 0, "range", PYTHON_2["xrange"]))
        elif isinstance(node.value, ast.Name) and node.value.id in modules and node.attr in REMOVED_FROM_NUMPY:
            new = REMOVED_FROM_NUMPY[node.attr].format(np=node.value.id)
            words = f"{node.value.id}.{node.attr} was removed from NumPy, read as {new}"
            found.append((node.lineno, node.col_offset, node.end_col_offset or 0, new, words))
    lines = text.split("\n")
    for number, start, end, new, _ in sorted(found, reverse=True):  # from the right, so that columns stay
        line = lines[number - 1].encode()  # columns of ast count bytes
        lines[number - 1] = (line[:start] + new.encode() + line[end:]).decode()
    return "\n".join(lines), [Repair(line=number, text=words) for number, _, _, _, words in sorted(found)]


def _numpy_names(tree: ast.Module) -> set[str]:
    """The names under which a file knows NumPy."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "numpy"
    }
