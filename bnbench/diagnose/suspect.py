"""A line that is accused, and how we know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.corrections import Correction

Proof: TypeAlias = Literal["edited", "replayed", "recognized"]
"""A small change of the line makes every output right; the run with this value replaced by the right one does; all
that the value was computed from is right, and it is right itself but for a known slip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One element of a value: where it is, what it is, and what it should be."""

    index: tuple[int, ...]
    got: float
    right: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A line, what is wrong with it, and how we know."""

    function: str
    line: int | None
    """None where there is no line: what is missing stands nowhere."""
    statement: str
    """The source of that line's statement."""
    name: str
    """The variable or expression whose value is wrong, in the student's words."""
    shows: str
    """What the value is instead; empty if that is not known."""
    quantity: Quantity
    should_be: str
    """What belongs there, more exactly than ``quantity`` if possible."""
    slip: Slip | None
    proof: Proof
    mends: tuple[str, ...] = ()
    """The wrong outputs that were seen to become right; none where it was only recognized."""
    partial: bool = False
    """Whether other outputs stay wrong when these are mended, for a reason of their own."""
    correction: Correction | None = None
    elements: tuple[Element, ...] = ()
    message: str = ""
    """Of the exception, where one ended the run."""
