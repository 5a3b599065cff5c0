"""Where a line of the source belongs: its statement and its function."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from bnbench.diagnose.corrections import functions_of
from bnbench.diagnose.edits import Edit
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


def is_received(program: Program, edit: Edit) -> bool:
    """Whether a variable that an edit packs or passes has the name under which it is unpacked or taken.

    Any right value may be packed in place of another and some other line be made up for; with names that agree it is
    what was meant. True of every edit that is not of that kind.
    """
    parent, _, index, _ = edit.changes[0]
    if not (isinstance(edit.old, ast.Name) and isinstance(edit.new, ast.Name)) or index is None:
        return True
    if isinstance(parent, ast.Tuple):
        return any(names[index] == edit.new.id for names in _unpacked(program) if len(names) == len(parent.elts))
    taken = [names for name, names in _parameters(program) if isinstance(parent, ast.Call) and name == _called(parent)]
    return not taken or any(names[index : index + 1] == [edit.new.id] for names in taken)


def _unpacked(program: Program) -> Iterator[list[str]]:
    for node in _statements(program):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Tuple):
                yield [element.id if isinstance(element, ast.Name) else "" for element in target.elts]


def _parameters(program: Program) -> Iterator[tuple[str, list[str]]]:
    for definition in program.definitions:
        for function in functions_of(definition):
            names = [argument.arg for argument in function.args.args]
            yield function.name, names[1:] if isinstance(definition, ast.ClassDef) else names


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _passes(node: ast.AST, own: Collection[str]) -> bool:
    if isinstance(node, ast.Tuple):
        return isinstance(node.ctx, ast.Load)
    return isinstance(node, ast.Dict) or (isinstance(node, ast.Call) and _called(node) in own)


def _statements(program: Program) -> Iterator[ast.stmt]:
    for definition in program.definitions:
        for node in ast.walk(definition):
            if isinstance(node, ast.stmt) and not hasattr(node, "body"):
                yield node
