"""From what was found to the vocabulary of causes: which slip, of which quantity."""

from __future__ import annotations

import ast

from bnbench.diagnose.cause import QUANTITIES, Quantity, Slip, belongs_to
from bnbench.diagnose.edits import Edit
from bnbench.diagnose.inquiry import Inquiry

TELLING = frozenset({"eps", "divisor", "reduction", "order", "operand", "state", "mode"})
"""Near misses that hardly anything but that slip produces: believed without a proof by replay."""

FROM_TO: dict[tuple[str, str], Slip] = {
    ("scaled", "y"): Slip.TERM,
    ("x_hat", "y"): Slip.FACTOR,
    ("dxc", "dx"): Slip.TERM,
    ("dxc (through x_hat)", "dx"): Slip.TERM,
    ("dxc (through sq)", "dx"): Slip.TERM,
    ("dxc (through x_hat)", "dxc"): Slip.TERM,
    ("dxc (through sq)", "dxc"): Slip.TERM,
    ("dx (without sq)", "dx"): Slip.TERM,
    ("dx (through mu)", "dx"): Slip.TERM,
    ("dy", "dx_hat"): Slip.FACTOR,
    ("x", "mu"): Slip.REDUCTION,
    ("sq", "var"): Slip.REDUCTION,
    ("xc^2", "var"): Slip.REDUCTION,
    ("dy x_hat", "dgamma"): Slip.REDUCTION,
    ("dy", "dbeta"): Slip.REDUCTION,
    ("dx_hat xc", "dinverse_sd"): Slip.REDUCTION,
    ("mean(dy)", "dbeta"): Slip.COUNT,
    ("mean(dy x_hat)", "dgamma"): Slip.COUNT,
    ("var", "sd"): Slip.POWER,
    ("var + eps", "sd"): Slip.POWER,
}
"""What it means that the first stands where the second belongs."""


def slip_of_output(shown: str, expected: str) -> Slip | None:
    """The slip, when a value shows one quantity and should show another; None where that says nothing."""
    shown = shown.partition(",")[0]
    expected_node = belongs_to(expected)
    if expected_node in ("running_mean", "running_var"):
        return Slip.STATE if shown else None
    if not shown:
        return None
    return FROM_TO.get((shown, expected), Slip.OPERAND if shown in QUANTITIES else None)


def slip_of_edit(inquiry: Inquiry, edit: Edit) -> Slip:
    """The slip that a correction undoes; the names that it brings in or drops say more than its form."""
    before, after = _names(edit.before), _names(edit.after)
    kinds = {_constant(inquiry, name) for name in before ^ after}
    if kinds == {"eps"}:
        return Slip.EPS
    if before | after and {_constant(inquiry, name) for name in before | after} == {"count"}:
        return Slip.COUNT
    if edit.slip in (Slip.FACTOR, Slip.TERM, Slip.OPERAND) and kinds and kinds <= {"count"}:
        return Slip.COUNT
    if edit.slip is Slip.OPERAND and not inquiry.training:
        return Slip.MODE
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
    ("runningmean", "running_mean"),
    ("runningvar", "running_var"),
    ("xhat", "x_hat"),
    ("xnorm", "x_hat"),
    ("norm", "x_hat"),
    ("mean", "mu"),
    ("mu", "mu"),
    ("var", "var"),
    ("std", "sd"),
    ("sd", "sd"),
    ("sig", "sd"),
    ("xc", "xc"),
    ("xmu", "xc"),
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
