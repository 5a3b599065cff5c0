"""Proof by correction: a small change of the source that makes every output right."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from itertools import groupby
from typing import NamedTuple

from bnbench.diagnose.cause import Slip
from bnbench.diagnose.edits import Edit, edits, twice
from bnbench.diagnose.inquiry import Inquiry
from bnbench.diagnose.program import Definition

MOST = 1500
"""So many edits are tried in one call: the search stays below a second."""


class Correction(NamedTuple):
    """An edit that was run and found right, and the definition in which it is made."""

    edit: Edit
    definition: Definition


def correction(
    inquiry: Inquiry,
    lines: Collection[int],
    *,
    pairs: bool = False,
    most: int = MOST,
    only: Slip | None = None,
) -> Correction | None:
    """The least far-fetched edit on these lines that makes every output right.

    With ``pairs`` it is the same edit made in two places of one statement. ``only`` looks for one kind of slip.
    """
    proposals = [
        Correction(edit, definition)
        for definition in inquiry.program.definitions
        for function in functions_of(definition)
        for edit in _on_lines(function, lines, pairs=pairs)
        if only in (None, edit.slip)
    ]
    proposals.sort(key=lambda proposal: proposal.edit.cost)
    for _, group in groupby(proposals[:most], key=lambda proposal: proposal.edit.cost):
        right = [proposal for proposal in group if corrects(inquiry, proposal)]
        if right:
            return min(right, key=lambda proposal: len(proposal.edit.corrected))
    return None


def corrects(inquiry: Inquiry, proposal: Correction) -> bool:
    """Whether every output is right with this edit."""
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


def _on_lines(function: ast.FunctionDef, lines: Collection[int], *, pairs: bool) -> Iterator[Edit]:
    starts = {
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.stmt) and not hasattr(node, "body")
        if any(node.lineno <= line <= (node.end_lineno or line) for line in lines)
    }
    if not starts:
        return
    names = (node.id for node in ast.walk(function) if isinstance(node, ast.Name) and node.id in ("np", "numpy"))
    found = edits(function, lines=sorted(starts), numpy=next(names, "np"))
    yield from twice(found) if pairs else found
