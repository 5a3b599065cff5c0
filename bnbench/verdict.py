"""What :func:`bnbench.verify` found, as a record that shows itself: as text, and as HTML in a notebook."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bnbench.model import Status
from bnbench.report.words import GLYPHS, number, relative, visible
from bnbench.tolerances import NOISE

COLUMNS = ("", "argument", "z", "directions", "worst at", "got", "expected", "relative error")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArgumentVerdict:
    """The verdict on the gradient with respect to one argument.

    ``got`` and ``expected`` are the claimed and the numeric derivative at ``index``, or, without an index,
    along the direction where they differ most.
    """

    name: str
    status: Status
    reason: str = ""
    """Why it did not pass; "" if it did."""
    notes: tuple[str, ...] = ()
    z: float = math.nan
    """The largest deviation over its own noise; NOISE.limit is the limit."""
    directions: int = 0
    """How many random directions were judged."""
    rough: int = 0
    """How many more said nothing, because the function is not smooth along them."""
    resolution: float = math.nan
    """The noise as a share of the derivative: relative errors of NOISE.limit times this are seen."""
    zero: bool = False
    """Claimed and numeric derivative are both exactly zero, which proves little."""
    index: tuple[int, ...] | None = None
    got: float = math.nan
    expected: float = math.nan
    relative: float | None = None
    """The courses' relative error of the worst element: shown, never judged."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Verdict:
    """The verdict on a pair of functions: is the backward the derivative of the forward?"""

    name: str
    status: Status
    arguments: tuple[ArgumentVerdict, ...]
    mutated: tuple[str, ...] = ()
    """Names of the arguments that were changed in place."""
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.status is Status.PASSED

    def __str__(self) -> str:
        rows = [COLUMNS, *map(_cells, self.arguments)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{GLYPHS[self.status]} {visible(self.name)} {self.status}"]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        lines += [f"{visible(argument.name)}: {text}" for argument in self.arguments for text in _remarks(argument)]
        return "\n".join(line.rstrip() for line in (*lines, *_warnings(self)))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """A table with z as bars, for a notebook; every name is escaped."""
        from bnbench.report.notebook import verdict_html

        remarks = [f"{argument.name}: {text}" for argument in self.arguments for text in _remarks(argument)]
        return verdict_html(self, [*remarks, *_warnings(self)])


def _cells(argument: ArgumentVerdict) -> tuple[str, ...]:
    """One row of the table, as text."""
    glyph, name = GLYPHS[argument.status], visible(argument.name)
    if not argument.directions:
        return (glyph, name, *[""] * (len(COLUMNS) - 2))
    place = f"[{', '.join(map(str, argument.index))}]" if argument.index is not None else "a direction"
    return (
        glyph,
        name,
        number(argument.z),
        f"{argument.directions} of {argument.directions + argument.rough}",
        place,
        f"{argument.got:.6g}",
        f"{argument.expected:.6g}",
        "" if argument.relative is None else relative(argument.relative),
    )


def _remarks(argument: ArgumentVerdict) -> tuple[str, ...]:
    """What there is to say of an argument in words."""
    return ((argument.reason,) if argument.reason else ()) + argument.notes


def _warnings(verdict: Verdict) -> tuple[str, ...]:
    """What there is to say of the functions in words."""
    changed = ", ".join(map(visible, verdict.mutated))
    warning = (f"changed in place, and should not be: {changed}",) if changed else ()
    return warning + verdict.notes


def overall(arguments: tuple[ArgumentVerdict, ...]) -> Status:
    """One status for all arguments: the worst, and vacuous where nothing but zeros was compared."""
    statuses = {argument.status for argument in arguments}
    for status in (Status.FAILED, Status.VACUOUS):
        if status in statuses:
            return status
    return Status.PASSED if any(a.status is Status.PASSED and not a.zero for a in arguments) else Status.VACUOUS


def beyond(z: float) -> str:
    """The reason of a failure."""
    return f"the gradient is off by {number(z)} {NOISE.unit} (limit {number(NOISE.limit)})"
