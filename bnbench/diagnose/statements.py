"""Where a line of the source belongs: its statement and its function."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from bnbench.diagnose.corrections import functions_of
from bnbench.diagnose.program import Program


def node_on(program: Program, line: int) -> ast.stmt | None:
    """The simple statement that a line belongs to."""
    for node in _statements(program):
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            return node
    return None


def statement_on(program: Program, line: int | None) -> str:
    """The source of the statement that a line belongs to, on one line."""
    node = None if line is None else node_on(program, line)
    return ast.unparse(node) if node is not None else ""


def function_on(program: Program, line: int) -> str:
    """The name of the function that a line lies in."""
    for definition in program.definitions:
        for function in functions_of(definition):
            if function.lineno <= line <= (function.end_lineno or line):
                return function.name
    return ""


def statement_lines(program: Program) -> list[int]:
    """The lines on which the simple statements start."""
    return [node.lineno for node in _statements(program)]


def passing_lines(program: Program) -> list[int]:
    """The lines on which variables are put together, or handed to another function of the program."""
    own = {function.name for definition in program.definitions for function in functions_of(definition)}
    return [node.lineno for node in _statements(program) if any(_passes(part, own) for part in ast.walk(node))]


def _passes(node: ast.AST, own: Collection[str]) -> bool:
    if isinstance(node, ast.Tuple):
        return isinstance(node.ctx, ast.Load)
    called = node.func if isinstance(node, ast.Call) else None
    name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else None
    return isinstance(node, ast.Dict) or name in own


def _statements(program: Program) -> Iterator[ast.stmt]:
    for definition in program.definitions:
        for node in ast.walk(definition):
            if isinstance(node, ast.stmt) and not hasattr(node, "body"):
                yield node
