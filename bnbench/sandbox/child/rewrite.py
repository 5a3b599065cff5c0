"""Rewrite a student's functions so that every value they compute passes through a recorder.

Only expressions and statements are wrapped, never reordered: ``a * b`` becomes ``__probe__.binary(..., a, b)``,
``dx = e`` becomes ``dx = __probe__.assign(..., e)``, and a statement that writes into an array is followed by one that
looks at it. :class:`recorder.Recorder` has the other side of each of these calls.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from typing import Any

from . import expressions, reachable, recorder, scopes, sites


def instrument(
    tree: ast.Module, source: str, names: Collection[str] | None = None
) -> tuple[ast.Module, tuple[sites.Site, ...]]:
    """A copy of ``tree`` whose functions record, and the places where they do so.

    ``source`` is the text that was parsed. With ``names`` only what is reachable from them is rewritten.
    The new module begins with an import of the idle recorder; :func:`probe.record` puts its own in that place.
    ``tree`` itself is left as it is. Functions keep their names, signatures and line numbers.
    """
    wanted = None if names is None else reachable.reachable(tree, names)
    rewriter = _Rewriter(source)
    body: list[ast.stmt] = []
    start = 0
    for position, statement in enumerate(tree.body):
        if _is_docstring(statement, position) or (
            isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        ):
            start = position + 1
        if wanted is None or wanted & set(reachable.bound_by(statement)):
            body.append(rewriter.visit(statement))
        else:
            body.append(statement)
    alias = ast.alias("IDLE", sites.RECORDER, lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)
    idle = ast.ImportFrom(recorder.__name__, [alias], 0, lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)
    return ast.Module([*body[:start], idle, *body[start:]], tree.type_ignores), tuple(rewriter.sites)


def _is_docstring(statement: ast.stmt, position: int) -> bool:
    return (
        position == 0
        and isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


class _Rewriter(expressions.Expressions):
    """Statements: what they bind is noted as it is bound, what they write into is looked at afterwards."""

    # -- definitions ------------------------------------------------------------------------------------------------

    def _visit_function(self, node: scopes.Function) -> ast.stmt:
        decorators = self._all(node.decorator_list)
        arguments = self._arguments(node.args)
        outer = self._enter(node.name, node.args, node.body)
        documented = bool(node.body) and _is_docstring(node.body[0], 0)
        body: list[ast.stmt] = [*node.body[:documented]]
        place = node.body[0]
        target: ast.expr = self._name(place, sites.ACTIVATION, ast.Store())
        body.append(ast.copy_location(ast.Assign([target], self._hook(place, "enter")), place))
        for parameter in scopes.parameters(node.args):
            number = self._site(parameter, "argument", parameter.arg)
            given = self._name(parameter, parameter.arg, ast.Load())
            slot = self._scope.slot(parameter.arg)
            taken = self._hook(parameter, "argument", self._activation(parameter), number, slot, given)
            target = self._name(parameter, parameter.arg, ast.Store())
            body.append(ast.copy_location(ast.Assign([target], taken), parameter))
        body += self._all(node.body[documented:])
        self._leave(outer)
        return self._rebuilt(node, decorator_list=decorators, args=arguments, body=body, returns=node.returns)

    _visit_FunctionDef = _visit_function
    _visit_AsyncFunctionDef = _visit_function

    def _visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        around = {name: self._all(getattr(node, name)) for name in ("decorator_list", "bases", "keywords")}
        outer, functions = self._scope, self._function
        self._scope, self._function = outer.inner("class", node.body), (*functions, node.name)
        documented = _is_docstring(node.body[0], 0)
        body = [*node.body[:documented], *self._all(node.body[documented:])]
        self._scope, self._function = outer, functions
        return self._rebuilt(node, body=body, **around)

    # -- statements -------------------------------------------------------------------------------------------------

    def _visit_match_case(self, node: ast.match_case) -> ast.match_case:
        guard = node.guard if node.guard is None else self.visit(node.guard)
        return ast.match_case(node.pattern, guard, self._all(node.body))

    def _visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if not self._inside or node.value is None:
            return self._rebuilt(node, annotation=node.annotation)
        value, of_value = self._operand(node.value)
        after: list[ast.stmt] = []
        template = self._template(node.target)
        target = self._target(node.target, template, after)
        bound = self._hook(node.value, "assign", self._activation(node), *template[:2], of_value, value)
        return [self._rebuilt(node, target=target, annotation=node.annotation, value=bound), *after]

    def _visit_Assign(self, node: ast.Assign) -> Any:
        if not self._inside:
            return self._rebuilt(node)
        value, of_value = self._operand(node.value)
        after: list[ast.stmt] = []
        templates = tuple(self._template(target) for target in node.targets)
        targets = [
            self._target(target, template, after) for target, template in zip(node.targets, templates, strict=True)
        ]
        activation = self._activation(node)
        if len(targets) > 1:  # a = b = e binds from left to right, as the tuple (a, b) does
            targets = [ast.copy_location(ast.Tuple(targets, ast.Store()), node.targets[0])]
            value = self._hook(node.value, "chain", activation, templates, of_value, value)
        elif _is_leaf(templates[0]):
            value = self._hook(node.value, "assign", activation, *templates[0][:2], of_value, value)
        else:
            value = self._hook(node.value, "unpack", activation, templates[0], of_value, value)
        return [self._rebuilt(node, targets=targets, value=value), *after]

    def _visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if not self._inside:
            return self._rebuilt(node)
        number = self._site(node.target, "changed", self._owner(node.target))
        if not isinstance(node.target, ast.Name):
            after: list[ast.stmt] = []
            target = self._written(node.target, number, None, after)
            value, of_value = self._operand(node.value)
            operand = self._hook(node.value, "operand", number, of_value, value)
            return [self._rebuilt(node, target=target, value=operand), *after]
        value, of_value = self._operand(node.value)
        operand = self._hook(node.value, "operand", number, of_value, value)
        slot = self._scope.slot(node.target.id)
        now = self._name(node, node.target.id, ast.Load())
        look = self._hook(node, "augmented", self._activation(node), number, slot, now)
        rebind = ast.copy_location(ast.Assign([self._name(node, node.target.id, ast.Store())], look), node)
        return [self._rebuilt(node, target=node.target, value=operand), rebind]

    def _target(self, target: ast.expr, template: expressions.Template, after: list[ast.stmt]) -> ast.expr:
        """The target, where it writes into an object, with that object noted; the statements that look at it then."""
        if isinstance(target, ast.Tuple | ast.List):
            parts = zip(target.elts, template, strict=True)
            return self._rebuilt(target, elts=[self._target(element, part, after) for element, part in parts])
        if isinstance(target, ast.Starred):
            return self._rebuilt(target, value=self._target(target.value, template, after))
        if isinstance(target, ast.Name):
            return target
        number = self._site(target, "changed", self._owner(target))
        return self._written(target, number, template[0], after)

    def _written(self, target: Any, number: int, assigned: int | None, after: list[ast.stmt]) -> ast.expr:
        """A subscript or attribute that is stored to; ``assigned`` is the site of the value, None if augmented."""
        base = self._hook(target.value, "base", number, self.visit(target.value))
        look: tuple[Any, ...] = (self._activation(target), number, assigned)
        if isinstance(target, ast.Attribute):
            new: ast.expr = ast.copy_location(ast.Attribute(base, target.attr, ast.Store()), target)
            look = (*look, target.attr)
        else:
            key = self._hook(target.slice, "key", number, self._index(target.slice)[0])
            new = ast.copy_location(ast.Subscript(base, key, ast.Store()), target)
            look = (*look, None)
        name = target.value.id if isinstance(target.value, ast.Name) else None
        if name is not None and self._scope.assigns(name):
            hook = self._hook(target, "stored", *look, self._scope.slot(name), self._name(target, name, ast.Load()))
            bound = self._name(target, name, ast.Store())
            after.append(ast.copy_location(ast.Assign([bound], hook), target))
        else:
            after.append(ast.copy_location(ast.Expr(self._hook(target, "stored", *look, None, None)), target))
        return new

    def _owner(self, target: Any) -> str:
        """The name of what a store changes: ``dx`` of ``dx[i]``, but ``cache['dx']`` as a whole."""
        item = isinstance(target, ast.Subscript) and not (
            isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str)
        )
        return self._segment(target.value if item else target)

    def _visit_For(self, node: ast.For) -> ast.stmt:
        iterable, of_iterable = self._operand(node.iter)
        if self._inside:
            template = self._template(node.target)
            iterable = self._hook(node.iter, "loop", self._activation(node), template, of_iterable, iterable)
        return self._rebuilt(node, target=node.target, iter=iterable)

    def _visit_With(self, node: ast.With | ast.AsyncWith) -> ast.stmt:
        items, first = [], []
        for item in node.items:
            context, of_context = self._operand(item.context_expr)
            items.append(ast.withitem(context, item.optional_vars))
            names = [] if item.optional_vars is None or not self._inside else ast.walk(item.optional_vars)
            for name in names:
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                    number, slot = self._site(name, "assigned", name.id), self._scope.slot(name.id)
                    given = self._name(name, name.id, ast.Load())
                    bound = self._hook(name, "assign", self._activation(name), number, slot, of_context, given)
                    first.append(ast.copy_location(ast.Assign([name], bound), name))
        return self._rebuilt(node, items=items, body=[*first, *self._all(node.body)])

    _visit_AsyncWith = _visit_With

    def _visit_Return(self, node: ast.Return) -> ast.stmt:
        if not self._inside or node.value is None:
            return self._rebuilt(node)
        elements: Sequence[ast.expr] = [node.value]
        if isinstance(node.value, ast.Tuple) and not any(isinstance(e, ast.Starred) for e in node.value.elts):
            elements = node.value.elts
        numbers = tuple(self._site(element, "returned", str(i)) for i, element in enumerate(elements))
        value, of_value = self._operand(node.value)
        activation = self._activation(node)
        return self._rebuilt(node, value=self._hook(node, "returned", activation, numbers, of_value, value))


def _is_leaf(template: expressions.Template) -> bool:
    return bool(template) and isinstance(template[0], int)
