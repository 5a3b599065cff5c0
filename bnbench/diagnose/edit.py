"""One change of a function's source, and where an expression hangs in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bnbench.diagnose.cause import Slip


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
    def original(self) -> str:
        """The whole statement, as it is; of a loop its head."""
        return self._statement()

    @property
    def corrected(self) -> str:
        """The whole statement, as it would be; of a loop its head."""
        with self.applied():
            return self._statement()

    def _statement(self) -> str:
        text = ast.unparse(self.statement)
        return text.partition("\n")[0] if isinstance(self.statement, ast.For) else text

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The tree with this change, for as long as the context lasts."""
        old = [_get(parent, field, index) for parent, field, index, _ in self.changes]
        try:
            for parent, field, index, new in self.changes:
                _set(parent, field, index, new)
            if self.new is not self.statement:
                ast.fix_missing_locations(self.new)
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
        if not hasattr(new, "lineno"):  # a part of the old expression has its own place, which must stay
            ast.copy_location(new, self.node)
        return Edit(
            changes=((self.parent, self.field, self.index, new),),
            old=self.node,
            new=new,
            statement=self.statement,
            slip=slip,
            cost=cost,
            pattern=pattern,
        )


def _get(parent: ast.AST, field: str, index: int | None) -> Any:
    value = getattr(parent, field)
    return value if index is None else value[index]


def _set(parent: ast.AST, field: str, index: int | None, new: Any) -> None:
    if index is None:
        setattr(parent, field, new)
    else:
        getattr(parent, field)[index] = new
