"""From what was found to the vocabulary of causes: which slip, of which quantity."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import MappingProxyType

from bnbench.diagnose.cause import QUANTITIES, Quantity, Slip, belongs_to
from bnbench.diagnose.edits import Edit
from bnbench.diagnose.inquiry import Inquiry

TELLING = frozenset({"eps", "divisor", "reduction", "order", "operand", "state", "mode"})
"""Near misses that hardly anything but that slip produces: believed without a proof by replay."""

FROM_TO: Mapping[tuple[str, str], Slip] = MappingProxyType(
    {
        ("x_hat", "y"): Slip.FACTOR,
        ("dy", "dbeta"): Slip.REDUCTION,
        ("dy x_hat", "dgamma"): Slip.REDUCTION,
        ("mean(dy)", "dbeta"): Slip.COUNT,
        ("mean(dy x_hat)", "dgamma"): Slip.COUNT,
    }
)
"""What it means that the first stands where the second belongs, besides the sums of the backward pass."""

SUMS: tuple[Quantity, ...] = ("dx", "dxc")
"""Gradients that are sums over several paths: one in place of another, or a part of it, has a term too few."""


def slip_of_output(shown: str, expected: str) -> Slip | None:
    """The slip, when a value shows one quantity and should show another; None where that says nothing."""
    shown = shown.partition(",")[0]
    if belongs_to(expected) in ("running_mean", "running_var"):
        return Slip.STATE if shown else None
    if shown and shown != expected and expected in SUMS and belongs_to(shown) in SUMS:
        return Slip.TERM
    return FROM_TO.get((shown, expected), Slip.OPERAND if shown in QUANTITIES else None)


def slip_of_edit(inquiry: Inquiry, edit: Edit) -> Slip:
    """The slip that a correction undoes; the names that it brings in or drops say more than its form."""
    before, after = _names(edit.before), _names(edit.after)
    kinds = {_constant(inquiry, name) for name in before ^ after}
    if kinds == {"eps"}:  # a term, a factor or an operand by its form
        return Slip.EPS
    # N for N - 1 by its form, and one count for another.
    if before | after and {_constant(inquiry, name) for name in before | after} == {"count"}:
        return Slip.COUNT
    # A factor, or a divisor, that is a number of elements.
    if edit.slip in (Slip.FACTOR, Slip.TERM, Slip.OPERAND) and kinds and kinds <= {"count"}:
        return Slip.COUNT
    return edit.slip


def _names(text: str) -> set[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:  # two places, or an assignment's targets alone
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _constant(inquiry: Inquiry, name: str) -> str:
    """Whether a variable is eps, or a number of elements."""
    for point in inquiry.reading.points:
        site = inquiry.reading.site(point)
        if site.name == name and point.seen:
            known = inquiry.reading.quantities[0][point.seen[0].quantity]
            if known.extent == "number":
                return "eps" if known.name == "eps" else "count"
    return ""


USUAL: tuple[tuple[str, Quantity], ...] = (
    ("cache", "cache"),
    ("runningmean", "running_mean"),
    ("runningvar", "running_var"),
    ("xhat", "x_hat"),
    ("xnorm", "x_hat"),
    ("norm", "x_hat"),
    ("sqrtvar", "sd"),
    ("inv", "inverse_sd"),
    ("ivar", "inverse_sd"),
    ("istd", "inverse_sd"),
    ("xmu", "xc"),
    ("mean", "mu"),
    ("mu", "mu"),
    ("var", "var"),
    ("std", "sd"),
    ("sd", "sd"),
    ("sig", "sd"),
    ("xc", "xc"),
    ("center", "xc"),
    ("gamma", "gamma"),
    ("beta", "beta"),
)
"""What people call things, without underscores; the first that a name contains."""


def usual(name: str) -> Quantity | None:
    """What a variable is most likely meant to be, by its name."""
    plain = name.replace("_", "").lower()
    meant = next((quantity for word, quantity in USUAL if word in plain), None)
    if meant is not None and plain.startswith("d") and not meant.startswith("running"):
        return belongs_to(f"d{meant}")
    return meant
