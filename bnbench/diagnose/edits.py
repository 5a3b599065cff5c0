"""Small changes to a function's source: the candidates for what its author meant.

An edit replaces one expression, operator or target. Which edit is the right one is not decided here: the
edited function is run, and an edit that makes every output right is a proven correction, whose kind names
the slip. The catalogue is that of mutation testing, read backwards (DeMillo, Lipton and Sayward 1978: wrong
programs are close to right ones).
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, TypeAlias

from bnbench.diagnose.cause import Slip
from bnbench.diagnose.edit import Edit, Place
from bnbench.diagnose.expressions import expression_edits

__all__ = ["Edit", "Function", "copies", "edits", "reorderings", "scope", "twice"]

Function: TypeAlias = ast.FunctionDef


def twice(single: Iterable[Edit]) -> Iterator[Edit]:
    """The same divided or averaged in two places of one statement: a count that is forgotten is forgotten twice."""
    alike: dict[tuple[ast.stmt, str], list[Edit]] = defaultdict(list)
    for edit in single:
        if edit.pattern.startswith(("_ /", "mean", "sum")):
            alike[edit.statement, edit.pattern].append(edit)
    for edits_alike in alike.values():
        for a, b in combinations(edits_alike, 2):
            yield Edit(
                changes=(*a.changes, *b.changes),
                old=a.statement,
                new=a.statement,
                statement=a.statement,
                slip=a.slip,
                cost=a.cost + b.cost,
            )


def reorderings(function: Function, *, lines: Collection[int]) -> Iterator[Edit]:
    """Two elements exchanged of what is packed, unpacked or returned on one of ``lines``."""
    for statement in _statements(function, lines):
        sequences = list(statement.targets) if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else []
        if isinstance(statement, ast.Assign | ast.Return) and statement.value is not None:
            sequences.append(statement.value)
        for sequence in sequences:
            if isinstance(sequence, ast.Tuple):
                yield from _reordered(statement, sequence)


def copies(function: Function, *, lines: Collection[int]) -> Iterator[Edit]:
    """A copy of an array that gets another name, or is packed or returned, on one of ``lines``."""
    for statement in _statements(function, lines):
        for place in _places(statement):
            if isinstance(place.node, ast.Name) and isinstance(place.parent, ast.Assign | ast.Tuple):
                copy = ast.Attribute(value=place.node, attr="copy", ctx=ast.Load())
                yield place.to(ast.Call(func=copy, args=[], keywords=[]), Slip.IN_PLACE, 1)


def edits(
    function: Function,
    *,
    lines: Collection[int] | None = None,
    numpy: str = "np",
    variables: Collection[str] | None = None,
) -> Iterator[Edit]:
    """Every small change to a function, or to the statements that start on one of ``lines``.

    ``numpy`` is the name under which the module knows NumPy. Of the function's names those in ``variables`` are put
    in; all without it. What is assigned, and in which order things happen, stays. Conditions are not touched, nor
    what decides how long a ``while`` loop runs, so that an edited function ends when the original does.
    """
    names = tuple(name for name in scope(function) if variables is None or name in variables)
    keys = sorted(set(_string_keys(function)))
    summed = {id(node) for loop in ast.walk(function) if isinstance(loop, ast.For) for node in ast.walk(loop)}
    for statement in _statements(function, lines):
        if isinstance(statement, ast.For):
            yield from _ranges(statement)
            continue
        if isinstance(statement, ast.AugAssign):
            yield from _other_operator(statement)
        if isinstance(statement, ast.Assign):
            yield from _accumulated(statement, Slip.REDUCTION if id(statement) in summed else Slip.TERM)
        places = list(_places(statement))
        for place in places:
            yield from expression_edits(place, names, keys, numpy)
        yield from _exchanges(places)


def scope(function: Function) -> tuple[str, ...]:
    """The names that a function's own statements bind, its parameters first."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    names += [node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return tuple(dict.fromkeys(names))


def _statements(function: Function, lines: Collection[int] | None) -> Iterator[ast.stmt]:
    """The simple statements of a function that start on these lines, and its for loops, whose heads are meant."""
    counting = set(_counting(function))
    simple = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr, ast.For)
    for node in ast.walk(function):
        if isinstance(node, simple) and (lines is None or node.lineno in lines) and not counting & _bound(node):
            yield node


def _counting(function: Function) -> Iterator[str]:
    """The names on which the length of a while loop depends."""
    for loop in ast.walk(function):
        if isinstance(loop, ast.While):
            names = {node.id for node in ast.walk(loop.test) if isinstance(node, ast.Name)}
            inside = [node for node in ast.walk(loop) if isinstance(node, ast.Assign | ast.AugAssign)]
            while more := {
                node.id
                for statement in inside
                if names & _bound(statement)
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and node.id not in names
            }:
                names |= more
            yield from names


def _bound(statement: ast.stmt) -> set[str]:
    """The variables that a statement binds or writes into."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
        targets = [statement.target]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _ranges(loop: ast.For) -> Iterator[Edit]:
    """The loop over all: ``range(n)`` for ``range(1, n)`` and ``range(n - 1)``."""
    call = loop.iter
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        return
    if call.func.id != "range" or len(call.args) not in (1, 2):
        return
    place = Place(node=call, parent=loop, field="iter", index=None, statement=loop)
    end = call.args[-1]
    ends = [end.left] if isinstance(end, ast.BinOp) and isinstance(end.op, ast.Sub | ast.Add) else []
    for stop in (end, *ends):
        if len(call.args) > 1 or stop is not end:
            yield place.to(ast.Call(func=call.func, args=[stop], keywords=[]), Slip.REDUCTION, 1)


def _accumulated(statement: ast.Assign, slip: Slip) -> Iterator[Edit]:
    """Added to what was there, instead of replacing it."""
    target = statement.targets[0]
    if isinstance(target, ast.Name | ast.Subscript):
        before = ast.parse(ast.unparse(target), mode="eval").body
        place = Place(node=statement.value, parent=statement, field="value", index=None, statement=statement)
        yield place.to(ast.BinOp(left=before, op=ast.Add(), right=statement.value), slip, 1)


def _places(statement: ast.stmt) -> Iterator[Place]:
    """Every expression of a statement that is evaluated for its value."""
    stack: list[ast.AST] = [statement]
    while stack:
        parent = stack.pop()
        for field, value in ast.iter_fields(parent):
            children = value if isinstance(value, list) else [value]
            for index, child in enumerate(children):
                if isinstance(child, ast.keyword):
                    stack.append(child)
                if not isinstance(child, ast.expr) or isinstance(child, ast.Lambda | ast.JoinedStr):
                    continue
                stack.append(child)
                if not isinstance(getattr(child, "ctx", ast.Load()), ast.Load):
                    continue
                if field == "func" or (isinstance(parent, ast.Expr) and isinstance(child, ast.Constant)):
                    continue  # the function of a call is edited with the call; a docstring is not code
                yield Place(
                    node=child,
                    parent=parent,
                    field=field,
                    index=index if isinstance(value, list) else None,
                    statement=statement,
                )


def _other_operator(statement: ast.AugAssign) -> Iterator[Edit]:
    other = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}.get(type(statement.op))
    if other is not None:
        slip = Slip.SIGN if other in (ast.Add, ast.Sub) else Slip.OPERATION
        yield _rearranged(statement, ((statement, "op", None, other()),), slip, 1)


def _reordered(statement: ast.stmt, sequence: ast.Tuple) -> Iterator[Edit]:
    """Two elements exchanged."""
    for i, j in combinations(range(len(sequence.elts)), 2):
        changes = ((sequence, "elts", i, sequence.elts[j]), (sequence, "elts", j, sequence.elts[i]))
        yield _rearranged(statement, changes, Slip.ORDER, 1)


def _exchanges(places: Sequence[Place]) -> Iterator[Edit]:
    """Two different names of one statement exchanged: weights swapped, numerator for denominator."""
    named = [(place, place.node) for place in places if isinstance(place.node, ast.Name)]
    for (a, first), (b, second) in combinations(named, 2):
        if first.id != second.id:
            changes = ((a.parent, a.field, a.index, second), (b.parent, b.field, b.index, first))
            yield _rearranged(a.statement, changes, Slip.OPERAND, 2)


def _rearranged(
    statement: ast.stmt, changes: tuple[tuple[ast.AST, str, int | None, Any], ...], slip: Slip, cost: float
) -> Edit:
    return Edit(changes=changes, old=statement, new=statement, statement=statement, slip=slip, cost=cost)


def _string_keys(function: Function) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.Subscript(slice=ast.Constant(value=str(key))):
                yield key
