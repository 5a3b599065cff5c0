"""Small changes to a function's source: the candidates for what its author meant.

An edit replaces one expression, operator or target. Which edit is the right one is not decided here: the
edited function is run, and an edit that makes every output right is a proven correction, whose kind names
the slip. The catalogue is that of mutation testing, read backwards (DeMillo, Lipton and Sayward 1978: wrong
programs are close to right ones).
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

from bnbench.diagnose.cause import Slip

Function: TypeAlias = ast.FunctionDef

EXPONENTS = (2, 0.5, -0.5, -1, -1.5, -2, 3, -3)
CONSTANTS = (1, 2, 0.5, -1, -2, -0.5, 0)
TINY = 0.1
"""A literal below this is taken for an eps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """One change: the fields of some nodes, each with its new value."""

    changes: tuple[tuple[ast.AST, str, int | None, Any], ...]
    """(parent, field, index in the field if it is a list, the new value)."""
    old: ast.AST
    new: ast.AST
    """What is replaced and by what; twice the same statement where its parts change places."""
    statement: ast.stmt
    slip: Slip
    cost: float
    """How far-fetched it is: among several right edits the cheapest is believed."""
    pattern: str = ""
    """What is done, whatever it is done to: ``_ / N``, ``np.mean(_)``; empty where that makes no sense."""

    @property
    def line(self) -> int:
        return int(getattr(self.old, "lineno", self.statement.lineno))

    @property
    def before(self) -> str:
        return ast.unparse(self.old)

    @property
    def after(self) -> str:
        with self.applied():
            return ast.unparse(self.new)

    @property
    def corrected(self) -> str:
        """The whole statement, as it would be."""
        with self.applied():
            return ast.unparse(self.statement)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The tree with this change, for as long as the context lasts."""
        old = [_get(parent, field, index) for parent, field, index, _ in self.changes]
        try:
            for parent, field, index, new in self.changes:
                _set(parent, field, index, new)
            yield
        finally:
            for (parent, field, index, _), value in zip(self.changes, old, strict=True):
                _set(parent, field, index, value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """An expression, and where it hangs."""

    node: ast.expr
    parent: ast.AST
    field: str
    index: int | None
    statement: ast.stmt

    def to(self, new: ast.expr, slip: Slip, cost: float, pattern: str = "") -> Edit:
        new = ast.fix_missing_locations(ast.copy_location(new, self.node))
        return Edit(
            changes=((self.parent, self.field, self.index, new),),
            old=self.node,
            new=new,
            statement=self.statement,
            slip=slip,
            cost=cost,
            pattern=pattern,
        )


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


def edits(function: Function, *, lines: Sequence[int] | None = None, numpy: str = "np") -> Iterator[Edit]:
    """Every small change to a function, or to the statements that start on one of ``lines``.

    ``numpy`` is the name under which the module knows NumPy. What is assigned, and in which order things
    happen, stays; loops and conditions are not touched, so that an edited function ends when the original does.
    """
    names = scope(function)
    keys = sorted(set(_string_keys(function)))
    for statement in _statements(function):
        if lines is not None and statement.lineno not in lines:
            continue
        yield from _statement_edits(statement)
        places = list(_places(statement))
        for place in places:
            yield from _expression_edits(place, names, keys, numpy)
        yield from _exchanges(places)


def scope(function: Function) -> tuple[str, ...]:
    """The names that a function's own statements bind, its parameters first."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    names += [node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return tuple(dict.fromkeys(names))


def _statements(function: Function) -> Iterator[ast.stmt]:
    """The simple statements of a function, in the order of the source."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return | ast.Expr):
            yield node


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


def _statement_edits(statement: ast.stmt) -> Iterator[Edit]:
    if isinstance(statement, ast.AugAssign):
        other = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}.get(type(statement.op))
        if other is not None:
            slip = Slip.SIGN if other in (ast.Add, ast.Sub) else Slip.OPERATION
            yield _rearranged(statement, ((statement, "op", None, other()),), slip, 1)
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if len(targets) == 1 and isinstance(targets[0], ast.Tuple):
        yield from _reordered(statement, targets[0])
    if isinstance(statement, ast.Assign | ast.Return) and isinstance(statement.value, ast.Tuple):
        yield from _reordered(statement, statement.value)


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


def _expression_edits(place: Place, names: Sequence[str], keys: Sequence[str], numpy: str) -> Iterator[Edit]:
    node = place.node
    if _in_shape_of_a_call(place):
        return
    if isinstance(node, ast.Constant):
        yield from _constants(place, keys)
    elif isinstance(node, ast.Name):
        yield from (place.to(_name(name), Slip.OPERAND, 1.5) for name in names if name != node.id)
        if isinstance(place.parent, ast.Assign | ast.Tuple):
            copy = ast.Attribute(value=node, attr="copy", ctx=ast.Load())
            yield place.to(ast.Call(func=copy, args=[], keywords=[]), Slip.IN_PLACE, 1)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield place.to(node.operand, Slip.SIGN, 1)
        if _is_exponent(place):
            yield from (place.to(_number(value), Slip.POWER, 1) for value in EXPONENTS)
    elif isinstance(node, ast.BinOp):
        yield from _operations(place, node)
    elif isinstance(node, ast.Call):
        yield from _calls(place, node, numpy)
    if isinstance(node, ast.Tuple) or place.field == "slice":
        return
    yield from _wrappings(place, names, numpy)


def _constants(place: Place, keys: Sequence[str]) -> Iterator[Edit]:
    node = place.node
    assert isinstance(node, ast.Constant)  # noqa: S101 - narrowed by the caller
    if isinstance(node.value, str):
        if isinstance(place.parent, ast.Subscript):
            yield from (place.to(ast.Constant(key), Slip.OPERAND, 1.5) for key in keys if key != node.value)
        return
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        return
    if isinstance(place.parent, ast.Subscript):  # x.shape[0] for x.shape[1]
        yield from (place.to(_number(k), Slip.COUNT, 1) for k in (0, 1, 2, 3) if k != node.value)
        return
    slip, values = (Slip.POWER, EXPONENTS) if _is_exponent(place) else (Slip.FACTOR, CONSTANTS)
    if 0 < node.value < TINY:
        yield place.to(_number(1e-5), Slip.EPS, 1)
    for value in values:
        if value != node.value:
            yield place.to(_number(value), Slip.SIGN if value == -node.value and slip is Slip.FACTOR else slip, 1)


def _is_exponent(place: Place) -> bool:
    return isinstance(place.parent, ast.BinOp) and isinstance(place.parent.op, ast.Pow) and place.field == "right"


def _operations(place: Place, node: ast.BinOp) -> Iterator[Edit]:
    left, right, op = node.left, node.right, node.op

    def binary(operator: ast.operator, a: ast.expr = left, b: ast.expr = right) -> ast.expr:
        return ast.BinOp(left=a, op=operator, right=b)

    if isinstance(op, ast.Add | ast.Sub):
        other: ast.operator = ast.Sub() if isinstance(op, ast.Add) else ast.Add()
        yield place.to(binary(other), Slip.SIGN, 1)
        yield place.to(binary(ast.Div()), Slip.OPERATION, 1)
        yield place.to(binary(ast.Mult()), Slip.OPERATION, 1.5)
        yield place.to(left, Slip.TERM, 1)
        yield place.to(right if isinstance(op, ast.Add) else _minus(right), Slip.TERM, 1.5)
        if isinstance(op, ast.Sub):
            yield place.to(binary(op, right, left), Slip.SIGN, 1)
        yield from _moved_inside(place, node)
    elif isinstance(op, ast.Mult | ast.Div):
        other = ast.Div() if isinstance(op, ast.Mult) else ast.Mult()
        yield place.to(binary(other), Slip.POWER, 1)
        yield place.to(binary(ast.Add()), Slip.OPERATION, 1.5)
        yield place.to(binary(ast.Sub()), Slip.OPERATION, 1.5)
        yield place.to(left, Slip.FACTOR, 1)
        if isinstance(op, ast.Mult):
            yield place.to(right, Slip.FACTOR, 1)
        else:
            yield place.to(binary(op, right, left), Slip.POWER, 1.5)
    elif isinstance(op, ast.Pow):
        yield place.to(left, Slip.POWER, 1)


def _moved_inside(place: Place, node: ast.BinOp) -> Iterator[Edit]:
    """sqrt(v) + eps, read as sqrt(v + eps); and a sum under a power or a root taken apart."""
    for inner, outer in ((node.left, node.right), (node.right, node.left)):
        if isinstance(inner, ast.Call) and inner.args:
            within = ast.BinOp(left=inner.args[0], op=node.op, right=outer)
            call = ast.Call(func=inner.func, args=[within, *inner.args[1:]], keywords=inner.keywords)
            yield place.to(call, Slip.EPS, 1)
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Pow):
            base = ast.BinOp(left=inner.left, op=node.op, right=outer)
            yield place.to(ast.BinOp(left=base, op=inner.op, right=inner.right), Slip.EPS, 1)


_METHODS = {"mean": ("sum",), "sum": ("mean",), "var": ("std",), "std": ("var",), "max": ("mean",)}


def _calls(place: Place, node: ast.Call, numpy: str) -> Iterator[Edit]:
    function = node.func
    if isinstance(function, ast.Attribute):
        for other in _METHODS.get(function.attr, ()):
            renamed = ast.Attribute(value=function.value, attr=other, ctx=ast.Load())
            slip = Slip.COUNT if other in ("mean", "sum") else Slip.POWER
            yield place.to(ast.Call(func=renamed, args=node.args, keywords=node.keywords), slip, 1, f"{other}(_)")
        if function.attr in ("mean", "sum", "var", "std", "max", "min"):
            yield from _axes(place, node, function, numpy)
    if node.args:
        dropped = Slip.REDUCTION if _attribute(function) in ("sum", "mean") else Slip.POWER
        yield place.to(node.args[0], dropped, 1)
    if isinstance(function, ast.Attribute) and not _is_name(function.value, numpy):
        yield place.to(function.value, Slip.REDUCTION, 1)


def _axes(place: Place, node: ast.Call, function: ast.Attribute, numpy: str) -> Iterator[Edit]:
    """The same reduction over other axes, with and without keepdims, with another divisor."""
    of_module = _is_name(function.value, numpy)
    positional = node.args[:1] if of_module else []
    keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    given = node.args[1:] if of_module else node.args
    if given:
        keywords.setdefault("axis", given[0])
    axis = keywords.get("axis")
    now = None if axis is None else ast.unparse(axis)

    def reduction(values: dict[str, ast.expr]) -> ast.expr:
        return ast.Call(
            func=function, args=positional, keywords=[ast.keyword(arg=k, value=v) for k, v in values.items()]
        )

    for other in ("0", "1", "-1", "(0, 2, 3)", "(0, 2)", "(0, 1)", "(2, 3)", "(2, 3, 4)", "(1, 2, 3)", None):
        if other == now:
            continue
        values = {key: value for key, value in keywords.items() if key != "axis"}
        chosen = values if other is None else {"axis": ast.parse(other, mode="eval").body, **values}
        yield place.to(reduction(chosen), Slip.REDUCTION, 1 if other in ("0", "1", "-1", None) else 1.5)
        if "keepdims" not in keywords and other is not None:
            yield place.to(reduction({**chosen, "keepdims": ast.Constant(value=True)}), Slip.REDUCTION, 1.5)
    if "keepdims" in keywords:
        yield place.to(reduction({k: v for k, v in keywords.items() if k != "keepdims"}), Slip.REDUCTION, 1)
    else:
        yield place.to(reduction({**keywords, "keepdims": ast.Constant(value=True)}), Slip.REDUCTION, 1)
    if "ddof" in keywords:
        yield place.to(reduction({k: v for k, v in keywords.items() if k != "ddof"}), Slip.COUNT, 1)
    elif _attribute(function) in ("var", "std"):
        yield place.to(reduction({**keywords, "ddof": _number(1)}), Slip.COUNT, 1.5)


def _wrappings(place: Place, names: Sequence[str], numpy: str) -> Iterator[Edit]:
    """Something around an expression: a sign, a factor, a root, a sum, a further term."""
    node = place.node
    yield place.to(_minus(node), Slip.SIGN, 1.5)
    for value in (2, 0.5):
        yield place.to(ast.BinOp(left=_number(value), op=ast.Mult(), right=node), Slip.FACTOR, 1.5)
    if isinstance(node, ast.Constant):
        return
    yield place.to(_call(numpy, "sqrt", node), Slip.POWER, 1.5)
    yield place.to(ast.BinOp(left=node, op=ast.Pow(), right=_number(2)), Slip.POWER, 1.5)
    yield place.to(ast.BinOp(left=_number(1), op=ast.Div(), right=node), Slip.POWER, 2)
    for reduction in ("sum", "mean"):
        for axis in (0, 1):
            call = _call(numpy, reduction, node)
            call.keywords.append(ast.keyword(arg="axis", value=_number(axis)))
            yield place.to(call, Slip.REDUCTION, 1.5)
    for name in names:
        for operator, sign, slip in (
            (ast.Mult(), "*", Slip.FACTOR),
            (ast.Div(), "/", Slip.FACTOR),
            (ast.Add(), "+", Slip.TERM),
            (ast.Sub(), "-", Slip.TERM),
        ):
            yield place.to(ast.BinOp(left=node, op=operator, right=_name(name)), slip, 2, f"_ {sign} {name}")
    count = ast.Call(func=_name("len"), args=[_name(names[0])], keywords=[])
    yield place.to(ast.BinOp(left=node, op=ast.Div(), right=count), Slip.COUNT, 2, "_ / len")
    yield place.to(ast.BinOp(left=node, op=ast.Mult(), right=count), Slip.COUNT, 2, "_ * len")


def _in_shape_of_a_call(place: Place) -> bool:
    """axis=, keepdims=, dtype=: edited with the call they belong to."""
    return isinstance(place.parent, ast.keyword) and place.parent.arg in ("axis", "keepdims", "dtype", "ddof")


def _string_keys(function: Function) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.Subscript(slice=ast.Constant(value=str(key))):
                yield key


def _attribute(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else ""


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _name(name: str) -> ast.expr:
    return ast.Name(id=name, ctx=ast.Load())


def _number(value: float) -> ast.expr:
    return _minus(ast.Constant(value=-value)) if value < 0 else ast.Constant(value=value)


def _minus(node: ast.expr) -> ast.expr:
    return ast.UnaryOp(op=ast.USub(), operand=node)


def _call(module: str, function: str, argument: ast.expr) -> ast.Call:
    return ast.Call(
        func=ast.Attribute(value=_name(module), attr=function, ctx=ast.Load()), args=[argument], keywords=[]
    )


def _get(parent: ast.AST, field: str, index: int | None) -> Any:
    value = getattr(parent, field)
    return value if index is None else value[index]


def _set(parent: ast.AST, field: str, index: int | None, new: Any) -> None:
    if index is None:
        setattr(parent, field, new)
    else:
        getattr(parent, field)[index] = new
