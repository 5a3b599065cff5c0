"""Which of a module's own names its functions lead to, so that only these need be rewritten."""

from __future__ import annotations

import ast
from collections.abc import Collection


def reachable(tree: ast.Module, names: Collection[str]) -> frozenset[str]:
    """The module's own names that ``names`` use, directly or through others; names it does not bind are dropped."""
    statements: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in bound_by(statement):
            statements.setdefault(name, []).append(statement)
    found: set[str] = set()
    todo = [name for name in names if name in statements]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for statement in statements[name]:
            used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            todo += [other for other in used if other in statements]
    return frozenset(found)


def bound_by(statement: ast.stmt) -> list[str]:
    """Names that a top-level statement binds, or whose object it changes."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    inner: list[ast.stmt] = []
    for block in ("body", "orelse", "finalbody"):
        inner += getattr(statement, block, [])
    for handler in getattr(statement, "handlers", []):
        inner += handler.body
    return [name for other in inner for name in bound_by(other)]
