"""Small changes to one expression: what its author may have meant."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from bnbench.diagnose.cause import Slip
from bnbench.diagnose.edit import Edit, Place

EXPONENTS = (2, 0.5, -0.5, -1, -1.5, -2, 3, -3)
CONSTANTS = (1, 2, 0.5, -1, -2, -0.5, 0)
TINY = 0.1
"""A literal below this is taken for an eps."""


def expression_edits(place: Place, names: Sequence[str], keys: Sequence[str], numpy: str) -> Iterator[Edit]:
    """Every small change to the expression at a place, its parts aside.

    ``names`` are the variables and ``keys`` the strings that may be meant in place of others; ``numpy`` is the name
    under which the module knows NumPy.
    """
    node = place.node
    if _in_shape_of_a_call(place):
        return
    if isinstance(node, ast.Constant):
        yield from _constants(place, keys)
    elif isinstance(node, ast.Name):
        yield from (place.to(_name(name), Slip.OPERAND, 1.5) for name in names if name != node.id)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield place.to(node.operand, Slip.SIGN, 1)
        if _is_exponent(place):
            yield from (place.to(_number(value), Slip.POWER, 1) for value in EXPONENTS)
    elif isinstance(node, ast.BinOp):
        yield from _operations(place, node)
    elif isinstance(node, ast.Call):
        yield from _calls(place, node, numpy)
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield place.to(node.value, Slip.LAYOUT, 1)
    # A shape times a count would be the shape of an array that fills the memory.
    no_number = isinstance(node, ast.Name) and node.id not in names
    if no_number or isinstance(node, ast.Tuple) or place.field == "slice" or _attribute(node) == "shape":
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
    elif isinstance(op, ast.MatMult):
        yield place.to(binary(op, right, left), Slip.LAYOUT, 1)


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
    if len(node.args) > 1:
        yield place.to(_swapped(node), Slip.LAYOUT if _attribute(function) in ("dot", "matmul") else Slip.OPERAND, 1.5)
    if node.args:
        dropped = Slip.REDUCTION if _attribute(function) in ("sum", "mean") else Slip.POWER
        yield place.to(node.args[0], dropped, 1)
    if isinstance(function, ast.Attribute) and not _is_name(function.value, numpy):
        yield place.to(function.value, Slip.REDUCTION, 1)


def _swapped(node: ast.Call) -> ast.Call:
    """The first two arguments exchanged."""
    first, second, *rest = node.args
    return ast.Call(func=node.func, args=[second, first, *rest], keywords=node.keywords)


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
    yield place.to(ast.BinOp(left=node, op=ast.Pow(), right=_number(-0.5)), Slip.POWER, 2)
    yield place.to(ast.Attribute(value=node, attr="T", ctx=ast.Load()), Slip.LAYOUT, 1.5)
    for reduction in ("sum", "mean"):
        for axis in (0, 1):
            call = _call(numpy, reduction, node)
            call.keywords.append(ast.keyword(arg="axis", value=_number(axis)))
            yield place.to(call, Slip.REDUCTION, 1.5)
            kept = [*call.keywords, ast.keyword(arg="keepdims", value=ast.Constant(value=True))]
            yield place.to(ast.Call(func=call.func, args=call.args, keywords=kept), Slip.REDUCTION, 2)
    for name in names:
        for operator, sign, slip in (
            (ast.Mult(), "*", Slip.FACTOR),
            (ast.Div(), "/", Slip.FACTOR),
            (ast.Add(), "+", Slip.TERM),
            (ast.Sub(), "-", Slip.TERM),
        ):
            yield place.to(ast.BinOp(left=node, op=operator, right=_name(name)), slip, 2, f"_ {sign} {name}")
    if not names:
        return
    count = ast.Call(func=_name("len"), args=[_name(names[0])], keywords=[])
    yield place.to(ast.BinOp(left=node, op=ast.Div(), right=count), Slip.COUNT, 2, "_ / len")
    yield place.to(ast.BinOp(left=node, op=ast.Mult(), right=count), Slip.COUNT, 2, "_ * len")


def _in_shape_of_a_call(place: Place) -> bool:
    """axis=, keepdims=, dtype=: edited with the call they belong to."""
    return isinstance(place.parent, ast.keyword) and place.parent.arg in ("axis", "keepdims", "dtype", "ddof")


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
