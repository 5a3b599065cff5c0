"""Which variable a name means: Python's scoping rules, as far as a rewritten function needs them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(eq=False, slots=True)
class Scope:
    """One scope and the names that are bound in it. Numbers are handed out by the module's scope."""

    kind: Literal["module", "class", "function", "comprehension"]
    parent: Scope | None = None
    bound: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    """Names declared global or nonlocal: bound elsewhere, but assignable here."""
    of_module: set[str] = field(default_factory=set)
    number: int = 0
    _numbers: list[int] = field(default_factory=lambda: [0])

    def inner(self, kind: Literal["class", "function", "comprehension"], body: Iterable[ast.AST]) -> Scope:
        """The scope of ``body`` inside this one."""
        self._numbers[0] += 1
        scope = Scope(kind, self, number=self._numbers[0], _numbers=self._numbers)
        for node in _own(body):
            if isinstance(node, ast.Global | ast.Nonlocal):
                scope.outside.update(node.names)
                scope.of_module.update(node.names if isinstance(node, ast.Global) else ())
            else:
                scope.bound.update(_bindings(node))
        scope.bound -= scope.outside
        return scope

    def slot(self, name: str) -> str:
        """One text for one variable: the number of the scope that owns it, a colon, its name."""
        owner: Scope | None = None if name in self.of_module else self
        while owner is not None and (name not in owner.bound or (owner.kind == "class" and owner is not self)):
            owner = owner.parent
        return f"{owner.number if owner is not None else 0}:{name}"

    def assigns(self, name: str) -> bool:
        """Whether one more assignment to this name leaves the meaning of every name as it is."""
        return self.kind in {"function", "class"} and name in self.bound | self.outside


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    """All parameters, in the order in which they are declared, ``*args`` and ``**kwargs`` included."""
    found = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument for argument in found if argument is not None]


def _own(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of this scope alone: of an inner one only what is evaluated, or bound (by :=), in this one."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            stack += [*node.decorator_list, node.args]
        elif isinstance(node, ast.Lambda):
            stack.append(node.args)
        elif isinstance(node, ast.ClassDef):
            stack += [*node.decorator_list, *node.bases, *node.keywords]
        elif isinstance(node, Comprehension):
            stack += [inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
        elif not isinstance(node, ast.arg):
            stack += ast.iter_child_nodes(node)


def _bindings(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name
