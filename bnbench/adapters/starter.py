"""Is a function still the course's starter?"""

from __future__ import annotations

import ast
from collections.abc import Iterator

_LOOKUPS = {"get", "setdefault", "pop", "zeros", "zeros_like", "print", "format", "copy"}
"""Calls of the scaffolding: options are looked up, running averages begin as zeros, errors are worded."""


def is_unimplemented(function: ast.FunctionDef) -> bool:
    """Whether a function computes nothing and can return nothing but None.

    The starters of the course look up options, create running averages, branch by mode and return names that were
    only ever set to None; ``pass`` and ``raise NotImplementedError`` are the same thing said otherwise.
    """
    return not _computes(function) and not any(_is_answer(node, function) for node in ast.walk(function))


def _computes(function: ast.FunctionDef) -> bool:
    """Whether there is any arithmetic, or a call that is not of the scaffolding."""
    worded = {id(node) for raised in _raised(function) for node in ast.walk(raised)}
    for node in ast.walk(function):
        if id(node) in worded:
            continue
        if isinstance(node, ast.BinOp | ast.AugAssign | ast.UnaryOp | ast.For | ast.While | ast.comprehension):
            return True
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called not in _LOOKUPS:
                return True
    return False


def _raised(function: ast.FunctionDef) -> Iterator[ast.AST]:
    return (node.exc for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc is not None)


def _is_answer(node: ast.AST, function: ast.FunctionDef) -> bool:
    """Whether this is a return of something that may be other than None."""
    if not isinstance(node, ast.Return) or node.value is None:
        return False
    values = node.value.elts if isinstance(node.value, ast.Tuple | ast.List) else [node.value]
    nothing = (_is_none(value) or (isinstance(value, ast.Name) and _only_none(value.id, function)) for value in values)
    return not all(nothing)


def _only_none(name: str, function: ast.FunctionDef) -> bool:
    """Whether a name is assigned, and nothing but None."""
    values = [
        value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        for target in node.targets
        for bound, value in _pairs(target, node.value)
        if bound == name
    ]
    return bool(values) and all(map(_is_none, values))


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """The names that an assignment binds, each with the expression that it gets (the whole where that is unclear)."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List):
        values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
        matched = len(values) == len(target.elts)
        for number, element in enumerate(target.elts):
            yield from _pairs(element, values[number] if matched else value)


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None
