"""Rewrite expressions so that every value passes through a recorder: nothing is moved, everything is wrapped."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from . import scopes, sites

Node = TypeVar("Node", bound=ast.AST)

Template: TypeAlias = tuple[Any, ...]
"""Of a target: ``(site, slot or None, starred)``, or a tuple of templates where it unpacks."""

FRAME_SENSITIVE = frozenset({"super", "locals", "globals", "vars", "dir", "eval", "exec", "breakpoint", "__import__"})
"""Builtins that look at the frame which calls them: nothing may come between."""


class Expressions:
    """Builds new nodes and leaves the old ones alone. ``visit`` gives an expression or a statement its new form."""

    def __init__(self, source: str) -> None:
        self.sites: list[sites.Site] = []
        self._lines: list[bytes] = [line.encode() for line in ast._splitlines_no_ff(source)]  # type: ignore[attr-defined]  # noqa: SLF001
        self._scope = scopes.Scope("module")
        self._function: tuple[str, ...] = ()
        self._inside = False
        """Whether this is the body of a function: what runs while the module is loaded is not recorded."""
        self._made: dict[int, int] = {}
        """Of new expressions, by id: the site that makes the value."""
        self._visitors = {name[7:]: getattr(self, name) for name in dir(self) if name.startswith("_visit_")}

    # -- the walk ---------------------------------------------------------------------------------------------------

    def visit(self, node: Any) -> Any:
        visitor = self._visitors.get(type(node).__name__)
        return visitor(node) if visitor is not None else self._rebuilt(node)

    def _rebuilt(self, node: Node, **known: Any) -> Node:
        """The same kind of node over rewritten children; ``known`` are fields that are already done."""
        fields = {}
        for name in node._fields:
            value = known[name] if name in known else getattr(node, name, None)
            if name not in known:
                if isinstance(value, list):
                    value = self._all(value)
                elif isinstance(value, ast.expr | ast.arguments):
                    value = self.visit(value)
            fields[name] = value
        return ast.copy_location(type(node)(**fields), node)

    def _all(self, nodes: Sequence[Any]) -> list[Any]:
        """A list of children; where they are statements, each may become several."""
        done: list[Any] = []
        for node in nodes:
            new = self.visit(node) if isinstance(node, ast.AST) else node
            done += new if isinstance(new, list) else [new]
        return done

    def _operand(self, node: ast.expr) -> tuple[ast.expr, sites.Operand]:
        """The new expression, and where its value comes from."""
        if is_literal(node):
            return node, sites.LITERAL
        if isinstance(node, ast.Name):
            return node, self._scope.slot(node.id)
        new = self.visit(node)
        return new, self._made.get(id(new), sites.UNKNOWN)

    # -- places and calls -------------------------------------------------------------------------------------------

    def _segment(self, node: Any) -> str:
        first, last = node.lineno - 1, node.end_lineno - 1
        start, end = node.col_offset, node.end_col_offset
        lines = self._lines[first : last + 1]
        lines[-1] = lines[-1][:end]
        lines[0] = lines[0][start:]
        return b"".join(lines).decode(errors="replace")

    def _site(self, node: Any, role: sites.Role, name: str = "") -> int:
        place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
        self.sites.append(sites.Site(".".join(self._function), *place, self._segment(node), role, name))
        return len(self.sites) - 1

    def _hook(self, node: Any, method: str, *arguments: Any, keywords: Sequence[ast.keyword] = ()) -> ast.Call:
        """``__probe__.method(*arguments)``, located at ``node``; what is no expression is a constant."""
        place = {
            "lineno": node.lineno,
            "col_offset": node.col_offset,
            "end_lineno": node.end_lineno,
            "end_col_offset": node.end_col_offset,
        }
        given = [
            argument if isinstance(argument, ast.expr) else ast.Constant(argument, **place) for argument in arguments
        ]
        recorder_name = ast.Name(sites.RECORDER, ast.Load(), **place)
        return ast.Call(ast.Attribute(recorder_name, method, ast.Load(), **place), given, list(keywords), **place)

    def _name(self, node: Any, name: str, ctx: ast.expr_context) -> ast.Name:
        return ast.copy_location(ast.Name(name, ctx), node)

    def _activation(self, node: Any) -> ast.Name:
        return self._name(node, sites.ACTIVATION, ast.Load())

    def _recorded(self, node: ast.expr, method: str, *arguments: Any, **keywords: Any) -> ast.expr:
        """A hook that makes an event of the role "expression"."""
        number = self._site(node, "expression")
        new = self._hook(node, method, self._activation(node), number, *arguments, **keywords)
        self._made[id(new)] = number
        return new

    # -- expressions ------------------------------------------------------------------------------------------------

    def _visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        return node  # a message; places inside it are not reliable before Python 3.12

    def _visit_Constant(self, node: ast.Constant) -> ast.expr:
        return node

    def _visit_Name(self, node: ast.Name) -> ast.expr:
        return node

    def _visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        if not self._inside or is_literal(node):
            return self._rebuilt(node)
        left, of_left = self._operand(node.left)
        right, of_right = self._operand(node.right)
        return self._recorded(node, "binary", type(node.op).__name__, of_left, of_right, left, right)

    def _visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        if not self._inside or isinstance(node.op, ast.Not) or is_literal(node):
            return self._rebuilt(node)
        value, of_value = self._operand(node.operand)
        return self._recorded(node, "unary", type(node.op).__name__, of_value, value)

    def _visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        if not self._inside:
            return self._rebuilt(node)
        test = self.visit(node.test)
        body, of_body = self._operand(node.body)
        orelse, of_orelse = self._operand(node.orelse)
        choice = ast.copy_location(ast.IfExp(test, body, orelse), node)
        return self._recorded(node, "choice", (of_body, of_orelse), choice)

    def _visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if not self._inside or not isinstance(node.ctx, ast.Load):
            return self._rebuilt(node)
        base, of_base = self._operand(node.value)
        # The attribute is read in the student's own function, where a private name is mangled as it should be.
        number = self._site(node, "expression")
        read = ast.copy_location(
            ast.Attribute(self._hook(node, "owner", number, of_base, base), node.attr, ast.Load()), node
        )
        new = self._hook(node, "attribute", self._activation(node), number, node.attr, read)
        self._made[id(new)] = number
        return new

    def _visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if not self._inside or not isinstance(node.ctx, ast.Load):
            return self._rebuilt(node)
        base, of_base = self._operand(node.value)
        index, of_index = self._index(node.slice)
        return self._recorded(node, "subscript", of_base, of_index, base, index)

    def _index(self, node: ast.expr) -> tuple[ast.expr, sites.Operand]:
        """An index as an expression of its own: ``1:n, None`` is only read inside brackets."""
        index: ast.expr
        of_index: sites.Operand
        if isinstance(node, ast.Tuple):
            index, of_index = self._rebuilt(node), sites.UNKNOWN
        else:
            index, of_index = self._operand(node)
        if any(isinstance(part, ast.Slice | ast.Starred) for part in [node, *getattr(node, "elts", ())]):
            name = self._name(node, sites.RECORDER, ast.Load())
            itself = ast.copy_location(ast.Attribute(name, "index", ast.Load()), node)
            index = ast.copy_location(ast.Subscript(itself, index, ast.Load()), node)
        return index, of_index

    def _visit_Call(self, node: ast.Call) -> ast.expr:
        if not self._inside:
            return self._rebuilt(node)
        if isinstance(node.func, ast.Name) and node.func.id in FRAME_SENSITIVE:
            return self._recorded(node, "value", self._rebuilt(node))
        receiver: sites.Operand = sites.LITERAL
        function: ast.expr
        if isinstance(node.func, ast.Attribute):
            base, receiver = self._operand(node.func.value)
            function = ast.copy_location(ast.Attribute(base, node.func.attr, ast.Load()), node.func)
        else:
            function = self.visit(node.func)
        arguments, operands = [], [receiver]
        for argument in node.args:
            new, operand = self._operand(argument)
            arguments.append(new)
            operands.append(operand)
        keywords = []
        for keyword in node.keywords:
            new, operand = self._operand(keyword.value)
            keywords.append(ast.copy_location(ast.keyword(keyword.arg, new), keyword))
            operands.append(operand)
        spread = any(isinstance(argument, ast.Starred) for argument in node.args)
        spread = spread or any(keyword.arg is None for keyword in node.keywords)
        given = (None if spread else tuple(operands), function, *arguments)
        hook = self._recorded(node, "call", *given, keywords=keywords)
        if isinstance(node.func, ast.Attribute) and node.func.lineno != node.func.end_lineno:
            # In a chain of methods over several lines Python reports the line of the method.
            hook.lineno, hook.col_offset = node.func.end_lineno or hook.lineno, 0
        return hook

    def _visit_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        if not self._inside:
            return self._rebuilt(node)
        value, of_value = self._operand(node.value)
        number = self._site(node.target, "assigned", node.target.id)
        slot = self._scope.slot(node.target.id)
        bound = self._hook(node, "assign", self._activation(node), number, slot, of_value, value)
        new = ast.copy_location(ast.NamedExpr(node.target, bound), node)
        self._made[id(new)] = number
        return new

    def _visit_display(self, node: ast.Tuple | ast.List) -> ast.expr:
        if not (self._inside and isinstance(node.ctx, ast.Load)) or is_literal(node):
            return self._rebuilt(node)
        if any(isinstance(element, ast.Starred) for element in node.elts):
            return self._rebuilt(node)
        pairs = [self._operand(element) for element in node.elts]
        new = self._rebuilt(node, elts=[element for element, _ in pairs])
        return self._hook(node, "pack", tuple(enumerate(operand for _, operand in pairs)), new)

    _visit_Tuple = _visit_display
    _visit_List = _visit_display

    def _visit_Dict(self, node: ast.Dict) -> ast.expr:
        if not (self._inside and node.keys):
            return self._rebuilt(node)
        keys = [key if key is None else self.visit(key) for key in node.keys]
        pairs = [self._operand(value) for value in node.values]
        new = self._rebuilt(node, keys=keys, values=[value for value, _ in pairs])
        items = zip(node.keys, pairs, strict=True)
        packed = tuple((key.value, operand) for key, (_, operand) in items if isinstance(key, ast.Constant))
        return self._hook(node, "pack", packed, new)

    # -- functions inside expressions -------------------------------------------------------------------------------

    def _visit_comprehension(self, node: scopes.Comprehension) -> ast.expr:
        outer = self._scope
        targets = [generator.target for generator in node.generators]
        inner = outer.inner("comprehension", targets)
        generators = []
        for position, generator in enumerate(node.generators):
            self._scope = inner if position else outer  # the first iterable belongs to the scope around
            iterable, of_iterable = self._operand(generator.iter)
            self._scope = inner
            if self._inside and not generator.is_async:
                template = self._template(generator.target)
                iterable = self._hook(generator.iter, "loop", self._activation(node), template, of_iterable, iterable)
            conditions = self._all(generator.ifs)
            generators.append(ast.comprehension(generator.target, iterable, conditions, generator.is_async))
        known: dict[str, Any] = {"generators": generators}
        element: sites.Operand = sites.UNKNOWN
        for name in ("key", "value", "elt"):
            if hasattr(node, name):
                known[name], element = self._operand(getattr(node, name))
        self._scope = outer
        new: ast.expr = self._rebuilt(node, **known)
        if self._inside and isinstance(node, ast.GeneratorExp):
            return self._hook(node, "generated", element, new)
        return new

    _visit_ListComp = _visit_comprehension
    _visit_SetComp = _visit_comprehension
    _visit_DictComp = _visit_comprehension
    _visit_GeneratorExp = _visit_comprehension

    def _visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        """``lambda a: e`` becomes ``lambda a: __probe__.invoke(..., lambda __activation__, a: e, a)``."""
        arguments = self._arguments(node.args)
        outer = self._enter("<lambda>", node.args, [node.body])
        names = [parameter.arg for parameter in scopes.parameters(node.args)]
        taken = tuple(
            (self._site(parameter, "argument", parameter.arg), self._scope.slot(parameter.arg))
            for parameter in scopes.parameters(node.args)
        )
        value, of_value = self._operand(node.body)
        number = self._site(node.body, "returned", "0")
        plain = [ast.copy_location(ast.arg(name), node) for name in (sites.ACTIVATION, *names)]
        inner = ast.copy_location(ast.Lambda(ast.arguments([], plain, None, [], [], None, []), value), node)
        given = [self._name(node, name, ast.Load()) for name in names]
        body = self._hook(node.body, "invoke", taken, number, of_value, inner, *given)
        self._leave(outer)
        return ast.copy_location(ast.Lambda(arguments, body), node)

    def _enter(self, name: str, arguments: ast.arguments, body: Iterable[ast.AST]) -> tuple[Any, ...]:
        outer = (self._scope, self._function, self._inside)
        self._scope = self._scope.inner("function", body)
        self._scope.bound.update(parameter.arg for parameter in scopes.parameters(arguments))
        self._function = (*self._function, name)
        self._inside = True
        return outer

    def _leave(self, outer: tuple[Any, ...]) -> None:
        self._scope, self._function, self._inside = outer

    def _arguments(self, node: ast.arguments) -> ast.arguments:
        """Defaults are evaluated around the function, annotations are left alone."""
        return ast.arguments(
            node.posonlyargs,
            node.args,
            node.vararg,
            node.kwonlyargs,
            [default if default is None else self.visit(default) for default in node.kw_defaults],
            node.kwarg,
            self._all(node.defaults),
        )

    def _template(self, target: ast.expr, *, starred: bool = False) -> Template:
        """What is bound, with a site for each name, attribute and item."""
        if isinstance(target, ast.Tuple | ast.List):
            return tuple(self._template(element) for element in target.elts)
        if isinstance(target, ast.Starred):
            return self._template(target.value, starred=True)
        if isinstance(target, ast.Name):
            return (self._site(target, "assigned", target.id), self._scope.slot(target.id), starred)
        return (self._site(target, "assigned", self._segment(target)), None, starred)


def is_literal(node: ast.expr) -> bool:
    """A constant, a signed one, or a tuple of such: nothing that could be wrong by its inputs."""
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub | ast.UAdd) and isinstance(node.operand, ast.Constant)
    if isinstance(node, ast.Tuple):
        return isinstance(node.ctx, ast.Load) and all(is_literal(element) for element in node.elts)
    return isinstance(node, ast.Constant)
