"""Proof by correction: a small change of the source that makes every output right."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple, TypeAlias

from bnbench.diagnose.edits import Edit, copies, edits, reorderings, twice
from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.program import Definition

Kind: TypeAlias = Literal["single", "pair", "order", "copy"]
"""The edits of the catalogue; the same one in two places of a statement; another order; a copy of an array."""

ANY = 99.0
"""Above the cost of every edit."""


class Correction(NamedTuple):
    """An edit that was run and found right, and the definition in which it is made."""

    edit: Edit
    definition: Definition


def correction(
    inquiry: Inquiry,
    lines: Sequence[int],
    *,
    kind: Kind = "single",
    cost: float = ANY,
    accept: Callable[[Edit], bool] = lambda _: True,
) -> Correction | None:
    """The least far-fetched edit on these lines that makes every output right; of equals that of the earlier line.

    ``lines`` come in the order in which they are suspected. ``cost`` is the highest that is considered,
    and ``accept`` may refuse an edit before it is run.
    None also where :class:`bnbench.diagnose.attempts.Attempts` allows no more.
    """
    ranked = [
        (proposal.edit.cost, rank, proposal)
        for rank, line in enumerate(dict.fromkeys(lines))
        for proposal in _proposals(inquiry, line, kind)
        if proposal.edit.cost <= cost and accept(proposal.edit)
    ]
    ranked.sort(key=lambda entry: entry[:2])
    for _, group in groupby(ranked, key=lambda entry: entry[:2]):
        right = [proposal for *_, proposal in group if corrects(inquiry, proposal)]
        if right:
            return min(right, key=lambda proposal: len(proposal.edit.corrected))
    return None


def corrects(inquiry: Inquiry, proposal: Correction) -> bool:
    """Whether every output is right with this edit, as far as that may still be tried."""
    known = inquiry.attempts.outcomes.get(id(proposal))
    if known is None:
        if not inquiry.attempts.edit():
            return False
        known = inquiry.attempts.outcomes[id(proposal)] = _makes_right(inquiry, proposal)
    return known


def _makes_right(inquiry: Inquiry, proposal: Correction) -> bool:
    with proposal.edit.applied():
        for run, right in enumerate(inquiry.right):
            answers = inquiry.program.edited(run, proposal.definition)
            if not answers or not inquiry.repaired(run, answers, right):
                return False
    return True


def functions_of(definition: Definition) -> Iterator[ast.FunctionDef]:
    """The outermost functions of a definition: itself, or its methods."""
    if isinstance(definition, ast.FunctionDef):
        yield definition
    else:
        yield from (node for node in definition.body if isinstance(node, ast.FunctionDef))


def _proposals(inquiry: Inquiry, line: int, kind: Kind) -> list[Correction]:
    """The edits of a line, the same objects whenever they are asked for."""
    made = inquiry.attempts.proposals
    if (line, kind) not in made:
        made[line, kind] = [
            Correction(edit, definition)
            for definition in inquiry.program.definitions
            for function in functions_of(definition)
            for edit in _on_line(function, line, kind, inquiry.variables)
        ]
    return made[line, kind]


def _on_line(function: ast.FunctionDef, line: int, kind: Kind, variables: Collection[str]) -> Iterator[Edit]:
    if not function.lineno <= line <= (function.end_lineno or line):
        return
    starts = {
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.stmt)
        and (isinstance(node, ast.For) or not hasattr(node, "body"))
        and node.lineno <= line <= _last_line(node)
    }
    if not starts:
        return
    names = (node.id for node in ast.walk(function) if isinstance(node, ast.Name) and node.id in ("np", "numpy"))
    if kind in ("order", "copy"):
        yield from (reorderings if kind == "order" else copies)(function, lines=starts)
        return
    found = edits(function, lines=starts, numpy=next(names, "np"), variables=variables)
    yield from twice(found) if kind == "pair" else found


def _last_line(statement: ast.stmt) -> int:
    """Of a loop that of its head."""
    if isinstance(statement, ast.For):
        return statement.iter.end_lineno or statement.lineno
    return statement.end_lineno or statement.lineno
